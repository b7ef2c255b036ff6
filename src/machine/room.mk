# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/machine/discover.c \
	src/machine/machine.c src/machine/machine.h
