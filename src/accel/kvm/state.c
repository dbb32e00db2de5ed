// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/state.c - Architectural state in and out of KVM
 *
 * KVM groups registers differently from struct x86_state: where two of our
 * groups share one of its structures, that one is read, overlaid and written. */
#include "accel/kvm/hkvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRY(call)                 \
	do {                      \
		int rc_ = (call); \
		if (rc_ < 0)      \
			return rc_; \
	} while (0)

/* ---------------------------------------------------------------- registers */

static void regs_from_kvm(struct x86_state *st, const struct kvm_regs *r)
{
	const u64 gpr[X86_NUM_GPRS] = {
		[X86_RAX] = r->rax, [X86_RCX] = r->rcx, [X86_RDX] = r->rdx, [X86_RBX] = r->rbx,
		[X86_RSP] = r->rsp, [X86_RBP] = r->rbp, [X86_RSI] = r->rsi, [X86_RDI] = r->rdi,
		[X86_R8] = r->r8, [X86_R9] = r->r9, [X86_R10] = r->r10, [X86_R11] = r->r11,
		[X86_R12] = r->r12, [X86_R13] = r->r13, [X86_R14] = r->r14, [X86_R15] = r->r15,
	};

	memcpy(st->gpr, gpr, sizeof(gpr));
	st->rip = r->rip;
	st->rflags = r->rflags | 2;
}

static struct kvm_regs regs_to_kvm(const struct x86_state *st)
{
	const u64 *g = st->gpr;

	return (struct kvm_regs){
		.rax = g[X86_RAX], .rcx = g[X86_RCX], .rdx = g[X86_RDX], .rbx = g[X86_RBX],
		.rsp = g[X86_RSP], .rbp = g[X86_RBP], .rsi = g[X86_RSI], .rdi = g[X86_RDI],
		.r8 = g[X86_R8], .r9 = g[X86_R9], .r10 = g[X86_R10], .r11 = g[X86_R11],
		.r12 = g[X86_R12], .r13 = g[X86_R13], .r14 = g[X86_R14], .r15 = g[X86_R15],
		.rip = st->rip, .rflags = st->rflags | 2,
	};
}

static struct x86_segment seg_from_kvm(const struct kvm_segment *k)
{
	return (struct x86_segment){
		.base = k->base, .limit = k->limit, .sel = k->selector,
		.attr = (u32)k->type | (k->s ? X86_SEG_S : 0) |
			(u32)k->dpl << X86_SEG_DPL_SHIFT | (k->present ? X86_SEG_P : 0) |
			(k->avl ? X86_SEG_AVL : 0) | (k->l ? X86_SEG_L : 0) |
			(k->db ? X86_SEG_DB : 0) | (k->g ? X86_SEG_G : 0) |
			(k->unusable ? X86_SEG_UNUSABLE : 0),
	};
}

static struct kvm_segment seg_to_kvm(const struct x86_segment *s)
{
	return (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->sel,
		.type = s->attr & X86_SEG_TYPE, .s = !!(s->attr & X86_SEG_S),
		.dpl = s->attr >> X86_SEG_DPL_SHIFT & 3, .present = !!(s->attr & X86_SEG_P),
		.avl = !!(s->attr & X86_SEG_AVL), .l = !!(s->attr & X86_SEG_L),
		.db = !!(s->attr & X86_SEG_DB), .g = !!(s->attr & X86_SEG_G),
		.unusable = !!(s->attr & X86_SEG_UNUSABLE),
	};
}

/* Where each of our segments lives in KVM's structure */
static struct kvm_segment *kvm_seg(struct kvm_sregs *k, enum x86_seg s)
{
	struct kvm_segment *const at[X86_NUM_SEGS] = {
		[X86_ES] = &k->es, [X86_CS] = &k->cs, [X86_SS] = &k->ss, [X86_DS] = &k->ds,
		[X86_FS] = &k->fs, [X86_GS] = &k->gs, [X86_LDTR] = &k->ldt, [X86_TR] = &k->tr,
	};

	return at[s];
}

