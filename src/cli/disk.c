// SPDX-License-Identifier: BSD-2-Clause
/* cli/disk.c - `hyperkit disk ...`: images without a VM, on hyperkit/disk.h alone */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "hyperkit/disk.h"

/* Exit codes of `disk check`, those of qemu-img */
enum { CHECK_ERRORS = 2, CHECK_LEAKS = 3 };

static const char usage_text[] =
	"Usage: %s disk create [-f FORMAT] [-o OPTIONS] [--force] PATH SIZE\n"
	"       %s disk info [-f FORMAT] PATH\n"
	"       %s disk check -f FORMAT [--repair leaks|all] PATH\n"
	"       %s disk convert -f FORMAT -O FORMAT [-o OPTIONS] [--backing] [--force] [-p] FROM TO\n"
	"       %s disk resize -f FORMAT [--shrink] PATH [+|-]SIZE\n"
	"       %s disk compare -f FORMAT -F FORMAT [--backing] PATH PATH\n"
	"FORMAT: raw or qcow2 (default raw; info says what an image looks like)\n"
	"OPTIONS: cluster_size=SIZE,refcount_bits=N,version=2|3,lazy_refcounts,\n"
	"         backing_file=PATH,backing_fmt=FORMAT\n"
	"SIZE: a number and one of k m g t\n"
	"Exit status: 0; 1 error, compare: different; check: 2 errors found, 3 leaks found\n";

struct disk_args {
	const char *prog, *format, *format2, *word[2];
	struct hk_disk_config cfg;
	char *options;
	unsigned flags, check_flags;
	bool progress, format_given;
	int num_words;
};

static int usage(const char *prog)
{
	fprintf(stderr, usage_text, prog, prog, prog, prog, prog, prog);
	return CLI_ERROR;
}

static int failed(const struct disk_args *a, const struct hk_err *err)
{
	fprintf(stderr, "%s disk: %s\n", a->prog, err->text);
	return CLI_ERROR;
}

static int parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "bkmgtpe";
	unsigned long long v;
	const char *unit;
	char *end;

	if (*s < '0' || *s > '9')
		return -1;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -1;
	if (*end) {
		unit = strchr(units, *end | 0x20);
		if (!unit || end[1] || v > UINT64_MAX >> (10 * (unit - units)))
			return -1;
		v <<= 10 * (unit - units);
	}
	*out = v;
	return 0;
}

static int parse_option(struct disk_args *a, const char *key, const char *v)
{
	uint64_t n = 0;

	if (!strcmp(key, "lazy_refcounts")) {
		if (!v || !strcmp(v, "on"))
			a->cfg.flags |= HK_DISK_LAZY;
		return v && strcmp(v, "on") && strcmp(v, "off") ? -1 : 0;
	}
	if (!v)
		return -1;
	if (!strcmp(key, "backing_file")) {
		a->cfg.backing_file = v;
		return 0;
	}
	if (!strcmp(key, "backing_fmt")) {
		a->cfg.backing_format = v;
		return 0;
	}
	if (!strcmp(key, "compat")) { /* qemu-img's word for the version */
		a->cfg.version = !strcmp(v, "0.10") ? 2 : 3;
		return strcmp(v, "0.10") && strcmp(v, "1.1") ? -1 : 0;
	}
	if (parse_size(v, &n) || n > UINT32_MAX)
		return -1;
	if (!strcmp(key, "cluster_size"))
		a->cfg.cluster_bytes = (uint32_t)n;
	else if (!strcmp(key, "refcount_bits"))
		a->cfg.refcount_bits = (unsigned)n;
	else if (!strcmp(key, "version"))
		a->cfg.version = (unsigned)n;
	else
		return -1;
	return 0;
}

static int parse_options(struct disk_args *a, const char *text)
{
	char *rest, *item;

	free(a->options);
	a->options = rest = strdup(text);
	while (rest && (item = strsep(&rest, ","))) {
		char *v = strchr(item, '=');

		if (v)
			*v++ = '\0';
		if (*item && parse_option(a, item, v)) {
			fprintf(stderr, "%s disk: bad option -o %s%s%s\n", a->prog, item,
				v ? "=" : "", v ? v : "");
			return -1;
		}
	}
	return 0;
}

