# SPDX-License-Identifier: Apache-2.0
# Families: math, reduce, quant, recurrent; chain.c adds CPU_STEP_FLAGS += -DCPU_HAVE_CHAIN.