static void sregs_from_kvm(struct x86_state *st, struct kvm_sregs *k, u32 groups)
{
	if (groups & X86_STATE_SEG) {
		for (unsigned i = 0; i < X86_NUM_SEGS; i++)
			st->seg[i] = seg_from_kvm(kvm_seg(k, i));
		st->gdt = (struct x86_table){ .base = k->gdt.base, .limit = k->gdt.limit };
		st->idt = (struct x86_table){ .base = k->idt.base, .limit = k->idt.limit };
	}
	if (groups & X86_STATE_CTRL) {
		st->cr0 = k->cr0;
		st->cr2 = k->cr2;
		st->cr3 = k->cr3;
		st->cr4 = k->cr4;
		st->cr8 = k->cr8;
		st->efer = k->efer;
		st->apic_base = k->apic_base;
	}
}

static void sregs_to_kvm(const struct x86_state *st, struct kvm_sregs *k, u32 groups)
{
	if (groups & X86_STATE_SEG) {
		for (unsigned i = 0; i < X86_NUM_SEGS; i++)
			*kvm_seg(k, i) = seg_to_kvm(&st->seg[i]);
		k->gdt = (struct kvm_dtable){ .base = st->gdt.base, .limit = st->gdt.limit };
		k->idt = (struct kvm_dtable){ .base = st->idt.base, .limit = st->idt.limit };
	}
	if (groups & X86_STATE_CTRL) {
		k->cr0 = st->cr0;
		k->cr2 = st->cr2;
		k->cr3 = st->cr3;
		k->cr4 = st->cr4;
		k->cr8 = st->cr8;
		k->efer = st->efer;
		k->apic_base = st->apic_base;
	}
}

/* --------------------------------------------------------------------- MSRs */

static const struct { u32 index; size_t off; } msr_map[] = {
#define MSR(num, field) { num, offsetof(struct x86_state, msr.field) }
	MSR(0x174, sysenter_cs), MSR(0x175, sysenter_esp), MSR(0x176, sysenter_eip),
	MSR(0x1a0, misc_enable), MSR(0x277, pat), MSR(0x2ff, mtrr_def_type),
	MSR(0xc0000081, star), MSR(0xc0000082, lstar), MSR(0xc0000083, cstar),
	MSR(0xc0000084, sfmask), MSR(0xc0000102, kernel_gs_base), MSR(0xc0000103, tsc_aux),
	MSR(0x4b564d00, kvm_wall_clock), MSR(0x4b564d01, kvm_system_time),
	MSR(0x4b564d02, kvm_async_pf), MSR(0x4b564d03, kvm_steal_time),
	MSR(0x4b564d04, kvm_pv_eoi),
	MSR(0x10, tsc), /* last: what comes before takes time */
#undef MSR
};

