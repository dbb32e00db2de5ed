// SPDX-License-Identifier: BSD-2-Clause
/* What a program that embeds the library relies on: many VMs, its own names, its own
 * signals, its own event loop. Sees the public header only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hyperkit/hyperkit.h>

#define WAIT_MS 30000

/* Names that the library uses inside: they must not meet ours */
int err_set(int x);
void mem_init(void);
int err_set(int x) { return x + 1; }
void mem_init(void) { }

/* --------------------------------------------------------------- guests */

/* Multiboot kernel with address fields: loaded and entered at 1 MiB + 32 */
#define GUEST_ADDR 0x100000u
static char guest_path[4096];

static const char *guest(const uint8_t *code, size_t n)
{
	struct {
		uint32_t magic, flags, checksum, header, load, load_end, bss_end, entry;
	} h = { 0x1badb002, 1 << 16, 0, GUEST_ADDR, GUEST_ADDR, 0, 0, GUEST_ADDR + sizeof(h) };
	const char *dir = getenv("HK_TMP");
	FILE *f;

	h.checksum = -(h.magic + h.flags);
	snprintf(guest_path, sizeof(guest_path), "%s/guest.bin", dir ? dir : "/tmp");
	f = fopen(guest_path, "w");
	assert_non_null(f);
	fwrite(&h, sizeof(h), 1, f);
	fwrite(code, n, 1, f);
	assert_int_equal(fclose(f), 0);
	return guest_path;
}

/* mov dx,0x3f8; mov al,'A'; out dx,al; mov al,5; out 0xf4,al; hlt */
static const uint8_t say_a[] = { 0x66, 0xba, 0xf8, 0x03, 0xb0, 'A', 0xee, 0xb0, 5, 0xe6, 0xf4, 0xf4 };
static const uint8_t spin[] = { 0xeb, 0xfe };
static const uint8_t halt[] = { 0xfa, 0xf4, 0xeb, 0xfd };
/* lidt of nothing, then int3: triple fault */
static const uint8_t triple[] = { 0x31, 0xc0, 0x50, 0x50, 0x0f, 0x01, 0x1c, 0x24, 0xcc };
/* again: mov dx,0x3fd; in al,dx; test al,1; jz again; mov dl,0xf8; in al,dx; out dx,al;
 * cmp al,'q'; jne again; out 0xf4,al; hlt */
static const uint8_t echo[] = { 0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7, 0xb2, 0xf8,
				0xec, 0xee, 0x3c, 'q', 0x75, 0xef, 0xe6, 0xf4, 0xf4 };

/* ------------------------------------------------------------ tools */

struct heard {
	pthread_mutex_t lock;
	char text[64];
	size_t n;
};

static void hear(void *arg, const uint8_t *bytes, size_t n)
{
	struct heard *h = arg;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < n && h->n + 1 < sizeof(h->text); i++)
		h->text[h->n++] = bytes[i];
	pthread_mutex_unlock(&h->lock);
}

/* The entry leaves ESP undefined; `triple` pushes */
static struct hk_vm *vm_on(const char *accel, unsigned cpus, const uint8_t *code, size_t n,
			   struct heard *h)
{
	struct hk_vm_config cfg = { .size = sizeof(cfg), .cpus = cpus, .accel = accel,
				    .memory_bytes = 16 << 20, .flags = HK_VM_DEBUG_EXIT };
	struct hk_serial_config com1 = HK_SERIAL_CONFIG_INIT;
	uint8_t with_stack[64] = { 0xbc, 0x00, 0x00, 0x20, 0x00 }; /* mov esp,0x200000 */
	struct hk_err err = { "" };
	struct hk_vm *vm = NULL;

	memcpy(with_stack + 5, code, n);
	com1.output = h ? hear : NULL;
	com1.output_arg = h;
	if (h) {
		memset(h, 0, sizeof(*h));
		pthread_mutex_init(&h->lock, NULL);
	}
	if (hk_vm_create(&vm, &cfg, &err) ||
	    hk_vm_device(vm, 0, 0, 0, "hostbridge", NULL, &err) ||
	    hk_vm_device(vm, 0, 31, 0, "lpc", NULL, &err) || hk_vm_serial(vm, 1, &com1, &err) ||
	    hk_vm_boot_multiboot(vm, guest(with_stack, n + 5), NULL, NULL, &err) ||
	    hk_vm_start(vm, &err))
		fail_msg("%s", err.text);
	return vm;
}
#define VM(accel, cpus, code, h) vm_on(accel, cpus, code, sizeof(code), h)

static enum hk_exit wait_end(struct hk_vm *vm)
{
	enum hk_exit why = HK_EXIT_NONE;

