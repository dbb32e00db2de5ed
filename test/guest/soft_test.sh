#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The bare guests of guests.cfg under accelerator soft
HYPERKIT=$HK_BUILD/hyperkit exec "$HK_TOP/test/guest/run-guests" soft