/* struct kvm_msrs with room for one entry */
union one_msr {
	struct kvm_msrs head;
	u8 room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

/* One at a time: the kernel stops at the first that it does not know, and which it
 * knows depends on its version and on the CPUID that was set */
static int msrs_get(struct hkvm_vcpu *v, struct x86_state *st)
{
	for (unsigned i = 0; i < ARRAY_LEN(msr_map); i++) {
		union one_msr one = { .head.nmsrs = 1 };
		u64 val;
		int rc;

		one.head.entries[0].index = msr_map[i].index;
		rc = hkvm_ioctl(v->fd, KVM_GET_MSRS, &one);
		if (rc < 0)
			return rc;
		val = rc == 1 ? one.head.entries[0].data : 0;
		memcpy((u8 *)st + msr_map[i].off, &val, sizeof(val));
	}
	return 0;
}

static int msrs_set(struct hkvm_vcpu *v, const struct x86_state *st)
{
	for (unsigned i = 0; i < ARRAY_LEN(msr_map); i++) {
		union one_msr one = { .head.nmsrs = 1 };
		u64 val;
		int rc;

		memcpy(&val, (const u8 *)st + msr_map[i].off, sizeof(val));
		one.head.entries[0].index = msr_map[i].index;
		one.head.entries[0].data = val;
		rc = hkvm_ioctl(v->fd, KVM_SET_MSRS, &one);
		if (rc < 0)
			return rc;
		if (rc != 1 && val) /* one that does not exist keeps its zero */
			return -EINVAL;
	}
	return 0;
}

/* ------------------------------------------------------------------- events */

static int events_get(struct hkvm_vcpu *v, struct x86_state *st)
{
	struct kvm_vcpu_events e = { 0 };
	struct kvm_mp_state mp = { 0 };

	TRY(hkvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	TRY(hkvm_ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	memset(&st->event, 0, sizeof(st->event));
	switch (mp.mp_state) {
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_AP_RESET_HOLD:
		st->event.activity = X86_HALTED;
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		st->event.activity = X86_WAIT_SIPI;
		break;
	default:
		st->event.activity = X86_RUNNING;
	}
	st->event.nmi_pending = e.nmi.pending || atomic_load(&v->nmi_wanted);
	st->event.nmi_blocked = e.nmi.masked;
	st->event.int_shadow = e.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? 1 :
			       e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? 2 : 0;
	st->event.exception_pending = e.exception.injected;
	st->event.exception_vector = e.exception.nr;
	st->event.exception_has_error = e.exception.has_error_code;
	st->event.exception_error = e.exception.error_code;
	st->event.interrupt_injected = e.interrupt.injected && !e.interrupt.soft;
	st->event.interrupt_vector = e.interrupt.nr;
	return 0;
}

static int events_set(struct hkvm_vcpu *v, const struct x86_state *st)
{
	struct kvm_vcpu_events e = { 0 };
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (st->event.activity == X86_HALTED)
		mp.mp_state = KVM_MP_STATE_HALTED;
	else if (st->event.activity == X86_WAIT_SIPI)
		mp.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	atomic_store(&v->nmi_wanted, false);
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	e.nmi.pending = st->event.nmi_pending;
	e.nmi.masked = st->event.nmi_blocked;
	e.interrupt.shadow = st->event.int_shadow == 1 ? KVM_X86_SHADOW_INT_STI :
			     st->event.int_shadow == 2 ? KVM_X86_SHADOW_INT_MOV_SS : 0;
	e.exception.injected = st->event.exception_pending;
	e.exception.nr = st->event.exception_vector;
	e.exception.has_error_code = st->event.exception_has_error;
	e.exception.error_code = st->event.exception_error;
	e.interrupt.injected = st->event.interrupt_injected;
	e.interrupt.nr = st->event.interrupt_vector;
	TRY(hkvm_ioctl(v->fd, KVM_SET_MP_STATE, &mp));
	return hkvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
}

/* --------------------------------------------------- vector and debug state */

static int fpu_get(struct hkvm_vcpu *v, struct x86_state *st)
{
	struct kvm_xsave *x = calloc(1, sizeof(*x));
	int rc = -ENOMEM;

	_Static_assert(sizeof(x->region) == sizeof(st->xsave), "one XSAVE image is the other");
	if (x)
		rc = hkvm_ioctl(v->fd, KVM_GET_XSAVE, x);
	if (!rc)
		memcpy(st->xsave, x->region, sizeof(st->xsave));
	free(x);
	return rc;
}

static int fpu_set(struct hkvm_vcpu *v, const struct x86_state *st)
{
	struct kvm_xsave *x = calloc(1, sizeof(*x));
	int rc = -ENOMEM;

	if (x) {
		memcpy(x->region, st->xsave, sizeof(st->xsave));
		rc = hkvm_ioctl(v->fd, KVM_SET_XSAVE, x);
	}
	free(x);
	return rc;
}

static int xcr0_get(struct hkvm_vcpu *v, struct x86_state *st)
{
	struct kvm_xcrs x = { 0 };

	st->xcr0 = 1;
	if (!v->vm->has_xcr0)
		return 0;
	TRY(hkvm_ioctl(v->fd, KVM_GET_XCRS, &x));
	for (u32 i = 0; i < x.nr_xcrs && i < ARRAY_LEN(x.xcrs); i++)
		if (x.xcrs[i].xcr == 0)
			st->xcr0 = x.xcrs[i].value;
	return 0;
}

static int xcr0_set(struct hkvm_vcpu *v, const struct x86_state *st)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = st->xcr0 } } };

	return v->vm->has_xcr0 ? hkvm_ioctl(v->fd, KVM_SET_XCRS, &x) : 0;
}

