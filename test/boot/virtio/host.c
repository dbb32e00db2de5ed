// SPDX-License-Identifier: BSD-2-Clause
/* The host of test/boot/virtio_test.sh: embeds a VM with rnd, console and balloon and talks to a
 * shell in it through a port of the console. usage: host ACCEL KERNEL INITRD FOLDER CONSOLE-LOG */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <hyperkit/hyperkit.h>

#define MIB (1024ull * 1024)

static const char *accel, *kernel, *initrd, *folder;
static unsigned slow = 1, tests, failed;
static int ctl = -1;
static char answer[2 << 20];

static void check(int ok, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %u - ", ok ? "" : "not ", ++tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!ok) {
		printf("# the guest said: %.300s\n", answer);
		failed++;
	}
	fflush(stdout);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *why)
{
	printf("Bail out! %s\n# the guest said: %.300s\n", why, answer);
	exit(1);
}

/* Read until a line that begins with @mark; the answer is what came before it */
static const char *hear(const char *mark)
{
	double end = now() + 60 * slow;
	size_t n = 0, len = strlen(mark);
	struct pollfd p = { .fd = ctl, .events = POLLIN };

	while (now() < end && n < sizeof(answer) - 1) {
		char *at;
		ssize_t k;

		if (poll(&p, 1, 1000) <= 0)
			continue;
		k = read(ctl, answer + n, sizeof(answer) - 1 - n);
		if (k <= 0)
			die("the port was closed");
		n += (size_t)k;
		answer[n] = 0;
		if (answer[n - 1] != '\n')
			continue;
		at = n > 1 ? memrchr(answer, '\n', n - 1) : NULL;
		at = at ? at + 1 : answer;
		if (!strncmp(at, mark, len)) {
			*at = 0;
			return at + len;
		}
	}
	die("no answer from the guest");
	return NULL;
}

static void put(const void *p, size_t n)
{
	const char *b = p;

	while (n) {
		ssize_t k = send(ctl, b, n, MSG_NOSIGNAL);

		if (k <= 0)
			die("cannot write to the port");
		b += k;
		n -= (size_t)k;
	}
}

/* Run a line in the guest. Its output is in answer. Return: its status */
static int run(const char *line)
{
	put(line, strlen(line));
	put("\n", 1);
	return atoi(hear("--- "));
}

static unsigned long long rss(void)
{
	unsigned long long size, res = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%llu %llu", &size, &res) != 2)
		die("no statm");
	fclose(f);
	return res * 4096;
}

static void dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		die("the folder's name is too long");
	strcpy(a.sun_path, path);
	ctl = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(ctl, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = 60 }, sizeof(struct timeval));
	if (connect(ctl, (struct sockaddr *)&a, sizeof(a)))
		die("cannot connect to the port");
}

static void no(int rc, const struct hk_err *err)
{
	if (rc)
		die(err->text);
}

static struct hk_vm *start(const char *common, const char *balloon, unsigned mib)
{
	struct hk_vm_config cfg = { .size = sizeof(cfg), .cpus = 2, .flags = HK_VM_ACPI,
				    .memory_bytes = mib * MIB, .accel = accel };
	struct hk_serial_config com = HK_SERIAL_CONFIG_INIT;
	char path[200], text[400], log[200];
	struct hk_err err = { "" };
	struct hk_vm *vm;

	snprintf(log, sizeof(log), "%s/console", folder);
	snprintf(path, sizeof(path), "%s/ctl", folder);
	com.ring_file = log;
	no(hk_vm_create(&vm, &cfg, &err), &err);
	no(hk_vm_device(vm, 0, 0, 0, "hostbridge", NULL, &err), &err);
	no(hk_vm_device(vm, 0, 31, 0, "lpc", NULL, &err), &err);
	no(hk_vm_serial(vm, 1, &com, &err), &err);
	no(hk_vm_device(vm, 0, 2, 0, "virtio-rnd", common, &err), &err);
	snprintf(text, sizeof(text), "%s,console,null,port=ctl,socket=%s", common, path);
	no(hk_vm_device(vm, 0, 3, 0, "virtio-console", text + (text[0] == ','), &err), &err);
	snprintf(text, sizeof(text), "%s%s%s", common, *common && *balloon ? "," : "", balloon);
	no(hk_vm_device(vm, 0, 4, 0, "virtio-balloon", text, &err), &err);
	no(hk_vm_boot_linux(vm, kernel, initrd, "console=ttyS0 quiet", &err), &err);
	no(hk_vm_start(vm, &err), &err);
	dial(path);
	hear("ready");
	return vm;
}

static void end(struct hk_vm *vm, const char *mode)
{
	enum hk_exit why = HK_EXIT_NONE;

	put("poweroff -f\n", 12);
	check(!hk_vm_wait(vm, 60000, &why) && why == HK_EXIT_POWEROFF, "%s: it_powers_off", mode);
	hk_vm_destroy(vm);
	close(ctl);
}

