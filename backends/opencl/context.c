/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts, shared by the devices of a platform, so that one can copy from the memory of another
 * without the host. A context's devices are settled when it is made: those of the platform that are open
 * just then, since a driver may start, and keep memory on, every device it is given. Engines
 * open all their devices before the first is started. One that comes later gets a context of its own.
 *
 * Locks: contexts_lock, below opencl_device.lock.
 */
#include "opencl.h"

struct opencl_context {
    cl_context handle;
    uint32_t platform;
    uint64_t devices; /* bits: positions in the platform's list */
    uint32_t user_count; /* 0: free to be used */
};

_Static_assert(OPENCL_DEVICES_MAX <= 64, "positions must fit the bits");

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by contexts_lock. */
static struct opencl_context contexts[4 * OPENCL_DEVICES_MAX];
static struct opencl_device *open_devices;

#define CONTEXTS (sizeof contexts / sizeof contexts[0])

void opencl_context_announce(struct opencl_device *dev)
{
    pthread_mutex_lock(&contexts_lock);
    dev->next_open = open_devices;
    open_devices = dev;
    pthread_mutex_unlock(&contexts_lock);
}

static uint64_t bit_of(const struct opencl_device *dev)
{
    return (uint64_t)1 << dev->found->device;
}

/* The one that @dev can join, else a free one to be made; NULL when there are too many. */
static struct opencl_context *find_locked(const struct opencl_device *dev)
{
    struct opencl_context *spare = NULL;

    for (size_t k = 0; k < CONTEXTS; k++) {
        if (!contexts[k].user_count)
            spare = &contexts[k];
        else if (contexts[k].platform == dev->found->platform &&
                 (contexts[k].devices & bit_of(dev)))
            return &contexts[k];
    }
    return spare;
}

/* For @dev and, with @others, the open devices of its platform that have no context. */
static he_status make_locked(struct opencl_device *dev, const struct opencl_api *cl, bool others,
                             struct opencl_context *out)
{
    cl_device_id ids[OPENCL_DEVICES_MAX];
    cl_platform_id platform;
    cl_uint count = 1;
    cl_int error;
    he_status status = opencl_find_handles(cl, dev->found, &platform, &ids[0]);

    if (status != HE_OK)
        return status;
    out->platform = dev->found->platform;
    out->devices = bit_of(dev);
    for (struct opencl_device *k = open_devices; others && k; k = k->next_open) {
        if (k->found->platform != dev->found->platform || k->shared ||
            (out->devices & bit_of(k)) ||
            opencl_find_handles(cl, k->found, &platform, &ids[count]) != HE_OK)
            continue;
        out->devices |= bit_of(k);
        count++;
    }
    out->handle = cl->clCreateContext(
        (cl_context_properties[]){ CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0 },
        count, ids, NULL, NULL, &error);
    return out->handle ? HE_OK : opencl_failed(error, "clCreateContext");
}

he_status opencl_context_join(struct opencl_device *dev, const struct opencl_api *cl)
{
    struct opencl_context *context;
    he_status status = HE_OK;

    pthread_mutex_lock(&contexts_lock);
    context = find_locked(dev);
    if (!context) {
        status = he_error_set(HE_ERR_NO_MEMORY, "more than %zu OpenCL contexts", CONTEXTS);
    } else if (!context->user_count) {
        status = make_locked(dev, cl, true, context);
        if (status != HE_OK) /* not because of a neighbour */
            status = make_locked(dev, cl, false, context);
    }
    if (status == HE_OK) {
        context->user_count++;
        dev->shared = context;
        dev->context = context->handle;
    }
    pthread_mutex_unlock(&contexts_lock);
    return status;
}

void opencl_context_leave(struct opencl_device *dev)
{
    struct opencl_context *context = dev->shared;

    if (!context)
        return;
    pthread_mutex_lock(&contexts_lock);
    if (--context->user_count == 0)
        dev->cl->clReleaseContext(context->handle);
    dev->shared = NULL;
    dev->context = NULL;
    pthread_mutex_unlock(&contexts_lock);
}

void opencl_context_forget(struct opencl_device *dev)
{
    struct opencl_device **at = &open_devices;

    pthread_mutex_lock(&contexts_lock);
    while (*at && *at != dev)
        at = &(*at)->next_open;
    if (*at)
        *at = dev->next_open;
    pthread_mutex_unlock(&contexts_lock);
}
