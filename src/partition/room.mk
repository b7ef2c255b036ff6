# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += src/partition/partition.c src/partition/partition.h src/partition/slots.c
EXTRA_DIST += src/partition/README.md

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_partition
TESTS += tests/unit/test_partition
tests_unit_test_partition_SOURCES = tests/unit/test_partition.c tests/unit/place_support.h
tests_unit_test_partition_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_partition_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_partition_LDADD = $(TEST_LIBS)
endif
