# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/partition/partition.c src/partition/partition.h \
	src/partition/slots.c
