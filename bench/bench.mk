# SPDX-License-Identifier: Apache-2.0
# Benchmarks are run by hand: bench/latency, bench/overhead. The figures are in bench/RESULTS.md.
EXTRA_DIST += bench/placement/random_dags bench/placement/small bench/placement/taskgraph.py \
	bench/placement/import_dagbench.py bench/placement/import_wfformat.py \
	bench/placement/import_hyperdag.py bench/placement/starpu_dags.py
EXTRA_PROGRAMS += bench/overhead_tasks
bench_overhead_tasks_SOURCES = bench/overhead.c
bench_overhead_tasks_LDADD = libhe.la
CLEANFILES += bench/overhead_tasks$(EXEEXT)
EXTRA_DIST += bench/placement/README.md bench/gpu bench/latency bench/latency.py bench/overhead bench/overhead_starpu.c bench/RESULTS.md
EXTRA_DIST += bench/placement/import_dnn.py bench/placement/pipeline
EXTRA_DIST += bench/placement/import_gap.py bench/placement/assignment
EXTRA_PROGRAMS += bench/guard_runs
bench_guard_runs_SOURCES = bench/guard.c
bench_guard_runs_LDADD = libhe.la -lm
CLEANFILES += bench/guard_runs$(EXEEXT)
EXTRA_DIST += bench/guard
EXTRA_PROGRAMS += bench/placement/solve
bench_placement_solve_SOURCES = bench/placement/solve.c
bench_placement_solve_LDADD = libhe.la
CLEANFILES += bench/placement/solve$(EXEEXT)
EXTRA_DIST += bench/placement/import_fjsp.py bench/placement/shop
EXTRA_PROGRAMS += bench/placement/planted
bench_placement_planted_SOURCES = bench/placement/planted.c
bench_placement_planted_LDADD = libhe.la
CLEANFILES += bench/placement/planted$(EXEEXT)
EXTRA_PROGRAMS += bench/packing/pack
bench_packing_pack_SOURCES = bench/packing/pack.c
bench_packing_pack_LDADD = libhe.la
CLEANFILES += bench/packing/pack$(EXEEXT)
EXTRA_DIST += bench/packing/packing
EXTRA_PROGRAMS += bench/packing/plans
bench_packing_plans_SOURCES = bench/packing/plans.c
bench_packing_plans_LDADD = libhe.la
CLEANFILES += bench/packing/plans$(EXEEXT)
EXTRA_PROGRAMS += bench/placement/speed
bench_placement_speed_SOURCES = bench/placement/speed.c
bench_placement_speed_LDADD = libhe.la
CLEANFILES += bench/placement/speed$(EXEEXT)
