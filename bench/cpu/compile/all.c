// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench/cpu - what the compiler workload compiles: this whole program as one unit
 *
 * Preprocessed when it is built. Headers of the intrinsics make most of its lines, as
 * C++ headers or a kernel's would.
 */
#include "cpu.h"

#define works integer_works
#include "integer.c"
#undef works
#define works flow_works
#include "flow.c"
#undef works
#define works fp_works
#include "fp.c"
#undef works
#define works memory_works
#include "memory.c"
#undef works
#define works kernel_works
#include "kernel.c"
#undef works
#define works jit_works
#include "jit.c"
#undef works
#define works smp_works
#include "smp.c"
#undef works
#include "main.c"
