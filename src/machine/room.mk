# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/machine/budget.c src/machine/budget.h \
	src/machine/catalogue.c src/machine/catalogue.h \
	src/machine/device.c \
	src/machine/discover.c \
	src/machine/keys.c src/machine/keys.h \
	src/machine/machine.c src/machine/machine.h \
	src/machine/power.c src/machine/power.h \
	src/machine/oneline.c \
	src/machine/yaml.c

# The catalogue: installed, and found in the source tree before that.
cataloguedir = $(datadir)/heteroengine/devices
dist_catalogue_DATA = conf/devices/h100.yaml conf/devices/u280.yaml
EXTRA_DIST += conf/minimal.yaml conf/full.yaml conf/layers.yaml
AM_CPPFLAGS += -DHE_CATALOGUE_DIR='"$(cataloguedir)"' \
	-DHE_CATALOGUE_SOURCE_DIR='"$(abs_top_srcdir)/conf/devices"'

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_machine
TESTS += tests/unit/test_machine
tests_unit_test_machine_SOURCES = tests/unit/test_machine.c
tests_unit_test_machine_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_machine_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_machine_LDADD = $(TEST_LIBS)
endif

# With --enable-fuzzers a fuzz target; without, it replays its corpus.
check_PROGRAMS += tests/fuzz/fuzz_yaml
TESTS += tests/fuzz/fuzz_yaml
tests_fuzz_fuzz_yaml_SOURCES = tests/fuzz/fuzz_yaml.c tests/fuzz/replay_main.c
tests_fuzz_fuzz_yaml_CPPFLAGS = $(AM_CPPFLAGS) \
	-DHE_FUZZ_CORPUS='"$(abs_top_srcdir)/tests/fuzz/corpus/yaml"'
tests_fuzz_fuzz_yaml_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
tests_fuzz_fuzz_yaml_LDADD = libhe.la
EXTRA_DIST += tests/fuzz/corpus/yaml src/machine/README.md
