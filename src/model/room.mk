# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/model/external.c \
	src/model/inline.c \
	src/model/model.c src/model/model.h \
	src/model/npy.c src/model/npy.h \
	src/model/read_graph.c \
	src/model/read_placement.c \
	src/model/read_tensor.c \
	src/model/reader.c src/model/reader.h \
	src/model/schema.c src/model/schema.h \
	src/model/sink.c src/model/sink.h \
	src/model/tensor_file.c src/model/tensor_file.h \
	src/model/wire.c src/model/wire.h \
	src/model/writer.c
EXTRA_DIST += src/model/README.md

# Models with weights that vary, out of those that come without.
check_PROGRAMS += tests/support/make_rnd
tests_support_make_rnd_SOURCES = tests/support/make_rnd.c \
	tests/support/rnd_weights.c tests/support/rnd_weights.h
tests_support_make_rnd_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
tests_support_make_rnd_LDADD = libhe.la

check_PROGRAMS += tests/fuzz/fuzz_onnx
TESTS += tests/fuzz/fuzz_onnx
tests_fuzz_fuzz_onnx_SOURCES = tests/fuzz/fuzz_onnx.c tests/fuzz/replay_main.c
tests_fuzz_fuzz_onnx_CPPFLAGS = $(AM_CPPFLAGS) \
	-DHE_FUZZ_CORPUS='"$(abs_top_srcdir)/tests/fuzz/corpus/onnx"'
tests_fuzz_fuzz_onnx_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
tests_fuzz_fuzz_onnx_LDADD = libhe.la
EXTRA_DIST += tests/fuzz/corpus/onnx

# Object names that do not change with automake's version; see the rules below.
tests_unit_test_model_oracle_SHORTNAME = pb

if HAVE_CHECK
MODEL_TESTS = \
	tests/unit/test_model_external \
	tests/unit/test_model_inline \
	tests/unit/test_model_reader \
	tests/unit/test_model_rnd \
	tests/unit/test_model_tensor_file \
	tests/unit/test_model_writer
check_PROGRAMS += $(MODEL_TESTS)
TESTS += $(MODEL_TESTS)

failing_alloc = tests/support/failing_alloc.c tests/support/failing_alloc.h
onnx_text = tests/support/onnx_text.c tests/support/onnx_text.h
proto_bytes = tests/support/proto.c tests/support/proto.h
sample_model = tests/support/sample_model.c tests/support/sample_model.h

tests_unit_test_model_external_SOURCES = tests/unit/test_model_external.c $(failing_alloc) \
	$(proto_bytes)
tests_unit_test_model_external_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_model_external_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_external_LDADD = $(TEST_LIBS)

tests_unit_test_model_inline_SOURCES = tests/unit/test_model_inline.c $(failing_alloc) $(onnx_text)
tests_unit_test_model_inline_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_model_inline_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_inline_LDADD = $(TEST_LIBS)

tests_unit_test_model_reader_SOURCES = tests/unit/test_model_reader.c $(failing_alloc) \
	$(proto_bytes) $(sample_model)
tests_unit_test_model_reader_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_model_reader_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_reader_LDADD = $(TEST_LIBS)

tests_unit_test_model_rnd_SOURCES = tests/unit/test_model_rnd.c $(onnx_text) \
	tests/support/rnd_weights.c tests/support/rnd_weights.h
tests_unit_test_model_rnd_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_model_rnd_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_rnd_LDADD = $(TEST_LIBS)

tests_unit_test_model_tensor_file_SOURCES = tests/unit/test_model_tensor_file.c $(failing_alloc)
tests_unit_test_model_tensor_file_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_model_tensor_file_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_tensor_file_LDADD = $(TEST_LIBS)

tests_unit_test_model_writer_SOURCES = tests/unit/test_model_writer.c $(failing_alloc) \
	$(sample_model) tests/support/onnx_equal.c tests/support/onnx_equal.h
tests_unit_test_model_writer_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_model_writer_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_writer_LDADD = $(TEST_LIBS)

if HAVE_ONNX_ORACLE
check_PROGRAMS += tests/unit/test_model_oracle
TESTS += tests/unit/test_model_oracle
tests_unit_test_model_oracle_SOURCES = tests/unit/test_model_oracle.c $(sample_model) \
	tests/support/onnx_oracle.c tests/support/onnx_oracle.h
nodist_tests_unit_test_model_oracle_SOURCES = tests/support/onnx.pb-c.c tests/support/onnx.pb-c.h
tests_unit_test_model_oracle_CPPFLAGS = $(TEST_CPPFLAGS) -Itests/support $(PROTOBUF_C_CFLAGS)
tests_unit_test_model_oracle_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_model_oracle_LDADD = $(TEST_LIBS) $(PROTOBUF_C_LIBS)

# Not in BUILT_SOURCES, so that only `make check` needs the generator: instead the
# one object that includes the header waits for it.
tests/support/onnx.pb-c.c: $(ONNX_PROTO)
	$(AM_V_GEN)$(MKDIR_P) tests/support && \
	$(PROTOC_C) -I`dirname $(ONNX_PROTO)` --c_out=tests/support $(ONNX_PROTO)
tests/support/onnx.pb-c.h: tests/support/onnx.pb-c.c
tests/support/pb-onnx_oracle.$(OBJEXT): tests/support/onnx.pb-c.h
CLEANFILES += tests/support/onnx.pb-c.c tests/support/onnx.pb-c.h
endif HAVE_ONNX_ORACLE
endif HAVE_CHECK
