// SPDX-License-Identifier: BSD-2-Clause
/* cli/args.c - HyperKit's command line (docs/command.md): left to right, acting at once
 *
 * The words of the messages are an interface: programs match them. Numbers are
 * read as loosely as the original read them (sscanf, atoi, strtoul). */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"

enum { OPT_ACCEL = 256, OPT_DEBUG_EXIT, OPT_STATS, OPT_LOG, OPT_HELP };

static const struct option long_options[] = {
	{ "accel", required_argument, NULL, OPT_ACCEL },
	{ "debug-exit", no_argument, NULL, OPT_DEBUG_EXIT },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* '+': stop at the first word that is no option, as BSD's getopt does */
static const char short_options[] = "+:behvuwxMACHPWYf:F:g:c:s:m:l:U:";

static const char usage_text[] =
	"Usage: %s [-behuwxMACHPWY] [-c vcpus] [-F <pidfile>] [-g <gdb port>]\n"
	"                [-l <lpc>] [-m mem] [-s <pci>] [-U uuid]\n"
	"                [--accel auto|kvm|soft] [--debug-exit] [--stats] [--log level]\n"
	"                -f <fw>\n"
	"       %s info\n"
	"       %s disk create|info|check|convert|resize|compare ...\n"
	"       -A: create ACPI tables\n"
	"       -c: # cpus (default 1)\n"
	"       -C: include guest memory in core file (no effect)\n"
	"       -e: exit on unhandled I/O access\n"
	"       -f: firmware: kexec,kernel[,initrd[,\"cmdline\"]] or\n"
	"           multiboot,kernel[,module[;args][:module...][,\"cmdline\"]]\n"
	"       -F: pidfile\n"
	"       -g: gdb port (not in this version)\n"
	"       -h: help\n"
	"       -H: vmexit from the guest on hlt (always so)\n"
	"       -l: LPC device configuration: com1|com2[,stdio|autopty[=file]|null|device]\n"
	"           [,log=file][,asl]\n"
	"       -m: memory size (default 256M), may be suffixed with one of b/k/m/g/t/p/e\n"
	"       -M: print the MAC address of the virtio-net device and exit\n"
	"       -P: vmexit from the guest on pause\n"
	"       -s: <slot,driver,configinfo> PCI slot config\n"
	"       -u: RTC keeps UTC time\n"
	"       -U: uuid\n"
	"       -v: show build version\n"
	"       -w: ignore unimplemented MSRs\n"
	"       -W: force virtio to use single-vector MSI\n"
	"       -x: local APICs are in x2APIC mode\n"
	"       -Y: disable MPtable generation\n"
	"       --accel: what runs guest code; `%s info` says which ones work here\n"
	"       --debug-exit: a byte v written to port 0xF4 ends with exit status 2v+1\n"
	"       --stats: print counters at the end\n"
	"       --log: error, warn (default), info or debug\n"
	"Exit status: 0 power-off or halt, 1 error, 2 reset, 3 triple fault, 64 bad -l or -m\n";

static int usage(const struct cli_args *a, int code)
{
	fprintf(stderr, usage_text, a->prog, a->prog, a->prog, a->prog);
	return code;
}

static int version(const struct cli_args *a)
{
	fprintf(stderr, "%s: %s\n\nHomepage: https://github.com/docker/hyperkit\nLicense: BSD\n\n",
		a->prog, hk_version());
	return CLI_OK;
}

/* ------------------------------------------------------------------- -m */

/* Wholly numeric: MiB below 1 Mi, else bytes. Otherwise a number and a unit, of which
 * only the first letter counts. */
static bool parse_memory(const char *s, uint64_t *bytes)
{
	static const char units[] = "bkmgtpe";
	const char *unit;
	char *end;
	uint64_t n;
	unsigned shift;

	if (strchr(s, '-'))
		return false;
	errno = 0;
	n = strtoull(s, &end, 0);
	if (errno || end == s)
		return false;
	if (!*end) {
		*bytes = n < 1048576 ? n << 20 : n;
		return true;
	}
	unit = strchr(units, *end >= 'A' && *end <= 'Z' ? *end - 'A' + 'a' : *end);
	if (!unit)
		return false;
	shift = 10 * (unsigned)(unit - units);
	if (n > UINT64_MAX >> shift)
		return false;
	*bytes = n << shift;
	return true;
}

static int take_memory(struct cli_args *a, const char *arg)
{
	if (!parse_memory(arg, &a->memory_bytes)) {
		fprintf(stderr, "%s: invalid memsize '%s'\n", a->prog, arg);
		return CLI_USAGE;
	}
	a->memory_given = true;
	return CLI_GO_ON;
}

/* ------------------------------------------------------------------- -s */

/* Devices of HyperKit that this version may not have: another message than for a typo */
static const char *const hyperkit_devices[] = {
	"hostbridge", "amd_hostbridge", "lpc", "uart", "dummy", "ahci-hd", "ahci-cd",
	"virtio-blk", "virtio-net", "virtio-tap", "virtio-vpnkit", "virtio-9p", "virtio-sock",
	"virtio-rnd", NULL
};

static bool device_exists(const char *name)
{
	const char *have;

	for (unsigned i = 0; hk_device_query(i, &have, NULL) == 0; i++)
		if (!strcmp(have, name))
			return true;
	return false;
}

static int refuse_device(const struct cli_slot *s, const char *name)
{
	for (const char *const *p = hyperkit_devices; *p; p++) {
		if (strcmp(*p, name))
			continue;
		fprintf(stderr, "pci slot %u:%u: device \"%s\" is not built into this version\n",
			s->slot, s->func, name);
		return CLI_ERROR;
	}
	fprintf(stderr, "pci slot %u:%u: unknown device \"%s\"\n", s->slot, s->func, name);
	return CLI_ERROR;
}

static bool parse_bdf(const char *s, struct cli_slot *out)
{
	int b = 0, d = 0, f = 0;

	if (sscanf(s, "%d:%d:%d", &b, &d, &f) != 3) {
		b = f = 0;
		if (sscanf(s, "%d:%d", &d, &f) != 2) {
			f = 0;
			if (sscanf(s, "%d", &d) != 1)
				return false;
		}
	}
	if (b < 0 || b > 255 || d < 0 || d > 31 || f < 0 || f > 7)
		return false;
	out->bus = (unsigned)b;
	out->slot = (unsigned)d;
	out->func = (unsigned)f;
	return true;
}

static int no_memory(void)
{
	fprintf(stderr, "out of memory\n");
	return CLI_ERROR;
}

static int take_slot(struct cli_args *a, const char *arg)
{
	const char *name = strchr(arg, ','), *opts;
	struct cli_slot s = { 0 }, *grown;

	if (!name || !parse_bdf(arg, &s)) {
		fprintf(stderr, "Invalid PCI slot info field \"%s\"\n", arg);
		return CLI_ERROR;
	}
	name++;
	for (unsigned i = 0; i < a->num_slots; i++) {
		const struct cli_slot *o = &a->slot[i];

		if (o->bus != s.bus || o->slot != s.slot || o->func != s.func)
			continue;
		fprintf(stderr, "pci slot %u:%u already occupied!\n", s.slot, s.func);
		return CLI_ERROR;
	}
	opts = strchr(name, ',');
	s.name = opts ? strndup(name, (size_t)(opts - name)) : strdup(name);
	if (opts)
		s.opts = strdup(opts + 1);
	grown = realloc(a->slot, (a->num_slots + 1) * sizeof(s));
	if (grown)
		a->slot = grown;
	if (!grown || !s.name || (opts && !s.opts)) {
		free(s.name);
		free(s.opts);
		return no_memory();
	}
	a->slot[a->num_slots++] = s;
	return device_exists(s.name) ? CLI_GO_ON : refuse_device(&s, s.name);
}

bool args_has_lpc(const struct cli_args *a)
{
	for (unsigned i = 0; i < a->num_slots; i++)
		if (!strcmp(a->slot[i].name, "lpc"))
			return true;
	return false;
}

/* ------------------------------------------------------------------- -f */

static int bad_firmware(void)
{
	fprintf(stderr, "Invalid firmware argument\n"
			"    -f kexec,'kernel','initrd','\"cmdline\"'\n"
			"    -f fbsd,'userboot','boot volume','\"kernel env\"'\n"
			"    -f bootrom,'ROM',,\n"
			"    -f multiboot,'kernel','module[;args][:module[;args]...]','\"cmdline\"'\n");
	return CLI_ERROR;
}

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Cut at the first three commas only: a kernel command line may hold commas */
static int take_firmware(struct cli_args *a, const char *arg)
{
	char *copy = strdup(arg), *rest = copy, *part[4] = { NULL };
	int code = CLI_GO_ON;

	if (!copy)
		return no_memory();
	for (unsigned i = 0; i < 4 && rest; i++)
		part[i] = i < 3 ? strsep(&rest, ",") : rest;

	if (has_prefix(part[0], "kexec")) {
		a->fw = CLI_FW_KEXEC;
	} else if (has_prefix(part[0], "multiboot")) {
		a->fw = CLI_FW_MULTIBOOT;
	} else if (has_prefix(part[0], "fbsd")) {
		fprintf(stderr, "firmware fbsd needs a loader for macOS and cannot work on Linux\n");
		code = CLI_ERROR;
	} else if (has_prefix(part[0], "bootrom")) {
		fprintf(stderr, "firmware bootrom is not built into this version\n");
		code = CLI_ERROR;
	} else {
		code = bad_firmware();
	}
	if (code == CLI_GO_ON && (!part[1] || !*part[1]))
		code = bad_firmware();
	for (unsigned i = 0; code == CLI_GO_ON && i < 3; i++) {
		const char *p = part[i + 1];

		free(a->fw_arg[i]);
		a->fw_arg[i] = p && *p ? strdup(p) : NULL;
		if (p && *p && !a->fw_arg[i])
			code = no_memory();
	}
	free(copy);
	return code;
}

/* ---------------------------------------------------------------- others */

static int take_log_level(struct cli_args *a, const char *arg)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(names[i], arg))
			continue;
		a->log_level = (enum hk_log_level)i;
		return CLI_GO_ON;
	}
	fprintf(stderr, "%s: unknown log level '%s': error, warn, info or debug\n", a->prog, arg);
	return CLI_ERROR;
}

