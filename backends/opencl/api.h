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
    X(clEnqueueNDRangeKernel) \
    X(clFlush)              \
    X(clFinish)             \
    X(clCreateProgramWithSource) \
    X(clBuildProgram)       \
    X(clGetProgramBuildInfo) \
    X(clReleaseProgram)     \
    X(clCreateKernel)       \
    X(clReleaseKernel)      \
    X(clSetKernelArg)

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

#endif
