/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenCL as it is opened at run time: one list of the functions we call. The ICD
 * loader (libOpenCL.so.1) is no link-time dependency; where it is missing there are no devices.
 */
#ifndef OPENCL_API_H
#define OPENCL_API_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <stdbool.h>

#include <heteroengine/status.h>

#define OPENCL_FUNCTIONS(X) \
    X(clGetPlatformIDs)     \
    X(clGetPlatformInfo)    \
    X(clGetDeviceIDs)       \
    X(clGetDeviceInfo)      \
    X(clCreateContext)      \
    X(clReleaseContext)     \
    X(clCreateCommandQueue) \
    X(clReleaseCommandQueue) \
    X(clCreateBuffer)       \
    X(clReleaseMemObject)   \
    X(clEnqueueReadBuffer)  \
    X(clEnqueueWriteBuffer) \
    X(clEnqueueCopyBuffer)  \
    X(clEnqueueMapBuffer)   \
    X(clEnqueueUnmapMemObject) \
    X(clEnqueueNDRangeKernel) \
    X(clEnqueueBarrierWithWaitList) \
    X(clEnqueueMarkerWithWaitList) \
    X(clWaitForEvents)      \
    X(clGetEventInfo)       \
    X(clGetEventProfilingInfo) \
    X(clRetainEvent)        \
    X(clReleaseEvent)       \
    X(clFlush)              \
    X(clFinish)             \
    X(clCreateProgramWithSource) \
    X(clCreateProgramWithBinary) \
    X(clBuildProgram)       \
    X(clGetProgramInfo)     \
    X(clGetProgramBuildInfo) \
    X(clReleaseProgram)     \
    X(clCreateKernel)       \
    X(clReleaseKernel)      \
    X(clSetKernelArg)       \
    X(clGetExtensionFunctionAddressForPlatform)

struct opencl_api {
#define X(name) __typeof__(&name) name;
    OPENCL_FUNCTIONS(X)
#undef X
};

/* The functions, opened once per process; NULL with the reason in *reason (never freed). */
const struct opencl_api *opencl_api_open(const char **reason);
/* True when this process holds an OpenCL or CUDA library already. */
bool opencl_api_is_loaded(void);
/* "CL_OUT_OF_RESOURCES" and its kin; the number for anything unusual. */
const char *opencl_error_name(cl_int error);

/* --- Failing on purpose (fail.c) ---
 *
 * What fails is a list of "function:call[+][:code]" with commas between. "clFinish:3" fails the third
 * clFinish from now on, once, with CL_OUT_OF_RESOURCES; "clFinish:3+:-2" that one and all later ones
 * with CL_DEVICE_NOT_AVAILABLE; "*:7" the seventh call of any function. The process starts
 * with what HETEROENGINE_OPENCL_FAIL says.
 */

/* Forgets what was armed and arms @what ("": nothing). Call it while nobody else calls OpenCL. */
he_status opencl_fail_arm(const char *what);
he_status opencl_fail_arm_table(struct opencl_api *api, const char *what); /* for api.c */
/* How many calls were made to fail since the last opencl_fail_arm(). */
unsigned long opencl_fail_count(void);

#endif
