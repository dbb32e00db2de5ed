// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/io.c - Ports: permission and access
 *
 * SDM 1, 19.5. The machine answers through accel_host.pio. [vcpu] */
#include "accel/soft/cache/cache.h"
#include "accel/soft/sys/sys_int.h"

void sc_check_io(struct sc_vcpu *v, u16 port, unsigned len)
{
	const struct x86_segment *tr = &v->seg[X86_TR];
	u32 map, at;
	u16 bits;

	if (!sc_protected(v) || (!sc_vm86(v) && v->cpl <= sc_iopl(v)))
		return;
	/* Only a 32-bit (or 64-bit) TSS has a bitmap */
	if ((tr->attr & X86_SEG_UNUSABLE) || !(tr->attr & 8) || tr->limit < 103)
		sc_gp0(v);
	map = (u32)sc_sys_read(v, tr->base + 102, 2);
	at = map + port / 8;
	/* Two bytes are always read, as an access may begin at bit 7 */
	if (at + 1 > tr->limit)
		sc_gp0(v);
	bits = (u16)sc_sys_read(v, tr->base + at, 2);
	if (bits >> (port & 7) & (BIT(len) - 1))
		sc_gp0(v);
}

static void access(struct sc_vcpu *v, u16 port, u64 *data, unsigned size, bool write)
{
	u64 begin = __builtin_ia32_rdtsc();

	v->stats.pio++;
	if (unlikely(v->watch))
		sc_watch(v, port, size, write, true);
	sc_fpu_save(v);
	cache_guest_leave(v);
	v->vm->host->pio(v->vm->m, v->cpu, port, data, size, write);
	v->stats.device_cycles += __builtin_ia32_rdtsc() - begin;
	cache_guest_enter(v);
}

u64 sc_port_in(struct sc_vcpu *v, u16 port, unsigned size)
{
	u64 data = ~0ull;

	access(v, port, &data, size, false);
	return size == 8 ? data : data & (BIT64(size * 8) - 1);
}

void sc_port_out(struct sc_vcpu *v, u16 port, unsigned size, u64 val)
{
	access(v, port, &val, size, true);
}
