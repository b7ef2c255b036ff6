# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/engine/analyze.c \
	src/engine/cut.c \
	src/engine/engine.c src/engine/engine.h \
	src/engine/evaluate.c \
	src/engine/measure.c \
	src/engine/mender.c \
	src/engine/probe.c src/engine/probe.h \
	src/engine/selftest.c \
	src/engine/ways.c
EXTRA_DIST += src/engine/README.md
