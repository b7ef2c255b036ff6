# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/plan/check.c \
	src/plan/cuts.c \
	src/plan/explain.c src/plan/explain.h \
	src/plan/explain_json.c \
	src/plan/explain_text.c \
	src/plan/hints.c src/plan/hints.h \
	src/plan/json.c \
	src/plan/lifetimes.c \
	src/plan/lower.c src/plan/lower.h \
	src/plan/memory.c \
	src/plan/plan.c src/plan/plan.h \
	src/plan/producers.c src/plan/producers.h \
	src/plan/read_graph.c src/plan/read_graph.h \
	src/plan/read_limits.c \
	src/plan/read_machine.c \
	src/plan/read_tasks.c \
	src/plan/steps.c \
	src/plan/what_if.c \
	src/plan/write_onnx.c
EXTRA_DIST += src/plan/README.md
