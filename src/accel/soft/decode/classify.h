// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/classify.h - Mnemonic to class; decode/'s own */
#ifndef ACCEL_SOFT_DECODE_CLASSIFY_H
#define ACCEL_SOFT_DECODE_CLASSIFY_H

#include "base/types.h"

struct sc_insn;

/* Fill cls, sub and feature of @in from its mnemonic; needs the operands in place */
void sc_classify(struct sc_insn *in);

#endif
