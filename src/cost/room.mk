# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/cost/build.c \
	src/cost/choice.c src/cost/choice.h \
	src/cost/cost.h \
	src/cost/describe.c \
	src/cost/roofline.c \
	src/cost/signature.c \
	src/cost/pairs.c \
	src/cost/store.c src/cost/store.h src/cost/store_table.h \
	src/cost/store_file.c
EXTRA_DIST += src/cost/README.md