static int take_accel(struct cli_args *a, const char *arg)
{
	struct hk_accel_info info;
	bool known = !strcmp(arg, "auto");

	for (unsigned i = 0; !known && hk_accel_query(i, &info) == 0; i++)
		known = !strcmp(info.name, arg);
	if (!known) {
		fprintf(stderr, "%s: unknown accelerator '%s': auto, kvm or soft\n", a->prog, arg);
		return CLI_ERROR;
	}
	a->accel = arg;
	return CLI_GO_ON;
}

static int not_here(const struct cli_args *a, const char *what)
{
	fprintf(stderr, "%s: %s is not built into this version\n", a->prog, what);
	return CLI_ERROR;
}

static int bad_option(const struct cli_args *a, int opt, char **argv)
{
	if (opt == ':')
		fprintf(stderr, "%s: option requires an argument -- %s\n", a->prog,
			optopt < 256 ? (char[]){ (char)optopt, '\0' } : argv[optind - 1] + 2);
	else if (optopt && optopt < 256)
		fprintf(stderr, "%s: illegal option -- %c\n", a->prog, optopt);
	else
		fprintf(stderr, "%s: illegal option -- %s\n", a->prog, argv[optind - 1] + 1);
	return usage(a, CLI_ERROR);
}

static int take_flag(struct cli_args *a, int opt)
{
	static const struct {
		char opt;
		unsigned flag; /* 0: accepted, no effect, as in HyperKit */
	} flags[] = {
		{ 'A', HK_VM_ACPI },	   { 'e', HK_VM_STRICT_IO }, { 'P', HK_VM_PAUSE_EXIT },
		{ 'u', HK_VM_RTC_UTC },	   { 'w', HK_VM_IGNORE_MSR }, { 'W', HK_VM_MSI_ONLY },
		{ 'x', HK_VM_X2APIC },	   { 'Y', HK_VM_NO_MPTABLE }, { 'C', 0 },
		{ 'H', 0 },
	};

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].opt == opt)
			a->flags |= flags[i].flag;
	return CLI_GO_ON;
}