	assert_int_equal(hk_vm_wait(vm, WAIT_MS, &why), 0);
	return why;
}

/* A name that works here, other than soft; soft if there is none */
static const char *other_accel(void)
{
	struct hk_accel_info info;

	for (unsigned i = 0; !hk_accel_query(i, &info); i++)
		if (info.present && strcmp(info.name, "soft"))
			return info.name;
	return "soft";
}

/* ------------------------------------------------------------- tests */

static void two_vms_run_side_by_side_on_two_accelerators(void **s)
{
	static struct heard h[2]; /* outlives a failed test, as its VM does */
	struct hk_vm *vm[2];
	struct hk_event ev;

	vm[0] = VM("soft", 1, spin, NULL);
	vm[1] = VM(other_accel(), 1, say_a, &h[1]);
	assert_int_equal(wait_end(vm[1]), HK_EXIT_DEBUG);
	assert_string_equal(h[1].text, "A");
	do
		assert_int_equal(hk_vm_next_event(vm[1], &ev), 0);
	while (ev.type != HK_EVENT_EXIT);
	assert_int_equal(ev.value, 2 * 5 + 1);
	/* The other one is still at it */
	assert_int_equal(hk_vm_wait(vm[0], 0, &ev.exit), -ETIMEDOUT);
	hk_vm_destroy(vm[1]);
	vm[1] = VM("soft", 1, say_a, &h[0]);
	assert_int_equal(wait_end(vm[1]), HK_EXIT_DEBUG);
	assert_string_equal(h[0].text, "A");
	hk_vm_stop(vm[0]);
	assert_int_equal(wait_end(vm[0]), HK_EXIT_STOPPED);
	hk_vm_destroy(vm[0]);
	hk_vm_destroy(vm[1]);
}

static void the_embedders_names_are_its_own(void **s)
{
	assert_int_equal(err_set(1), 2);
	mem_init();
}

static void the_descriptor_polls_like_any_other(void **s)
{
	struct hk_vm *vm = VM("soft", 1, say_a, NULL);
	struct pollfd p = { .fd = hk_vm_fd(vm), .events = POLLIN };
	struct hk_event ev = { .type = HK_EVENT_PAUSED };

	while (ev.type != HK_EVENT_EXIT) {
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_int_equal(hk_vm_next_event(vm, &ev), 0);
	}
	assert_int_equal(ev.exit, HK_EXIT_DEBUG);
	assert_int_equal(hk_vm_next_event(vm, &ev), -EAGAIN);
	assert_int_equal(poll(&p, 1, 0), 0);
	hk_vm_destroy(vm);
}

static void ways_to_end_are_told_apart(void **s)
{
	struct hk_vm *vm = VM("soft", 2, halt, NULL);

	assert_int_equal(wait_end(vm), HK_EXIT_HALT);
	hk_vm_destroy(vm);
	vm = VM("soft", 1, triple, NULL);
	assert_int_equal(wait_end(vm), HK_EXIT_TRIPLE_FAULT);
	assert_non_null(strcasestr(hk_vm_fault_text(vm), "rip"));
	hk_vm_destroy(vm);
}

static void what_is_typed_reaches_the_guest(void **s)
{
	static struct heard h;
	struct hk_vm *vm = VM("soft", 1, echo, &h);
	const char *text = "hello q";
	size_t n = strlen(text);

	while (n) {
		int rc = hk_vm_serial_input(vm, 1, (const uint8_t *)text, n);

		assert_true(rc >= 0);
		text += rc;
		n -= rc;
	}
	assert_int_equal(wait_end(vm), HK_EXIT_DEBUG);
	assert_string_equal(h.text, "hello q");
	hk_vm_destroy(vm);
}

static void a_paused_vm_can_be_resumed_and_destroyed(void **s)
{
	struct hk_vm *vm = VM("soft", 2, spin, NULL);

	for (int i = 0; i < 20; i++) {
		assert_int_equal(hk_vm_pause(vm), 0);
		assert_int_equal(hk_vm_pause(vm), -EALREADY);
		assert_int_equal(hk_vm_resume(vm), 0);
	}
	assert_int_equal(hk_vm_pause(vm), 0);
	hk_vm_destroy(vm);
}

static void a_vm_may_be_destroyed_at_any_age(void **s)
{
	struct hk_vm_config cfg = { .size = sizeof(cfg), .accel = "soft" };
	struct hk_vm *vm;

	hk_vm_destroy(NULL);
	assert_int_equal(hk_vm_create(&vm, &cfg, NULL), 0);
	hk_vm_destroy(vm);
	vm = VM("soft", 1, spin, NULL);
	hk_vm_destroy(vm);
}

