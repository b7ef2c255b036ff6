#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tiled kernels of GPUs, run where there is only a processor that speaks OpenCL.
HETEROENGINE_OPENCL_TILES=1 exec ./tests/conformance/conformance opencl
