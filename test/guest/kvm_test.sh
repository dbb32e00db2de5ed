#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 240
# Bare guests under kvm
HYPERKIT=$HK_BUILD/hyperkit exec "$HK_TOP/test/guest/run-guests" kvm
