// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/vcpu.c - A vCPU's life, and what KVM_RUN came back for
 *
 * Accesses to devices are answered from here through accel_host and the loop
 * goes on; only what changes the thread's life leaves vcpu_run. HLT never does:
 * with LAPICs in the kernel a halted vCPU sleeps inside KVM_RUN. */
#include "accel/kvm/hkvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/strbuf.h"

/* The kernel finds the target of an interrupt message through a map that it made
 * while this vCPU was not yet in its list, and makes anew only when a LAPIC changes.
 * Without this the INIT and SIPI of hkvm_inject() may reach nobody. */
static int announce_lapic(struct hkvm_vcpu *v)
{
	struct kvm_lapic_state l;
	int rc = hkvm_ioctl(v->fd, KVM_GET_LAPIC, &l);

	return rc ? rc : hkvm_ioctl(v->fd, KVM_SET_LAPIC, &l);
}

int hkvm_vcpu_create(struct accel_vm *avm, unsigned cpu, struct accel_vcpu **out,
		     struct hk_err *err)
{
	struct hkvm_vm *vm = hkvm_vm(avm);
	struct hkvm_vcpu *v;
	int rc;

	if (cpu >= vm->cpus || atomic_load(&vm->cpu[cpu]))
		return err_set(err, cpu >= vm->cpus ? -EINVAL : -EEXIST, "no place for vCPU %u",
			       cpu);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, -ENOMEM, "out of memory");
	v->base.ops = &hkvm_accel_ops;
	v->vm = vm;
	v->cpu = cpu;
	v->fd = hkvm_ioctl_num(vm->fd, KVM_CREATE_VCPU, cpu);
	if (v->fd < 0) {
		rc = err_set(err, v->fd, "KVM_CREATE_VCPU: %s", strerror(-v->fd));
		goto fail;
	}
	v->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		rc = err_set(err, -errno, "a vCPU's shared page: %s", strerror(errno));
		goto fail;
	}
	rc = announce_lapic(v);
	if (rc) {
		err_set(err, rc, "a vCPU's LAPIC: %s", strerror(-rc));
		goto fail;
	}
	atomic_store(&vm->cpu[cpu], v);
	*out = &v->base;
	return 0;
fail:
	hkvm_vcpu_destroy(&v->base);
	return rc;
}

void hkvm_vcpu_destroy(struct accel_vcpu *av)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);

	if (!v)
		return;
	if (atomic_load(&v->vm->cpu[v->cpu]) == v)
		atomic_store(&v->vm->cpu[v->cpu], NULL);
	if (v->run)
		munmap(v->run, v->vm->run_bytes);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

/* ------------------------------------------------------------------ exits */

static void count(struct hkvm_vcpu *v, enum hkvm_stat what)
{
	atomic_fetch_add_explicit(&v->stat[what], 1, memory_order_relaxed);
}

static void do_pio(struct hkvm_vcpu *v)
{
	const struct hkvm_vm *vm = v->vm;
	const u32 size = v->run->io.size, n = v->run->io.count;
	const bool out = v->run->io.direction == KVM_EXIT_IO_OUT;
	const u16 port = v->run->io.port;
	u8 *data = (u8 *)v->run + v->run->io.data_offset;

	count(v, HKVM_STAT_PIO);
	/* A string instruction: @n items from or to the same port */
	for (u32 i = 0; i < n; i++, data += size) {
		if (!out)
			memset(data, 0xff, size);
		vm->host->pio(vm->m, v->cpu, port, data, size, out);
	}
}

/* An access that crosses a page comes in pieces of any length; devices know 1, 2, 4, 8 */
static void do_mmio(struct hkvm_vcpu *v)
{
	const struct hkvm_vm *vm = v->vm;
	const bool write = v->run->mmio.is_write;
	u8 *data = v->run->mmio.data;
	gpa_t gpa = v->run->mmio.phys_addr;
	unsigned left = MIN(v->run->mmio.len, sizeof(v->run->mmio.data));

	count(v, HKVM_STAT_MMIO);
	if (!write)
		memset(data, 0xff, left);
	while (left) {
		unsigned n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;

		vm->host->mmio(vm->m, v->cpu, gpa, data, n, write);
		data += n;
		gpa += n;
		left -= n;
	}
}

static void do_msr(struct hkvm_vcpu *v, bool write)
{
	const struct hkvm_vm *vm = v->vm;
	u64 val = write ? v->run->msr.data : 0;
	int rc = vm->host->msr(vm->m, v->cpu, v->run->msr.index, &val, write);

	count(v, HKVM_STAT_MSR);
	if (rc && vm->ignore_msr) {
		rc = 0;
		val = 0;
	}
	v->run->msr.error = rc ? 1 : 0;
	if (!write)
		v->run->msr.data = val;
}

static void PRINTF(2, 3) broken(struct accel_exit_info *info, const char *fmt, ...)
{
	va_list ap;

	info->exit = ACCEL_EXIT_BROKEN;
	va_start(ap, fmt);
	vsnprintf(info->text, sizeof(info->text), fmt, ap);
	va_end(ap);
}

