// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/offsets.h - Offsets in struct sc_vcpu that assembly needs
 *
 * vcpu.c asserts each of them against the struct. */
#ifndef ACCEL_SOFT_OFFSETS_H
#define ACCEL_SOFT_OFFSETS_H

#define SC_OFF_GPR 8
#define SC_OFF_RIP 136
#define SC_OFF_RFLAGS 144
#define SC_OFF_RIP_PAGE 152
#define SC_OFF_STASH 160
#define SC_OFF_SCRATCH 168
#define SC_OFF_FS_BASE 200
#define SC_OFF_GS_BASE 208
#define SC_OFF_ATTENTION 216
#define SC_OFF_MODE 220
#define SC_OFF_HOST_RSP 224
#define SC_OFF_BLOCK 232
#define SC_OFF_RESUME 240
#define SC_OFF_SELF 248
#define SC_OFF_SHADOW 288

/* TLB and slots of windows: enter.S refills a slot itself */
#define SC_OFF_TLB 1216
#define SC_TLB_INDEX_BITS 12
#define SC_OFF_STACK 256
#define SC_OFF_SITE (SC_OFF_TLB + 2 * 32 * (1 << SC_TLB_INDEX_BITS))
#define SC_SITES_BITS 13
#define SC_OFF_SITE_NOTE (SC_OFF_SITE + 2 * 16 * (1 << SC_SITES_BITS))
#define SC_OFF_SITE_PAGES (SC_OFF_SITE_NOTE + 2 * (1 << SC_SITES_BITS))

/* What sc_enter returns besides a struct sc_exit * */
#define SC_LEFT_DONE 0	/* v->rip and v->rflags are right: go on there */
#define SC_LEFT_FAULT 2 /* a host signal: interpret the instruction at v->rip */

#endif
