# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += hetero
hetero_SOURCES = \
	tools/cmd_bench.c \
	tools/cmd_calibrate.c \
	tools/cmd_check.c \
	tools/cmd_conform.c \
	tools/cmd_devices.c \
	tools/cmd_plan.c \
	tools/cmd_run.c \
	tools/common.c \
	tools/compare.c \
	tools/hetero.h \
	tools/main.c \
	tools/options.c \
	tools/sha256.c tools/sha256.h
hetero_LDADD = libhe.la
dist_noinst_SCRIPTS += tools/build tools/check tools/install-packages tools/quickstart
