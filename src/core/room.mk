# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/core/alloc.c src/core/alloc.h \
	src/core/clock.h \
	src/core/device.c src/core/device.h \
	src/core/backends.c \
	src/core/burial.c src/core/burial.h \
	src/core/file.c src/core/file.h \
	src/core/json.c src/core/json.h \
	src/core/json_writer.c \
	src/core/log.c src/core/log.h \
	src/core/map.c src/core/map.h \
	src/core/size.h \
	src/core/status.c \
	src/core/text.c src/core/text.h \
	src/core/thread.c src/core/thread.h \
	src/core/types.c \
	src/core/words.c src/core/words.h
nodist_libhe_la_SOURCES = src/core/builtin_backends.inc
EXTRA_DIST += src/core/README.md
