/* SPDX-License-Identifier: Apache-2.0 */
/* DLPack's element types and ours. */
#ifndef HE_EXEC_DLPACK_TYPES_H
#define HE_EXEC_DLPACK_TYPES_H

#include <heteroengine/dlpack.h>
#include <heteroengine/types.h>

/* HE_DTYPE_NONE for a type we have no name for. */
enum he_dtype he_dtype_from_dlpack(DLDataType dtype);
DLDataType he_dtype_to_dlpack(enum he_dtype dtype);

#endif
