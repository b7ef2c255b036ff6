# SPDX-License-Identifier: Apache-2.0
# The opencl backend. The ICD loader is opened at run time: nothing to link.
EXTRA_DIST += backends/opencl/opencl.claims backends/opencl/README.md
if HAVE_OPENCL
BUILTIN_BACKENDS += opencl
CLAIMS += backends/opencl/opencl.claims
libhe_la_SOURCES += \
	backends/opencl/api.c backends/opencl/api.h \
	backends/opencl/build.c backends/opencl/build.h \
	backends/opencl/device.c \
	backends/opencl/emit_conv.c \
	backends/opencl/emit_gather.c \
	backends/opencl/emit_matmul.c \
	backends/opencl/emit_move.c \
	backends/opencl/emit_norm.c \
	backends/opencl/emit_pointwise.c \
	backends/opencl/emit_pool.c \
	backends/opencl/emit_reduce.c \
	backends/opencl/emit_resize.c \
	backends/opencl/find.c \
	backends/opencl/instance.c \
	backends/opencl/opencl.c backends/opencl/opencl.h \
	backends/opencl/program.c \
	backends/opencl/text.c \
	backends/opencl/tile.c backends/opencl/tile.h
endif