static void mistakes_are_named_and_harmless(void **s)
{
	struct hk_vm_config cfg = { .size = sizeof(cfg), .accel = "soft" };
	struct hk_err err;
	struct hk_vm *vm = (void *)1;

	cfg.cpus = 65;
	assert_int_equal(hk_vm_create(&vm, &cfg, &err), -EINVAL);
	assert_null(vm);
	assert_true(err.text[0]);
	cfg.cpus = 1;
	cfg.memory_bytes = 12345;
	assert_int_equal(hk_vm_create(&vm, &cfg, &err), -EINVAL);
	cfg.memory_bytes = 0;
	cfg.accel = "abacus";
	assert_true(hk_vm_create(&vm, &cfg, &err) < 0);
	assert_non_null(strstr(err.text, "abacus"));
	cfg.accel = "soft";
	cfg.size = 0;
	assert_int_equal(hk_vm_create(&vm, &cfg, &err), -EINVAL);
	cfg.size = sizeof(cfg);

	assert_int_equal(hk_vm_create(&vm, &cfg, &err), 0);
	assert_int_equal(hk_vm_device(vm, 0, 0, 0, "hostbridge", NULL, &err), 0);
	assert_int_equal(hk_vm_device(vm, 0, 0, 0, "lpc", NULL, &err), -EBUSY);
	assert_int_equal(hk_vm_device(vm, 0, 32, 0, "lpc", NULL, &err), -EINVAL);
	assert_int_equal(hk_vm_device(vm, 0, 1, 0, "abacus", NULL, &err), -ENODEV);
	assert_int_equal(hk_vm_boot_linux(vm, "/no/such/kernel", NULL, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/such/kernel"));
	assert_true(hk_vm_start(vm, &err) < 0); /* nothing to boot */
	assert_true(err.text[0]);
	hk_vm_destroy(vm);
}

/* ------------------------------------------------------------ signals */

static sigjmp_buf out;
static volatile sig_atomic_t own_faults;

static void on_segv(int sig)
{
	own_faults++;
	siglongjmp(out, 1);
}

static void faults_of_the_embedder_reach_its_own_handler(void **s)
{
	struct sigaction sa = { .sa_handler = on_segv }, old;
	struct hk_vm *vm;
	volatile uintptr_t nowhere = 8;

	sigemptyset(&sa.sa_mask);
	sigaction(SIGSEGV, &sa, &old);
	vm = VM("soft", 1, spin, NULL);
	own_faults = 0;
	if (!sigsetjmp(out, 1))
		*(volatile char *)nowhere = 1;
	assert_int_equal(own_faults, 1);
	hk_vm_destroy(vm);
	sigaction(SIGSEGV, &old, NULL);
}

static void other_signals_are_left_alone(void **s)
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGCHLD,
				    SIGALRM, SIGCONT, SIGWINCH, SIGIO };
	struct sigaction sa;
	sigset_t before, after;
	struct hk_vm *vm;

	sigprocmask(SIG_BLOCK, NULL, &before);
	vm = VM(other_accel(), 1, spin, NULL);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		sigaction(sigs[i], NULL, &sa);
		assert_ptr_equal(sa.sa_handler, SIG_DFL);
	}
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (int sig = 1; sig < 32; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
	hk_vm_destroy(vm);
}

static void many_vms_leave_no_descriptor_behind(void **s)
{
	int before, after;

	hk_vm_destroy(VM("soft", 1, spin, NULL)); /* what is set up once per process */
	before = dup(0);
	for (int i = 0; i < 10; i++) {
		struct hk_vm *vm = VM(i & 1 ? "soft" : other_accel(), 2, halt, NULL);

		assert_int_equal(wait_end(vm), HK_EXIT_HALT);
		hk_vm_destroy(vm);
	}
	after = dup(0);
	assert_int_equal(after, before + 1);
	close(before);
	close(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_vms_run_side_by_side_on_two_accelerators),
		cmocka_unit_test(the_embedders_names_are_its_own),
		cmocka_unit_test(the_descriptor_polls_like_any_other),
		cmocka_unit_test(ways_to_end_are_told_apart),
		cmocka_unit_test(what_is_typed_reaches_the_guest),
		cmocka_unit_test(a_paused_vm_can_be_resumed_and_destroyed),
		cmocka_unit_test(a_vm_may_be_destroyed_at_any_age),
		cmocka_unit_test(mistakes_are_named_and_harmless),
		cmocka_unit_test(faults_of_the_embedder_reach_its_own_handler),
		cmocka_unit_test(other_signals_are_left_alone),
		cmocka_unit_test(many_vms_leave_no_descriptor_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