static int take_option(struct cli_args *a, int opt, char **argv)
{
	switch (opt) {
	case 'h':
	case OPT_HELP:
		return usage(a, CLI_OK);
	case 'v':
		return version(a);
	case 'c':
		a->cpus = atoi(optarg);
		return CLI_GO_ON;
	case 'f':
		return take_firmware(a, optarg);
	case 'F':
		a->pid_file = optarg;
		return CLI_GO_ON;
	case 'l':
		return serial_parse(a, optarg);
	case 'm':
		return take_memory(a, optarg);
	case 's':
		return take_slot(a, optarg);
	case 'M':
		a->print_mac = true;
		return CLI_GO_ON;
	case 'U':
		a->uuid = optarg;
		return CLI_GO_ON;
	case 'g':
		return atoi(optarg) ? not_here(a, "the gdb port (-g)") : CLI_GO_ON;
	case 'b':
		return not_here(a, "the bvm console (-b)");
	case OPT_ACCEL:
		return take_accel(a, optarg);
	case OPT_DEBUG_EXIT:
		a->flags |= HK_VM_DEBUG_EXIT;
		return CLI_GO_ON;
	case OPT_STATS:
		a->stats = true;
		return CLI_GO_ON;
	case OPT_LOG:
		return take_log_level(a, optarg);
	case '?':
	case ':':
		return bad_option(a, opt, argv);
	default:
		return take_flag(a, opt);
	}
}

int args_parse(struct cli_args *a, int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	int opt, code;

	*a = (struct cli_args){ .cpus = 1, .log_level = HK_LOG_WARN };
	a->prog = slash ? slash + 1 : argc > 0 ? argv[0] : "hyperkit";
	opterr = 0;
	while ((opt = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		code = take_option(a, opt, argv);
		if (code != CLI_GO_ON)
			return code;
	}
	return a->fw == CLI_FW_NONE ? usage(a, CLI_ERROR) : CLI_GO_ON;
}

void args_fini(struct cli_args *a)
{
	for (unsigned i = 0; i < a->num_slots; i++) {
		free(a->slot[i].name);
		free(a->slot[i].opts);
	}
	free(a->slot);
	for (unsigned i = 0; i < 3; i++)
		free(a->fw_arg[i]);
	for (unsigned i = 0; i < CLI_NUM_COMS; i++)
		serial_fini(&a->com[i]);
}
