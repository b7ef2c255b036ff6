# SPDX-License-Identifier: Apache-2.0
# Families: math, reduce, quant, recurrent; chain.c adds CPU_STEP_FLAGS += -DCPU_HAVE_CHAIN.
libhe_cpu_la_SOURCES += \
	backends/cpu/half.h backends/cpu/fastmath.h \
	backends/cpu/pointwise.h backends/cpu/pointwise.c backends/cpu/zip.h \
	backends/cpu/kernels_unary.c backends/cpu/kernels_binary.c \
	backends/cpu/kernels_logic.c backends/cpu/kernels_cast.c
