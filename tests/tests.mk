# SPDX-License-Identifier: Apache-2.0
# Tests of the whole; those of one room stand in its fragment.
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_random_dags
TESTS += tests/unit/test_random_dags
tests_unit_test_random_dags_SOURCES = tests/unit/test_random_dags.c \
	tests/support/random_cut.c tests/support/random_cut.h \
	tests/support/random_model.c tests/support/random_model.h
tests_unit_test_random_dags_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_random_dags_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_random_dags_LDADD = $(TEST_LIBS)

# A device that fails on demand, as a plug-in; -rpath makes it a shared object.
check_LTLIBRARIES += tests/support/faulty.la
tests_support_faulty_la_SOURCES = tests/support/faulty.c tests/support/faulty.h
tests_support_faulty_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath $(abs_builddir)
check_PROGRAMS += tests/unit/test_device_loss
TESTS += tests/unit/test_device_loss
tests_unit_test_device_loss_SOURCES = tests/unit/test_device_loss.c tests/support/faulty.h \
	tests/support/random_model.c tests/support/random_model.h
tests_unit_test_device_loss_CPPFLAGS = $(TEST_CPPFLAGS) \
	-DFAULTY_PATH='"$(abs_top_builddir)/tests/support/.libs/faulty.so"'
tests_unit_test_device_loss_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_device_loss_LDADD = $(TEST_LIBS)
EXTRA_tests_unit_test_device_loss_DEPENDENCIES = tests/support/faulty.la
endif

check_PROGRAMS += tests/support/make_ramp
tests_support_make_ramp_SOURCES = tests/support/make_ramp.c
tests_support_make_ramp_LDADD = libhe.la

# Bad inputs: what they are answered with.
check_PROGRAMS += tests/support/make_bad
tests_support_make_bad_SOURCES = tests/support/make_bad.c tests/support/onnx_text.c \
	tests/support/onnx_text.h tests/support/proto.c tests/support/proto.h
tests_support_make_bad_LDADD = libhe.la
dist_check_SCRIPTS += tests/bad_input.sh
TESTS += tests/bad_input.sh

dist_check_SCRIPTS += tests/device_loss.sh
TESTS += tests/device_loss.sh
dist_check_SCRIPTS += tests/examples.sh tests/exported_symbols.sh tests/layering.sh tests/models.sh \
	tests/node_suite.sh tests/opencl_cache.sh tests/opencl_tiles.sh tests/split_memory.sh
TESTS += tests/examples.sh tests/exported_symbols.sh tests/layering.sh tests/models.sh tests/node_suite.sh \
	tests/opencl_cache.sh tests/opencl_tiles.sh tests/split_memory.sh
dist_check_SCRIPTS += tests/check_opencl.sh tests/devices.sh tests/oclgrind.sh
TESTS += tests/check_opencl.sh tests/devices.sh tests/oclgrind.sh
EXTRA_DIST += tests/exported_symbols.txt tests/node_skips.txt
CLEANFILES += exported_symbols.out node_suite.out

# Drivers that only say who they are.
if HAVE_OPENCL
check_LTLIBRARIES += tests/stubs/stub_icd.la
tests_stubs_stub_icd_la_SOURCES = tests/stubs/icd.c
tests_stubs_stub_icd_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere
endif

# Sessions, plans, costs and the core.
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_exec
TESTS += tests/unit/test_exec
tests_unit_test_exec_SOURCES = tests/unit/test_exec.c tests/support/failing_alloc.c \
	tests/support/failing_alloc.h
tests_unit_test_exec_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_exec_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_exec_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_cost tests/unit/test_core
TESTS += tests/unit/test_cost tests/unit/test_core
tests_unit_test_cost_SOURCES = tests/unit/test_cost.c tests/support/failing_alloc.c \
	tests/support/failing_alloc.h tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_cost_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_cost_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_cost_LDADD = $(TEST_LIBS) -lm
tests_unit_test_core_SOURCES = tests/unit/test_core.c tests/support/failing_alloc.c \
	tests/support/failing_alloc.h
tests_unit_test_core_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_core_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_core_LDADD = $(TEST_LIBS) -lm
check_PROGRAMS += tests/unit/test_explain
TESTS += tests/unit/test_explain
tests_unit_test_explain_SOURCES = tests/unit/test_explain.c
tests_unit_test_explain_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_explain_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_explain_LDADD = $(TEST_LIBS) -lm
check_PROGRAMS += tests/unit/test_hints
TESTS += tests/unit/test_hints
tests_unit_test_hints_SOURCES = tests/unit/test_hints.c tests/support/model_text.c \
	tests/support/model_text.h
tests_unit_test_hints_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_hints_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_hints_LDADD = $(TEST_LIBS) -lm
check_PROGRAMS += tests/unit/test_choice
TESTS += tests/unit/test_choice
tests_unit_test_choice_SOURCES = tests/unit/test_choice.c
tests_unit_test_choice_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_choice_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_choice_LDADD = $(TEST_LIBS) -lm
check_PROGRAMS += tests/unit/test_guard
TESTS += tests/unit/test_guard
tests_unit_test_guard_SOURCES = tests/unit/test_guard.c
tests_unit_test_guard_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_guard_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_guard_LDADD = $(TEST_LIBS) -lm
check_PROGRAMS += tests/unit/test_plan
TESTS += tests/unit/test_plan
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c tests/support/onnx_text.c \
	tests/support/onnx_text.h
tests_unit_test_plan_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_plan_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_plan_LDADD = $(TEST_LIBS) -lm
endif

include tests/conformance/conformance.mk

# A test that hangs ends after a minute, on slow machines too, where its program does not say otherwise. No test leaves
# programs in the user's cache. The rest is for sanitizer builds. use_tls=0: the leak checker's own tracer dies among
# OpenMP threads otherwise. Tests ask for more memory than there is and expect NULL.
AM_TESTS_ENVIRONMENT = CK_DEFAULT_TIMEOUT=60; HETEROENGINE_OPENCL_CACHE=off; \
	LSAN_OPTIONS="suppressions=$(abs_top_srcdir)/tests/lsan.supp:use_tls=0:print_suppressions=0"; \
	ASAN_OPTIONS=allocator_may_return_null=1; \
	export CK_DEFAULT_TIMEOUT HETEROENGINE_OPENCL_CACHE LSAN_OPTIONS ASAN_OPTIONS;
EXTRA_DIST += tests/lsan.supp

# What runs in seconds: for sanitizer builds, and while working.
.PHONY: check-quick
check-quick:
	$(MAKE) $(AM_MAKEFLAGS) check \
		TESTS="`echo $(TESTS) | tr ' ' '\n' | grep -E '^tests/(unit|fuzz)/' | tr '\n' ' '` tests/bad_input.sh"
