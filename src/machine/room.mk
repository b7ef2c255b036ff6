# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/machine/budget.c src/machine/budget.h \
	src/machine/catalogue.c src/machine/catalogue.h \
	src/machine/device.c \
	src/machine/discover.c \
	src/machine/keys.c src/machine/keys.h \
	src/machine/machine.c src/machine/machine.h \
	src/machine/oneline.c \
	src/machine/yaml.c

# The catalogue: installed, and found in the source tree before that.
cataloguedir = $(datadir)/heteroengine/devices
dist_catalogue_DATA = conf/devices/h100.yaml conf/devices/u280.yaml
EXTRA_DIST += conf/minimal.yaml conf/full.yaml
AM_CPPFLAGS += -DHE_CATALOGUE_DIR='"$(cataloguedir)"' \
	-DHE_CATALOGUE_SOURCE_DIR='"$(abs_top_srcdir)/conf/devices"'
