# SPDX-License-Identifier: Apache-2.0
# Examples use the installed headers and the shared library only, as a user would.
noinst_PROGRAMS += examples/add_devices examples/run_model examples/submit examples/use_plan
examples_add_devices_SOURCES = examples/add_devices.c
examples_add_devices_CPPFLAGS = -I$(top_srcdir)/include
examples_add_devices_LDADD = libheteroengine.la
examples_run_model_SOURCES = examples/run_model.c
examples_run_model_CPPFLAGS = -I$(top_srcdir)/include
examples_run_model_LDADD = libheteroengine.la
examples_submit_SOURCES = examples/submit.c
examples_submit_CPPFLAGS = -I$(top_srcdir)/include
examples_submit_LDADD = libheteroengine.la
examples_use_plan_SOURCES = examples/use_plan.c
examples_use_plan_CPPFLAGS = -I$(top_srcdir)/include
examples_use_plan_LDADD = libheteroengine.la

noinst_PROGRAMS += examples/digits/show
examples_digits_show_SOURCES = examples/digits/show.c
examples_digits_show_LDADD = libhe.la
EXTRA_DIST += examples/digits/digits.onnx examples/digits/expected.npy \
	examples/digits/input.npy examples/digits/labels.txt examples/digits/train.py
