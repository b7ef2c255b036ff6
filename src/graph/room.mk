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
	src/graph/parts.c \
	src/graph/inline_if.c \
	src/graph/input_shapes.c \
	src/graph/patterns_activation.c \
	src/graph/patterns_affine.c \
	src/graph/patterns_conv.c \
	src/graph/patterns_identity.c \
	src/graph/patterns_move.c \
	src/graph/patterns_norm.c \
	src/graph/patterns_pad.c \
	src/graph/prepare.c \
	src/graph/rewrite.c src/graph/rewrite.h \
	src/graph/shard.c src/graph/shard.h src/graph/shard_write.h \
	src/graph/shard_rules.c src/graph/shard_values.c src/graph/shard_window.c \
	src/graph/simplify.c \
	src/graph/sort.c \
	src/graph/store.c src/graph/store.h \
	src/graph/tasks.c

if HAVE_CHECK
graph_tests = tests/unit/test_graph_build tests/unit/test_graph_passes tests/unit/test_graph_tasks \
	tests/unit/test_graph_models tests/unit/test_graph_shard
check_PROGRAMS += $(graph_tests)
TESTS += $(graph_tests)
model_text = tests/support/model_text.c tests/support/model_text.h
graph_run = tests/support/graph_run.c tests/support/graph_run.h
random_cut = tests/support/random_cut.c tests/support/random_cut.h

tests_unit_test_graph_build_SOURCES = tests/unit/test_graph_build.c $(model_text) $(failing_alloc)
tests_unit_test_graph_build_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_graph_build_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_graph_build_LDADD = $(TEST_LIBS)

tests_unit_test_graph_passes_SOURCES = tests/unit/test_graph_passes.c $(model_text) $(graph_run)
tests_unit_test_graph_passes_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_graph_passes_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_graph_passes_LDADD = $(TEST_LIBS)

tests_unit_test_graph_tasks_SOURCES = tests/unit/test_graph_tasks.c $(model_text) $(graph_run)
tests_unit_test_graph_tasks_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_graph_tasks_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_graph_tasks_LDADD = $(TEST_LIBS)

tests_unit_test_graph_shard_SOURCES = tests/unit/test_graph_shard.c $(model_text) $(graph_run) \
	$(random_cut) $(failing_alloc)
tests_unit_test_graph_shard_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_graph_shard_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_graph_shard_LDADD = $(TEST_LIBS)

tests_unit_test_graph_models_SOURCES = tests/unit/test_graph_models.c $(graph_run) $(random_cut)
tests_unit_test_graph_models_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_graph_models_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_graph_models_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/fuzz/fuzz_graph
TESTS += tests/fuzz/fuzz_graph
tests_fuzz_fuzz_graph_SOURCES = tests/fuzz/fuzz_graph.c tests/fuzz/replay_main.c
tests_fuzz_fuzz_graph_CPPFLAGS = $(AM_CPPFLAGS) \
	-DHE_FUZZ_CORPUS='"$(abs_top_srcdir)/tests/fuzz/corpus/onnx"'
tests_fuzz_fuzz_graph_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
tests_fuzz_fuzz_graph_LDADD = libhe.la
endif HAVE_CHECK
