# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/model/external.c \
	src/model/inline.c \
	src/model/model.c src/model/model.h \
	src/model/npy.c src/model/npy.h \
	src/model/read_graph.c \
	src/model/read_tensor.c \
	src/model/reader.c src/model/reader.h \
	src/model/schema.c src/model/schema.h \
	src/model/tensor_file.c src/model/tensor_file.h \
	src/model/wire.c src/model/wire.h \
	src/model/writer.c

# Models with weights that vary, out of those that come without.
check_PROGRAMS += tests/support/make_rnd
tests_support_make_rnd_SOURCES = tests/support/make_rnd.c \
	tests/support/rnd_weights.c tests/support/rnd_weights.h
tests_support_make_rnd_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
tests_support_make_rnd_LDADD = libhe.la