/* 0 or the exit code after the message was printed */
static int parse_args(struct disk_args *a, int argc, char **argv)
{
	enum { OPT_REPAIR = 256, OPT_SHRINK, OPT_FORCE, OPT_BACKING };
	static const struct option longs[] = {
		{ "repair", required_argument, NULL, OPT_REPAIR },
		{ "shrink", no_argument, NULL, OPT_SHRINK },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ "backing", no_argument, NULL, OPT_BACKING },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	a->format = a->format2 = "raw";
	a->cfg.size = sizeof(a->cfg);
	optind = 1;
	while ((c = getopt_long(argc, argv, "f:O:F:o:p", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			a->format = optarg;
			a->format_given = true;
			break;
		case 'O':
		case 'F':
			a->format2 = optarg;
			break;
		case 'o':
			if (parse_options(a, optarg))
				return CLI_ERROR;
			break;
		case 'p':
			a->progress = true;
			break;
		case OPT_REPAIR:
			if (!strcmp(optarg, "leaks"))
				a->check_flags = HK_DISK_FIX_LEAKS;
			else if (!strcmp(optarg, "all"))
				a->check_flags = HK_DISK_FIX_ALL;
			else
				return usage(a->prog);
			break;
		case OPT_SHRINK:
			a->flags |= HK_DISK_SHRINK;
			break;
		case OPT_FORCE:
			a->cfg.flags |= HK_DISK_OVERWRITE;
			break;
		case OPT_BACKING:
			a->flags |= HK_DISK_BACKING;
			break;
		default:
			return usage(a->prog);
		}
	}
	a->num_words = argc - optind;
	for (int i = 0; i < 2 && i < a->num_words; i++)
		a->word[i] = argv[optind + i];
	return 0;
}

/* With raw by default a qcow2 image would be copied or resized as if its metadata were data */
static int looks_wrong(const struct disk_args *a, const char *path, const char *format)
{
	struct hk_disk_info info = { .size = sizeof(info) };
	struct hk_err err;

	if (a->format_given || strcmp(format, "raw") || hk_disk_info(path, NULL, &info, &err) ||
	    !strcmp(info.format, "raw"))
		return 0;
	fprintf(stderr, "%s disk: %s looks like %s: say -f %s, or -f raw if it is not\n", a->prog,
		path, info.format, info.format);
	return CLI_ERROR;
}

static int cmd_create(struct disk_args *a)
{
	struct hk_err err = { "" };

	if (a->num_words != 2 || parse_size(a->word[1], &a->cfg.size_bytes))
		return usage(a->prog);
	a->cfg.format = a->format;
	return hk_disk_create(a->word[0], &a->cfg, &err) ? failed(a, &err) : CLI_OK;
}

static int cmd_info(struct disk_args *a)
{
	struct hk_disk_info i = { .size = sizeof(i) };
	struct hk_err err = { "" };

	if (a->num_words != 1)
		return usage(a->prog);
	if (hk_disk_info(a->word[0], a->format_given ? a->format : NULL, &i, &err))
		return failed(a, &err);
	printf("image: %s\nformat: %s%s\nsize: %llu\nfile: %llu\nused: %llu\n", a->word[0],
	       i.format, a->format_given ? "" : " (as it looks)", (unsigned long long)i.size_bytes,
	       (unsigned long long)i.file_bytes, (unsigned long long)i.used_bytes);
	if (strcmp(i.format, "qcow2"))
		return CLI_OK;
	printf("version: %u\ncluster: %u\nrefcount bits: %u\ncompression: %s\nlazy refcounts: %s\n"
	       "snapshots: %u\n",
	       i.version, i.cluster_bytes, i.refcount_bits, i.compression,
	       i.lazy_refcounts ? "on" : "off", i.snapshots);
	if (i.backing_file[0])
		printf("backing file: %s\nbacking format: %s\n", i.backing_file,
		       i.backing_format[0] ? i.backing_format : "not said");
	if (i.dirty)
		printf("dirty: it was not closed; the next open for writing repairs it\n");
	if (i.corrupt)
		printf("corrupt: so marked; see disk check\n");
	return CLI_OK;
}

static void print_line(void *arg, const char *text)
{
	(void)arg;
	printf("%s\n", text);
}

static int cmd_check(struct disk_args *a)
{
	struct hk_disk_report r = { .size = sizeof(r), .line = print_line };
	struct hk_err err = { "" };

	if (a->num_words != 1)
		return usage(a->prog);
	if (looks_wrong(a, a->word[0], a->format))
		return CLI_ERROR;
	if (hk_disk_check(a->word[0], a->format, a->check_flags, &r, &err))
		return failed(a, &err);
	if (r.errors)
		printf("%llu errors, %llu of them repaired\n", (unsigned long long)r.errors,
		       (unsigned long long)r.errors_fixed);
	if (r.leaks)
		printf("%llu leaked clusters, %llu of them freed\n", (unsigned long long)r.leaks,
		       (unsigned long long)r.leaks_fixed);
	if (!r.errors && !r.leaks)
		printf("no errors\n");
	printf("%llu of %llu clusters in use, %llu compressed; the image ends at %llu\n",
	       (unsigned long long)r.used_clusters, (unsigned long long)r.clusters,
	       (unsigned long long)r.compressed_clusters, (unsigned long long)r.image_end_bytes);
	if (r.errors > r.errors_fixed)
		return CHECK_ERRORS;
	return r.leaks > r.leaks_fixed ? CHECK_LEAKS : CLI_OK;
}

static int show_progress(void *arg, uint64_t done, uint64_t total)
{
	unsigned *last = arg, percent = (unsigned)(done / ((total + 99) / 100));

	if (percent != *last) {
		*last = percent;
		fprintf(stderr, "\r%3u %%%s", percent, done == total ? "\n" : "");
	}
	return 0;
}

static int cmd_convert(struct disk_args *a)
{
	struct hk_err err = { "" };
	unsigned percent = 1000;

	if (a->num_words != 2)
		return usage(a->prog);
	if (looks_wrong(a, a->word[0], a->format))
		return CLI_ERROR;
	a->cfg.format = a->format2;
	if (hk_disk_convert(a->word[0], a->format, a->word[1], &a->cfg, a->flags & HK_DISK_BACKING,
			    a->progress ? show_progress : NULL, &percent, &err))
		return failed(a, &err);
	return CLI_OK;
}

static int cmd_resize(struct disk_args *a)
{
	struct hk_disk_info i = { .size = sizeof(i) };
	struct hk_err err = { "" };
	const char *s = a->word[1];
	uint64_t n;

	if (a->num_words != 2 || parse_size(*s == '+' || *s == '-' ? s + 1 : s, &n))
		return usage(a->prog);
	if (looks_wrong(a, a->word[0], a->format))
		return CLI_ERROR;
	if (*s == '+' || *s == '-') {
		if (hk_disk_info(a->word[0], a->format, &i, &err))
			return failed(a, &err);
		if (*s == '-' ? n > i.size_bytes : n > INT64_MAX - i.size_bytes)
			return usage(a->prog);
		n = *s == '-' ? i.size_bytes - n : i.size_bytes + n;
	}
	return hk_disk_resize(a->word[0], a->format, n, a->flags & HK_DISK_SHRINK, &err)
		       ? failed(a, &err)
		       : CLI_OK;
}

static int cmd_compare(struct disk_args *a)
{
	struct hk_err err = { "" };
	uint64_t where = 0;
	int rc;

	if (a->num_words != 2)
		return usage(a->prog);
	if (looks_wrong(a, a->word[0], a->format))
		return CLI_ERROR;
	rc = hk_disk_compare(a->word[0], a->format, a->word[1], a->format2,
			     a->flags & HK_DISK_BACKING, &where, &err);
	if (rc < 0) {
		failed(a, &err);
		return CHECK_ERRORS;
	}
	if (!rc)
		printf("different at %llu\n", (unsigned long long)where);
	else
		printf("the same\n");
	return rc ? CLI_OK : CLI_ERROR;
}

int disk_main(const char *prog, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct disk_args *a);
	} cmds[] = {
		{ "create", cmd_create },   { "info", cmd_info },     { "check", cmd_check },
		{ "convert", cmd_convert }, { "resize", cmd_resize }, { "compare", cmd_compare },
	};
	struct disk_args a = { .prog = prog };
	int code = CLI_ERROR;

	if (argc > 1) {
		for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
			if (strcmp(argv[1], cmds[i].name))
				continue;
			code = parse_args(&a, argc - 1, argv + 1);
			if (!code)
				code = cmds[i].run(&a);
			free(a.options);
			return code;
		}
	}
	return usage(prog);
}
