# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/exec/border.c \
	src/exec/context.c \
	src/exec/dlpack_types.c src/exec/dlpack_types.h \
	src/exec/exec.h \
	src/exec/figures.c \
	src/exec/finish.c \
	src/exec/lane.c \
	src/exec/mend.c \
	src/exec/request.c \
	src/exec/session.c
EXTRA_DIST += src/exec/README.md