static void both_ways(const char *mode)
{
	static const char dd[] = "dd bs=1000 count=1000 iflag=fullblock <&3 2>/dev/null >/tmp/big; "
				 "wc -c </tmp/big\n";
	static char big[1000000];
	unsigned x = 1;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
	put(dd, strlen(dd));
	put(big, sizeof(big));
	hear("--- ");
	check(strstr(answer, "1000000\n") != NULL, "%s: a_million_bytes_reach_the_guest", mode);
	/* and back: hexadecimal, as the end is found by a line */
	check(!run("hexdump -v -e '1/1 \"%02x\"' /tmp/big | head -c 1000000; echo"),
	      "%s: hexdump_runs", mode);
	size_t same = 0;
	for (size_t i = 0; i < 500000; i++) {
		char want[3];

		snprintf(want, sizeof(want), "%02x", (unsigned char)big[i]);
		same += !memcmp(answer + 2 * i, want, 2);
	}
	check(same == 500000, "%s: and_come_back_unchanged", mode);
}

static void one_mode(const char *common)
{
	const char *mode = *common ? common : "transitional";
	struct hk_balloon_info info = { .size = sizeof(info) };
	struct hk_vm *vm = start(common, "reporting=off", 512);
	unsigned long long before;
	double until;

	run("for d in rng console balloon; do ls -d /sys/bus/virtio/drivers/virtio_$d/virtio*; done | wc -l");
	check(atoi(answer) == 3, "%s: three_drivers_are_bound", mode);
	run("cat /sys/bus/virtio/devices/virtio0/features");
	check((answer[32] == '1') == !strstr(common, "disable-modern"),
	      "%s: the_interface_is_the_one_that_is_left", mode);
	run("head -c 20000 /dev/hwrng | gzip | wc -c");
	check(atoi(answer) > 19900, "%s: hwrng_gives_bytes_that_do_not_compress", mode);
	both_ways(mode);

	run("exec 4<>/dev/hvc0");
	check(!hk_vm_console_size(vm, 132, 43), "%s: the_size_can_be_set", mode);
	for (until = now() + 10 * slow; now() < until;) {
		run("stty -F /dev/hvc0 size");
		if (!strcmp(answer, "43 132\n"))
			break;
	}
	check(!strcmp(answer, "43 132\n"), "%s: the_console_has_the_size_of_its_terminal", mode);

	/* Touch most of the memory, so that what comes back can be seen */
	run("mkdir -p /t; mount -t tmpfs -o size=400m t /t; dd if=/dev/zero of=/t/x bs=1M count=300 2>/dev/null; rm /t/x");
	before = rss();
	check(!hk_vm_balloon_set(vm, 256 * MIB), "%s: the_balloon_can_be_set", mode);
	for (until = now() + 30 * slow; now() < until;) {
		if (!hk_vm_balloon_info(vm, &info) && info.actual_bytes == 256 * MIB)
			break;
		run("sleep 1");
	}
	check(info.actual_bytes == 256 * MIB, "%s: the_guest_fills_the_balloon", mode);
	check(before > rss() + 150 * MIB, "%s: memory_comes_back (%llu to %llu MiB)", mode,
	      before / MIB, rss() / MIB);
	run("sleep 1");
	if (hk_vm_balloon_info(vm, &info))
		die("no balloon");
	run("sed -n 's/^MemFree: *//p' /proc/meminfo");
	check(info.free_bytes / 1024 < atoll(answer) + 30000ull &&
	      info.free_bytes / 1024 + 30000ull > atoll(answer),
	      "%s: statistics_tell_the_free_memory (%llu KiB)", mode,
	      (unsigned long long)info.free_bytes / 1024);
	if (hk_vm_balloon_set(vm, 0))
		die("no balloon");
	for (until = now() + 30 * slow; now() < until;) {
		if (!hk_vm_balloon_info(vm, &info) && !info.actual_bytes)
			break;
		run("sleep 1");
	}
	check(!run("dd if=/dev/zero of=/t/x bs=1M count=300 2>/dev/null && tr -d '\\0' </t/x | wc -c | grep -qx 0"),
	      "%s: and_can_be_had_again", mode);
	end(vm, mode);
}

static void free_memory_comes_back(void)
{
	unsigned gib = slow == 1 ? 1024 : 256;
	struct hk_vm *vm = start("", "", 2 * gib);
	unsigned long long idle, used, after;
	double from;
	char line[200];

	run("mkdir -p /t; mount -t tmpfs -o size=90% t /t; sleep 4");
	idle = rss();
	snprintf(line, sizeof(line), "dd if=/dev/zero of=/t/x bs=1M count=%u 2>/dev/null", gib);
	check(!run(line), "reporting: the_guest_uses_%u_mib", gib);
	used = rss();
	run("rm /t/x");
	from = now();
	do {
		run("sleep 1");
		after = rss();
	} while (now() - from < 10 * slow && after > used - (used - idle) * 9 / 10);
	check(used > idle + (gib - 64) * MIB, "reporting: it_costs_host_memory (%llu to %llu MiB)",
	      idle / MIB, used / MIB);
	check(used - after >= gib * MIB * 8 / 10,
	      "reporting: 80_percent_are_back_within_10_seconds (%llu MiB after %.1f s)",
	      (used - after) / MIB, now() - from);
	end(vm, "reporting");
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	accel = argv[1];
	kernel = argv[2];
	initrd = argv[3];
	folder = argv[4];
	if (getenv("HK_SLOW"))
		slow = (unsigned)atoi(getenv("HK_SLOW"));
	one_mode("");
	one_mode("disable-modern");
	one_mode("disable-legacy");
	free_memory_comes_back();
	printf("1..%u\n", tests);
	return failed != 0;
}
