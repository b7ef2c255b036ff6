# SPDX-License-Identifier: Apache-2.0
# One program, the same tests for every device of every built-in backend.
check_PROGRAMS += tests/conformance/conformance
TESTS += tests/conformance/conformance
EXTRA_DIST += tests/conformance/README.md
tests_conformance_conformance_SOURCES = \
	tests/conformance/cases.c \
	tests/conformance/claims.c \
	tests/conformance/conformance.c \
	tests/conformance/conformance.h \
	tests/conformance/half.c \
	tests/conformance/run.c \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_conformance_conformance_CPPFLAGS = $(TEST_CPPFLAGS)
tests_conformance_conformance_LDADD = libhe.la -lm