static int debugregs_get(struct hkvm_vcpu *v, struct x86_state *st)
{
	struct kvm_debugregs d = { 0 };

	TRY(hkvm_ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	memset(st->dr, 0, sizeof(st->dr));
	memcpy(st->dr, d.db, sizeof(d.db));
	st->dr[6] = d.dr6;
	st->dr[7] = d.dr7;
	return 0;
}

static int debugregs_set(struct hkvm_vcpu *v, const struct x86_state *st)
{
	struct kvm_debugregs d = { .dr6 = st->dr[6], .dr7 = st->dr[7] };

	memcpy(d.db, st->dr, sizeof(d.db));
	return hkvm_ioctl(v->fd, KVM_SET_DEBUGREGS, &d);
}

static int lapic_get(struct hkvm_vcpu *v, struct x86_state *st)
{
	struct kvm_lapic_state l;

	_Static_assert(sizeof(l.regs) == sizeof(st->lapic), "one LAPIC page is the other");
	TRY(hkvm_ioctl(v->fd, KVM_GET_LAPIC, &l));
	memcpy(st->lapic, l.regs, sizeof(st->lapic));
	return 0;
}

static int lapic_set(struct hkvm_vcpu *v, const struct x86_state *st)
{
	struct kvm_lapic_state l;

	memcpy(l.regs, st->lapic, sizeof(st->lapic));
	return hkvm_ioctl(v->fd, KVM_SET_LAPIC, &l);
}

/* ---------------------------------------------------------------- the whole */

int hkvm_state_get(struct accel_vcpu *av, u32 groups, struct x86_state *st)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);

	if (groups & X86_STATE_GPR) {
		struct kvm_regs r;

		TRY(hkvm_ioctl(v->fd, KVM_GET_REGS, &r));
		regs_from_kvm(st, &r);
	}
	if (groups & (X86_STATE_SEG | X86_STATE_CTRL)) {
		struct kvm_sregs k;

		TRY(hkvm_ioctl(v->fd, KVM_GET_SREGS, &k));
		sregs_from_kvm(st, &k, groups);
	}
	if (groups & X86_STATE_CTRL)
		TRY(xcr0_get(v, st));
	if (groups & X86_STATE_FPU)
		TRY(fpu_get(v, st));
	if (groups & X86_STATE_MSR)
		TRY(msrs_get(v, st));
	if (groups & X86_STATE_DEBUG)
		TRY(debugregs_get(v, st));
	if (groups & X86_STATE_EVENTS)
		TRY(events_get(v, st));
	if (groups & X86_STATE_LAPIC)
		TRY(lapic_get(v, st));
	return 0;
}

/* In this order: the LAPIC's mode comes with apic_base, XSAVE needs XCR0, and events
 * come last because KVM_SET_REGS drops a pending exception */
int hkvm_state_set(struct accel_vcpu *av, u32 groups, const struct x86_state *st)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);

	if (groups & (X86_STATE_SEG | X86_STATE_CTRL)) {
		struct kvm_sregs k;

		TRY(hkvm_ioctl(v->fd, KVM_GET_SREGS, &k));
		sregs_to_kvm(st, &k, groups);
		memset(k.interrupt_bitmap, 0, sizeof(k.interrupt_bitmap));
		TRY(hkvm_ioctl(v->fd, KVM_SET_SREGS, &k));
	}
	if (groups & X86_STATE_CTRL)
		TRY(xcr0_set(v, st));
	if (groups & X86_STATE_GPR) {
		struct kvm_regs r = regs_to_kvm(st);

		TRY(hkvm_ioctl(v->fd, KVM_SET_REGS, &r));
	}
	if (groups & X86_STATE_FPU)
		TRY(fpu_set(v, st));
	if (groups & X86_STATE_MSR)
		TRY(msrs_set(v, st));
	if (groups & X86_STATE_LAPIC)
		TRY(lapic_set(v, st));
	if (groups & X86_STATE_DEBUG)
		TRY(debugregs_set(v, st));
	if (groups & X86_STATE_EVENTS)
		TRY(events_set(v, st));
	return 0;
}