static void do_internal_error(struct hkvm_vcpu *v, struct accel_exit_info *info)
{
	const struct kvm_run *r = v->run;
	struct kvm_regs regs = { 0 };
	char bytes[3 * 15 + 1] = "";
	unsigned n = 0;

	if (r->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		broken(info, "KVM internal error %u", r->internal.suberror);
		return;
	}
	if (r->emulation_failure.ndata >= 3 &&
	    r->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
		n = MIN(r->emulation_failure.insn_size, 15);
	for (unsigned i = 0; i < n; i++)
		snprintf(bytes + 3 * i, 4, " %02x", r->emulation_failure.insn_bytes[i]);
	hkvm_ioctl(v->fd, KVM_GET_REGS, &regs);
	broken(info, "KVM cannot emulate the instruction at rip %#llx%s%s",
	       (unsigned long long)regs.rip, n ? ":" : "", bytes);
}

/* Return: true when the exit is for the caller of vcpu_run */
static bool handle_exit(struct hkvm_vcpu *v, struct accel_exit_info *info)
{
	const struct hkvm_vm *vm = v->vm;
	const struct kvm_run *r = v->run;

	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		do_pio(v);
		v->completing = true;
		return false;
	case KVM_EXIT_MMIO:
		do_mmio(v);
		v->completing = true;
		return false;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		do_msr(v, r->exit_reason == KVM_EXIT_X86_WRMSR);
		v->completing = true;
		return false;
	case KVM_EXIT_IOAPIC_EOI:
		vm->host->eoi(vm->m, v->cpu, r->eoi.vector);
		return false;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_NMI:
		return false;
	case KVM_EXIT_HLT:
		info->exit = ACCEL_EXIT_HLT;
		info->hlt_irqs_off = !r->if_flag;
		return true;
	case KVM_EXIT_SHUTDOWN:
		info->exit = ACCEL_EXIT_SHUTDOWN;
		return true;
	case KVM_EXIT_DEBUG:
		info->exit = ACCEL_EXIT_DEBUG;
		return true;
	case KVM_EXIT_INTERNAL_ERROR:
		do_internal_error(v, info);
		return true;
	case KVM_EXIT_FAIL_ENTRY:
		broken(info, "the CPU refuses the guest's state, reason %#llx",
		       (unsigned long long)r->fail_entry.hardware_entry_failure_reason);
		return true;
	case KVM_EXIT_SYSTEM_EVENT:
		broken(info, "KVM system event %u", r->system_event.type);
		return true;
	case KVM_EXIT_EXCEPTION:
		broken(info, "KVM hands out exception %u", r->ex.exception);
		return true;
	case KVM_EXIT_UNKNOWN:
		broken(info, "unknown hardware exit %#llx",
		       (unsigned long long)r->hw.hardware_exit_reason);
		return true;
	default:
		broken(info, "KVM exit %u is not understood", r->exit_reason);
		return true;
	}
}

/* Serve what hkvm_interrupt() was called for. Return: was it a kick? The page's flag
 * is cleared first: see kick.c. */
static bool take_attention(struct hkvm_vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (atomic_exchange(&v->nmi_wanted, false))
		hkvm_ioctl_num(v->fd, KVM_NMI, 0);
	return atomic_exchange(&v->kicked, false);
}

static int run_loop(struct hkvm_vcpu *v, struct accel_exit_info *info)
{
	int rc;

	for (;;) {
		/* While an I/O instruction is half done the state is nobody's business: a
		 * kick has set immediate_exit, so the kernel finishes it and comes back */
		if (!v->completing && take_attention(v)) {
			info->exit = ACCEL_EXIT_KICKED;
			return 0;
		}
		v->completing = false;
		rc = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
		if (rc == EINTR) {
			count(v, HKVM_STAT_SIGNAL);
			continue;
		}
		/* EAGAIN: an AP that waited was woken and must be entered again */
		if (rc == EAGAIN)
			continue;
		if (rc == EFAULT) {
			broken(info, "the guest touched memory that the host cannot provide");
			return 0;
		}
		if (rc)
			return -rc;
		if (handle_exit(v, info)) {
			count(v, HKVM_STAT_OTHER);
			return 0;
		}
	}
}

int hkvm_vcpu_run(struct accel_vcpu *av, struct accel_exit_info *info)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);
	int rc;

	memset(info, 0, sizeof(*info));
	hkvm_kick_enter(v);
	rc = run_loop(v, info);
	hkvm_kick_leave(v);
	return rc;
}

bool hkvm_has_work(struct accel_vcpu *av)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);

	return atomic_load(&v->kicked) || atomic_load(&v->nmi_wanted);
}

void hkvm_stats(struct accel_vm *avm, struct strbuf *out)
{
	static const char *const name[HKVM_NUM_STATS] = { "pio", "mmio", "msr", "signal",
							  "other" };
	struct hkvm_vm *vm = hkvm_vm(avm);

	for (unsigned i = 0; i < vm->cpus; i++) {
		struct hkvm_vcpu *v = atomic_load(&vm->cpu[i]);

		if (!v)
			continue;
		strbuf_add(out, "kvm vcpu %u exits:", i);
		for (unsigned s = 0; s < HKVM_NUM_STATS; s++)
			strbuf_add(out, " %s %llu", name[s],
				   (unsigned long long)atomic_load_explicit(&v->stat[s],
									    memory_order_relaxed));
		strbuf_add(out, "\n");
	}
}
