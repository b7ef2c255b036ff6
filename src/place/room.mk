# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += src/place/README.md
libhe_la_SOURCES += \
	src/place/blame.c \
	src/place/bounds.c \
	src/place/contest.c \
	src/place/cost.c \
	src/place/disjunctive.c src/place/disjunctive.h \
	src/place/energy.c \
	src/place/evaluate.c \
	src/place/dual.c \
	src/place/exact.c src/place/exact.h \
	src/place/family.c \
	src/place/guard.c \
	src/place/heft.c \
	src/place/large.c src/place/large.h \
	src/place/judge.c src/place/judge.h \
	src/place/list.c src/place/list.h \
	src/place/loads.c src/place/loads.h \
	src/place/local.c src/place/local.h \
	src/place/maxflow.c src/place/maxflow.h \
	src/place/mend.c \
	src/place/minsum.c src/place/minsum.h \
	src/place/optimum.c src/place/optimum.h \
	src/place/nets.c src/place/nets.h \
	src/place/path.c \
	src/place/peft.c \
	src/place/pipeline.c \
	src/place/place.c src/place/planner.h \
	src/place/policies.c src/place/policies.h \
	src/place/portfolio.c \
	src/place/priority.c \
	src/place/pools.c \
	src/place/narrow.c src/place/knapsacks.c src/place/beam.c \
	src/place/problem.c src/place/problem.h \
	src/place/random.h \
	src/place/rank.c src/place/rank.h \
	src/place/rows.c src/place/rows.h \
	src/place/squeeze.c \
	src/place/scatter.c src/place/scatter.h \
	src/place/sets.c \
	src/place/shop.c src/place/shop.h \
	src/place/shop_graph.c src/place/shop_graph.h \
	src/place/shop_tabu.c src/place/shop_tabu.h \
	src/place/stretch.c \
	src/place/runs.c \
	src/place/split.c \
	src/place/spread.c src/place/spread.h \
	src/place/stages.c src/place/stages.h \
	src/place/sumexact.c \
	src/place/sumsolve.c \
	src/place/sweep.c src/place/sweep.h \
	src/place/swap.c \
	src/place/throughput.c \
	src/place/tighten.c \
	src/place/timeline.c src/place/timeline.h \
	src/place/units.c src/place/units.h \
	src/place/windows.c src/place/windows.h \
	src/place/wires.h

# The search for the least makespan.
libhe_la_SOURCES += src/place/replay.c src/place/replay.h src/place/walk.c src/place/walk.h \
	src/place/seeds.c src/place/seeds.h

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_replay
TESTS += tests/unit/test_replay
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c tests/unit/place_support.h
tests_unit_test_replay_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_replay_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_replay_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_place_properties
TESTS += tests/unit/test_place_properties
tests_unit_test_place_properties_SOURCES = tests/unit/test_place_properties.c \
	tests/unit/place_support.h
tests_unit_test_place_properties_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_place_properties_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_place_properties_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_place
TESTS += tests/unit/test_place
tests_unit_test_place_SOURCES = tests/unit/test_place.c tests/unit/place_support.h
tests_unit_test_place_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_place_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_place_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_large
TESTS += tests/unit/test_large
tests_unit_test_large_SOURCES = tests/unit/test_large.c tests/unit/place_support.h
tests_unit_test_large_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_large_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_large_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_loads
TESTS += tests/unit/test_loads
tests_unit_test_loads_SOURCES = tests/unit/test_loads.c tests/unit/place_support.h
tests_unit_test_loads_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_loads_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_loads_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_budgets
TESTS += tests/unit/test_budgets
tests_unit_test_budgets_SOURCES = tests/unit/test_budgets.c tests/unit/place_support.h
tests_unit_test_budgets_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_budgets_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_budgets_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_policies
TESTS += tests/unit/test_policies
tests_unit_test_policies_SOURCES = tests/unit/test_policies.c tests/unit/place_support.h
tests_unit_test_policies_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_policies_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_policies_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_energy
TESTS += tests/unit/test_energy
tests_unit_test_energy_SOURCES = tests/unit/test_energy.c tests/unit/place_support.h
tests_unit_test_energy_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_energy_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_energy_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_shop
TESTS += tests/unit/test_shop
tests_unit_test_shop_SOURCES = tests/unit/test_shop.c tests/unit/place_support.h
tests_unit_test_shop_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_shop_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_shop_LDADD = $(TEST_LIBS)
endif
