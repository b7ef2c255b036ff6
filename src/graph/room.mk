# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/graph/attributes.c \
	src/graph/build.c src/graph/build.h \
	src/graph/check.c \
	src/graph/dead.c \
	src/graph/fold.c src/graph/fold.h \
	src/graph/fuse.c \
	src/graph/graph.h \
	src/graph/infer.c \
	src/graph/infer_control.c \
	src/graph/layout.c \
	src/graph/inline_if.c \
	src/graph/input_shapes.c \
	src/graph/patterns_activation.c \
	src/graph/patterns_affine.c \
	src/graph/patterns_identity.c \
	src/graph/patterns_norm.c \
	src/graph/patterns_pad.c \
	src/graph/prepare.c \
	src/graph/rewrite.c src/graph/rewrite.h \
	src/graph/simplify.c \
	src/graph/sort.c \
	src/graph/store.c src/graph/store.h \
	src/graph/tasks.c
