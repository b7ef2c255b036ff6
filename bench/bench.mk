# SPDX-License-Identifier: Apache-2.0
# Benchmarks are run by hand, each by its script (bench/guard, bench/packing/packing...); none is part of
# `make` or `make check`. The figures are in bench/RESULTS.md.
bench_programs = bench/guard_runs bench/overhead_tasks bench/packing/pack bench/packing/plans \
	bench/placement/planted bench/placement/solve bench/placement/speed
if HAVE_OPENCL
bench_programs += bench/transfers_rates
endif
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)

bench_guard_runs_SOURCES = bench/guard.c
bench_guard_runs_LDADD = libhe.la -lm
bench_overhead_tasks_SOURCES = bench/overhead.c
bench_overhead_tasks_LDADD = libhe.la
bench_packing_pack_SOURCES = bench/packing/pack.c
bench_packing_pack_LDADD = libhe.la
bench_packing_plans_SOURCES = bench/packing/plans.c
bench_packing_plans_LDADD = libhe.la
bench_placement_planted_SOURCES = bench/placement/planted.c
bench_placement_planted_LDADD = libhe.la
bench_placement_solve_SOURCES = bench/placement/solve.c
bench_placement_solve_LDADD = libhe.la
bench_placement_speed_SOURCES = bench/placement/speed.c
bench_placement_speed_LDADD = libhe.la
bench_transfers_rates_SOURCES = bench/transfers.c
bench_transfers_rates_LDADD = libhe.la

# Kernels bound by memory beside a copy, on any OpenCL device: make bench/gpu_kernels && bench/gpu_kernels
if HAVE_OPENCL
EXTRA_PROGRAMS += bench/gpu_kernels
CLEANFILES += bench/gpu_kernels
endif
bench_gpu_kernels_SOURCES = bench/gpu_kernels.c tests/support/graph_builder.c \
	tests/support/graph_builder.h
bench_gpu_kernels_CPPFLAGS = $(TEST_CPPFLAGS)
bench_gpu_kernels_LDADD = libhe.la -lm

EXTRA_DIST += bench/RESULTS.md bench/gpu bench/gpu_ways bench/guard bench/latency bench/latency.py bench/overhead \
	bench/overhead_starpu.c bench/packing/packing bench/placement/README.md bench/placement/assignment \
	bench/placement/import_dagbench.py bench/placement/import_dnn.py bench/placement/import_fjsp.py \
	bench/placement/import_gap.py bench/placement/import_hyperdag.py \
	bench/placement/import_wfformat.py bench/placement/pipeline bench/placement/random_dags \
	bench/placement/shop bench/placement/small bench/placement/starpu_dags.py \
	bench/placement/taskgraph.py bench/transfers
