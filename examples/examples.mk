# SPDX-License-Identifier: Apache-2.0
noinst_PROGRAMS += examples/digits/show
examples_digits_show_SOURCES = examples/digits/show.c
examples_digits_show_LDADD = libhe.la
EXTRA_DIST += examples/digits/digits.onnx examples/digits/expected.npy \
	examples/digits/input.npy examples/digits/labels.txt examples/digits/train.py
