/* SPDX-License-Identifier: Apache-2.0 */
/* The only place in the code base that moves payload. */
#include <string.h>

#include "mem/copy.h"

static bool is_host(const struct he_place_ref *ref)
{
    return !ref->dev || he_device_has(ref->dev, HE_CAP_HOST_MEMORY);
}

static void *host_address(const struct he_place_ref *ref)
{
    return (char *)ref->buffer + ref->offset;
}

/* Which directions are only begun. */
struct begun {
    bool writes, reads;
};

/* Between two devices: directly, or down to the host and up again. */
static he_status move_between(const struct he_place_ref *to, const struct he_place_ref *from,
                              size_t bytes, void *staging, struct he_copy_counter *counter)
{
    he_status status = he_device_buffer_copy(to->dev, to->buffer, to->offset, from->dev,
                                             from->buffer, from->offset, bytes);

    if (status != HE_ERR_UNSUPPORTED)
        return status;
    status = he_device_buffer_read(from->dev, from->buffer, from->offset, staging, bytes);
    if (status == HE_OK)
        status = he_device_buffer_write(to->dev, to->buffer, to->offset, staging, bytes);
    counter->copies++;
    counter->bytes += bytes;
    return status;
}

static he_status move(const struct he_place_ref *to, const struct he_place_ref *from, size_t bytes,
                      struct begun begun, void *staging, struct he_copy_counter *counter)
{
    he_status status = HE_OK;

    if (bytes == 0)
        return HE_OK;
    if (is_host(to) && is_host(from)) {
        if (host_address(to) == host_address(from))
            return HE_OK;
        memcpy(host_address(to), host_address(from), bytes);
    } else if (is_host(from)) {
        status = (begun.writes ? he_device_write_begin : he_device_buffer_write)(
            to->dev, to->buffer, to->offset, host_address(from), bytes);
    } else if (is_host(to)) {
        status = (begun.reads ? he_device_read_begin : he_device_buffer_read)(
            from->dev, from->buffer, from->offset, host_address(to), bytes);
    } else {
        status = move_between(to, from, bytes, staging, counter);
    }
    counter->copies++;
    counter->bytes += bytes;
    return status;
}

he_status he_copy(const struct he_place_ref *to, const struct he_place_ref *from, size_t bytes,
                  void *staging, struct he_copy_counter *counter)
{
    return move(to, from, bytes, (struct begun){ false, false }, staging, counter);
}

he_status he_copy_begin(const struct he_place_ref *to, const struct he_place_ref *from,
                        size_t bytes, bool may_read, void *staging,
                        struct he_copy_counter *counter)
{
    return move(to, from, bytes, (struct begun){ true, may_read }, staging, counter);
}

static char *gather(char *to, const char *from, uint32_t rank, const int64_t *dims,
                    const int64_t *strides, size_t element_bytes)
{
    if (rank == 0) {
        memcpy(to, from, element_bytes);
        return to + element_bytes;
    }
    for (int64_t k = 0; k < dims[0]; k++)
        to = gather(to, from + k * strides[0] * (int64_t)element_bytes, rank - 1, dims + 1,
                    strides + 1, element_bytes);
    return to;
}

void he_copy_strided(void *to, const void *from, uint32_t rank, const int64_t *dims,
                     const int64_t *strides, size_t element_bytes,
                     struct he_copy_counter *counter)
{
    size_t bytes = element_bytes;

    for (uint32_t k = 0; k < rank; k++)
        bytes *= (size_t)dims[k];
    if (strides)
        gather(to, from, rank, dims, strides, element_bytes);
    else
        memcpy(to, from, bytes);
    counter->copies++;
    counter->bytes += bytes;
}
