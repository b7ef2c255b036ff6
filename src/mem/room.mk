# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += src/mem/copy.c src/mem/copy.h
libhe_la_SOURCES += src/mem/pack.c src/mem/pack_check.c src/mem/pack_exact.c \
	src/mem/pack_greedy.c src/mem/pack_local.c
libhe_la_SOURCES += src/mem/pack.h src/mem/pack_inside.h

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_pack
TESTS += tests/unit/test_pack
tests_unit_test_pack_SOURCES = tests/unit/test_pack.c tests/support/failing_alloc.c \
	tests/support/failing_alloc.h
tests_unit_test_pack_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_pack_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_pack_LDADD = $(TEST_LIBS)
endif
EXTRA_DIST += src/mem/README.md
