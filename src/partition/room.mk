# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += src/partition/partition.c src/partition/partition.h src/partition/slots.c \
	src/partition/cut.c src/partition/cut.h src/partition/grow.c
EXTRA_DIST += src/partition/README.md

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_partition tests/unit/test_cut
TESTS += tests/unit/test_partition tests/unit/test_cut
tests_unit_test_cut_SOURCES = tests/unit/test_cut.c $(model_text)
tests_unit_test_cut_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_cut_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_cut_LDADD = $(TEST_LIBS)
tests_unit_test_partition_SOURCES = tests/unit/test_partition.c tests/unit/place_support.h
tests_unit_test_partition_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_partition_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_partition_LDADD = $(TEST_LIBS)
endif
