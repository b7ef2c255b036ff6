# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += hetero
hetero_SOURCES = \
	tools/check.h tools/check_opencl.c \
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
	tools/manual.c \
	tools/options.c \
	tools/sha256.c tools/sha256.h
hetero_LDADD = libhe.la
dist_noinst_SCRIPTS += tools/build tools/check tools/install-packages tools/quickstart

# Written by the tool itself, from the tables --help is written from.
man_MANS = hetero.1
completiondir = $(datadir)/bash-completion/completions
nodist_completion_DATA = tools/completion/hetero
CLEANFILES += hetero.1 tools/completion/hetero
hetero.1: hetero$(EXEEXT)
	$(AM_V_GEN)./hetero$(EXEEXT) help --man > $@.tmp && mv $@.tmp $@
tools/completion/hetero: hetero$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) tools/completion && ./hetero$(EXEEXT) help --completion > $@.tmp && mv $@.tmp $@
