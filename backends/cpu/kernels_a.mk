# SPDX-License-Identifier: Apache-2.0
# Families: math, reduce, quant, recurrent; chain.c adds CPU_STEP_FLAGS += -DCPU_HAVE_CHAIN.
libhe_cpu_la_SOURCES += \
	backends/cpu/half.h backends/cpu/fastmath.h \
	backends/cpu/pointwise.h backends/cpu/pointwise.c \
	backends/cpu/kernels_unary.c
