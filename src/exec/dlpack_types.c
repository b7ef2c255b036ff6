/* SPDX-License-Identifier: Apache-2.0 */
#include "core/size.h"
#include "exec/dlpack_types.h"

static const struct {
    enum he_dtype dtype;
    DLDataType dlpack;
} pairs[] = {
    { HE_FLOAT32, { kDLFloat, 32, 1 } },    { HE_FLOAT64, { kDLFloat, 64, 1 } },
    { HE_FLOAT16, { kDLFloat, 16, 1 } },    { HE_BFLOAT16, { kDLBfloat, 16, 1 } },
    { HE_INT8, { kDLInt, 8, 1 } },          { HE_INT16, { kDLInt, 16, 1 } },
    { HE_INT32, { kDLInt, 32, 1 } },        { HE_INT64, { kDLInt, 64, 1 } },
    { HE_UINT8, { kDLUInt, 8, 1 } },        { HE_UINT16, { kDLUInt, 16, 1 } },
    { HE_UINT32, { kDLUInt, 32, 1 } },      { HE_UINT64, { kDLUInt, 64, 1 } },
    { HE_BOOL, { kDLBool, 8, 1 } },         { HE_COMPLEX64, { kDLComplex, 64, 1 } },
    { HE_COMPLEX128, { kDLComplex, 128, 1 } }, { HE_INT4, { kDLInt, 4, 1 } },
    { HE_UINT4, { kDLUInt, 4, 1 } },
};

enum he_dtype he_dtype_from_dlpack(DLDataType dtype)
{
    for (size_t k = 0; k < HE_COUNT(pairs); k++) {
        if (pairs[k].dlpack.code == dtype.code && pairs[k].dlpack.bits == dtype.bits &&
            dtype.lanes == 1)
            return pairs[k].dtype;
    }
    return HE_DTYPE_NONE;
}

DLDataType he_dtype_to_dlpack(enum he_dtype dtype)
{
    for (size_t k = 0; k < HE_COUNT(pairs); k++) {
        if (pairs[k].dtype == dtype)
            return pairs[k].dlpack;
    }
    /* What DLPack has no name for travels as opaque bytes. */
    return (DLDataType){ kDLOpaqueHandle, 8, 1 };
}
