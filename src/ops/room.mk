# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/ops/activation.c \
	src/ops/attention.c \
	src/ops/control.c \
	src/ops/conv.c \
	src/ops/gather.c \
	src/ops/generate.c \
	src/ops/image.c \
	src/ops/index.c \
	src/ops/infer.c src/ops/infer.h \
	src/ops/logic.c \
	src/ops/loss.c \
	src/ops/math.c \
	src/ops/matrix.c \
	src/ops/node.c \
	src/ops/norm.c \
	src/ops/ops.c src/ops/ops.h \
	src/ops/pool.c \
	src/ops/quant.c \
	src/ops/recurrent.c \
	src/ops/reduce.c \
	src/ops/shape.c \
	src/ops/signal.c \
	src/ops/slice.c \
	src/ops/window.c
EXTRA_DIST += tests/support/ops_oracle.py
