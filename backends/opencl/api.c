/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the ICD loader once and looks up every function of the list. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define LOADER "libOpenCL.so.1"

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Set by open_loader(), then read freely. */
static struct opencl_api api;
static bool is_open;
static char failure[256];

static void open_loader(void)
{
    void *library = dlopen(LOADER, RTLD_NOW | RTLD_LOCAL), *symbol;
    const char *fail = getenv("HETEROENGINE_OPENCL_FAIL");

    if (!library) {
        snprintf(failure, sizeof failure, "%s", dlerror());
        return;
    }
#define X(name)                                                                   \
    symbol = dlsym(library, #name);                                               \
    if (!symbol) {                                                                \
        snprintf(failure, sizeof failure, "%s has no %s", LOADER, #name);         \
        return; /* stays open: closing a half-started loader is asking for it */ \
    }                                                                             \
    memcpy(&api.name, &symbol, sizeof symbol);
    OPENCL_FUNCTIONS(X)
#undef X
    if (fail && opencl_fail_arm_table(&api, fail) != HE_OK) {
        snprintf(failure, sizeof failure, "HETEROENGINE_OPENCL_FAIL: %.200s", he_error_message());
        return;
    }
    is_open = true;
}

const struct opencl_api *opencl_api_open(const char **reason)
{
    pthread_once(&once, open_loader);
    *reason = failure;
    return is_open ? &api : NULL;
}

he_status opencl_fail_arm(const char *what)
{
    const char *reason;

    if (!opencl_api_open(&reason))
        return he_error_set(HE_ERR_NO_DEVICE, "%s", reason);
    return opencl_fail_arm_table(&api, what);
}

bool opencl_api_is_loaded(void)
{
    static const char *const names[] = { LOADER, "libcuda.so.1" };

    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        void *library = dlopen(names[k], RTLD_NOW | RTLD_NOLOAD);

        if (library) {
            dlclose(library);
            return true;
        }
    }
    return false;
}

const char *opencl_error_name(cl_int error)
{
    static _Thread_local char number[32];

    switch (error) {
#define NAME(code) case code: return #code;
    NAME(CL_DEVICE_NOT_FOUND)
    NAME(CL_DEVICE_NOT_AVAILABLE)
    NAME(CL_COMPILER_NOT_AVAILABLE)
    NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE)
    NAME(CL_OUT_OF_RESOURCES)
    NAME(CL_OUT_OF_HOST_MEMORY)
    NAME(CL_PROFILING_INFO_NOT_AVAILABLE)
    NAME(CL_MAP_FAILURE)
    NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
    NAME(CL_BUILD_PROGRAM_FAILURE)
    NAME(CL_INVALID_VALUE)
    NAME(CL_INVALID_DEVICE)
    NAME(CL_INVALID_CONTEXT)
    NAME(CL_INVALID_BUFFER_SIZE)
    NAME(CL_INVALID_KERNEL_NAME)
    NAME(CL_INVALID_KERNEL_ARGS)
    NAME(CL_INVALID_WORK_GROUP_SIZE)
    NAME(CL_INVALID_MEM_OBJECT)
    NAME(CL_INVALID_COMMAND_QUEUE)
#undef NAME
    case -1001:
        return "CL_PLATFORM_NOT_FOUND_KHR";
    default:
        snprintf(number, sizeof number, "OpenCL error %d", (int)error);
        return number;
    }
}
