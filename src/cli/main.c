// SPDX-License-Identifier: BSD-2-Clause
/* cli/main.c - `hyperkit`: options to VM to exit status
 *
 * The order of steps is that of the original, so that with two mistakes on the
 * command line the same one is reported (hyperkit-facts 1.6). */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/cli.h"

/* [any thread of the VM] */
static void log_line(void *arg, enum hk_log_level level, const char *text)
{
	(void)arg;
	(void)level;
	term_line(stderr, "%s", text);
}

static int check_cpus(const struct cli_args *a)
{
	if (a->cpus < 1) {
		fprintf(stderr, "Invalid guest vCPUs (%d)\n", a->cpus);
		return CLI_ERROR;
	}
	if (a->cpus > CLI_MAX_CPUS) {
		fprintf(stderr, "%d vCPUs requested but only %d available\n", a->cpus,
			CLI_MAX_CPUS);
		return CLI_ERROR;
	}
	return CLI_OK;
}

static int check_memory(const struct cli_args *a)
{
	if (!a->memory_given || (a->memory_bytes >= 1 << 20 && a->memory_bytes % 4096 == 0))
		return CLI_OK;
	fprintf(stderr, "Unable to setup memory (22): %llu bytes is %s\n",
		(unsigned long long)a->memory_bytes,
		a->memory_bytes < 1 << 20 ? "below 1 MiB" : "not a multiple of 4096");
	return CLI_ERROR;
}

static int failed(const struct cli_args *a, const struct hk_err *err)
{
	term_line(stderr, "%s: %s", a->prog, err->text);
	return CLI_ERROR;
}

static int set_up(const struct cli_args *a, struct hk_vm *vm, struct hk_err *err)
{
	int rc;

	for (unsigned i = 0; i < a->num_slots; i++) {
		const struct cli_slot *s = &a->slot[i];

		if (hk_vm_device(vm, s->bus, s->slot, s->func, s->name, s->opts, err))
			return failed(a, err);
	}
	rc = serial_connect(a, vm);
	if (rc)
		return rc;
	if (a->fw == CLI_FW_KEXEC)
		rc = hk_vm_boot_linux(vm, a->fw_arg[0], a->fw_arg[1],
				      a->fw_arg[2] ? a->fw_arg[2] : "auto", err);
	else
		rc = hk_vm_boot_multiboot(vm, a->fw_arg[0], a->fw_arg[1], a->fw_arg[2], err);
	if (rc)
		return failed(a, err);
	return 0;
}

/* "stdio" among the words of a device's options */
static bool slot_uses_stdio(const struct cli_slot *s)
{
	const char *w = s->opts;

	if (!w || (strcmp(s->name, "virtio-console") && strcmp(s->name, "uart")))
		return false;
	for (; *w; w += strcspn(w, ","), w += *w == ',')
		if (strcspn(w, ",") == 5 && !strncmp(w, "stdio", 5))
			return true;
	return false;
}

static bool uses_stdio(const struct cli_args *a)
{
	for (unsigned i = 0; i < a->num_slots; i++)
		if (slot_uses_stdio(&a->slot[i]))
			return true;
	return args_has_lpc(a) &&
	       (a->com[0].term == CLI_TERM_STDIO || a->com[1].term == CLI_TERM_STDIO);
}

/* -M: of the first virtio-net; without one the option has no effect, as in HyperKit */
static int print_mac(const struct cli_args *a, struct hk_err *err)
{
	const struct cli_slot *first = NULL;
	uint8_t m[6];

	for (unsigned i = 0; i < a->num_slots; i++) {
		const struct cli_slot *s = &a->slot[i];

		if (!strcmp(s->name, "virtio-net") &&
		    (!first || s->bus * 256 + s->slot * 8 + s->func <
				       first->bus * 256 + first->slot * 8 + first->func))
			first = s;
	}
	if (!first)
		return CLI_GO_ON;
	if (hk_net_mac(first->name, first->opts, a->uuid, first->bus, first->slot, first->func, m, err))
		return failed(a, err);
	printf("MAC: %02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1], m[2], m[3], m[4], m[5]);
	return CLI_OK;
}

static int run(const struct cli_args *a)
{
	const struct hk_vm_config cfg = {
		.size = sizeof(cfg),
		.cpus = (unsigned)a->cpus,
		.flags = a->flags,
		.memory_bytes = a->memory_bytes,
		.accel = a->accel,
		.uuid = a->uuid,
		.log = log_line,
		.log_level = a->log_level,
	};
	struct hk_err err = { "" };
	struct hk_vm *vm = NULL;
	int code = check_cpus(a);

	if (!code)
		code = check_memory(a);
	if (code)
		return code;
	if (a->print_mac) {
		code = print_mac(a, &err);
		if (code != CLI_GO_ON)
			return code;
		code = 0;
	}
	if (uses_stdio(a))
		term_take();
	if (hk_vm_create(&vm, &cfg, &err))
		return failed(a, &err);
	if (a->pid_file && pidfile_create(a->pid_file))
		code = CLI_ERROR;
	if (!code)
		code = set_up(a, vm, &err);
	if (!code) {
		if (uses_stdio(a))
			term_raw();
		code = hk_vm_start(vm, &err) ? failed(a, &err) : run_vm(a, vm);
	}
	hk_vm_destroy(vm);
	term_restore();
	return code;
}

/* One descriptor for each vsock connection and open 9P file: the usual soft limit of 1024
 * exists for programs that call select() */
static void allow_descriptors(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

int main(int argc, char **argv)
{
	struct cli_args a;
	int code;

	if (argc == 2 && !strcmp(argv[1], "info")) {
		const char *slash = strrchr(argv[0], '/');

		return info_main(slash ? slash + 1 : argv[0]);
	}
	if (argc >= 2 && !strcmp(argv[1], "disk")) {
		const char *slash = strrchr(argv[0], '/');

		return disk_main(slash ? slash + 1 : argv[0], argc - 1, argv + 1);
	}
	term_init();
	code = args_parse(&a, argc, argv);
	if (code == CLI_GO_ON) {
		signals_block();
		allow_descriptors();
		code = run(&a);
	}
	args_fini(&a);
	pidfile_remove();
	return code;
}
