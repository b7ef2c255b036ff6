# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/mem/copy.c src/mem/copy.h \
	src/mem/pack.c src/mem/pack.h
