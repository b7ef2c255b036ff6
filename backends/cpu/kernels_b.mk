# SPDX-License-Identifier: Apache-2.0
# Families: move, gather, window, image.
