# SPDX-License-Identifier: Apache-2.0
# onednn.c adds CPU_STEP_FLAGS += -DCPU_HAVE_ONEDNN_STEP.
