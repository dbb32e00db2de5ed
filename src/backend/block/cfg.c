// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/cfg.c - HyperKit's option string of a disk: PATH[,option...]
 *
 * PATH is a plain path or file:///abs/path?sync=os&buffered=1&lock=1, percent-encoded. What
 * the words mean, and where they deviate from the original: docs/devices/disk.md. [setup] */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backend/block/img.h"
#include "base/err.h"
#include "base/log.h"
#include "base/md5.h"

const struct opt_desc blk_opts[] = {
	{ "PATH", OPT_STR, NULL, "file, block device, or file:///abs/path?sync=os&buffered=1" },
	{ "format", OPT_STR, "raw", "raw or qcow2 (qcow); the content is never asked" },
	{ "ro", OPT_BOOL, "off", "read-only; the guest is told" },
	{ "sync", OPT_STR, "os", "os, full, none: what a flush does; the word alone: O_SYNC" },
	{ "buffered", OPT_BOOL, "on", "use the host's page cache; off or nocache: O_DIRECT" },
	{ "sectorsize", OPT_STR, "512/4096", "logical[/physical] sector size" },
	{ "discard", OPT_BOOL, "on", "space that the guest gives up goes back to the host" },
	{ "lock", OPT_BOOL, "on", "refuse an image that somebody else has open" },
	{ "serial", OPT_STR, NULL, "up to 20 characters; else derived from the option string" },
	{ "on-error", OPT_STR, "report",
	  "report errors of the host to the guest, or pause the VM" },
	{ "bps", OPT_SIZE, "0", "bytes per second, 0 = no limit" },
	{ "bps-burst", OPT_SIZE, "0", "bytes at once after a rest" },
	{ "iops", OPT_U64, "0", "requests per second, 0 = no limit" },
	{ "iops-burst", OPT_U64, "0", "requests at once after a rest" },
	{ "aio", OPT_STR, "auto", "auto, io_uring or threads" },
	{ "backing", OPT_STR, "refuse",
	  "allow: follow the backing files that a qcow2 image names" },
	{ "backing-dir", OPT_STR, NULL, "they must lie beneath; default: where the image is" },
	{ "check", OPT_BOOL, "on", "qcow2: check metadata before writing to the image" },
	{ "qcow-config", OPT_STR, NULL,
	  "HyperKit's: discard=B;check_on_connect=B;read_only=B;..." },
	{ NULL },
};

static int parse_on(const char *key, const char *v, bool *out, struct hk_err *err)
{
	static const char *const yes[] = { "on", "yes", "true", "1" };
	static const char *const no[] = { "off", "no", "false", "0" };

	if (!v) {
		*out = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcasecmp(v, yes[i]) || !strcasecmp(v, no[i])) {
			*out = !strcasecmp(v, yes[i]);
			return 0;
		}
	}
	return err_set(err, -EINVAL, "%s=%s: on or off", key, v);
}

static int parse_sync(struct img_cfg *c, const char *v, struct hk_err *err)
{
	if (!*v || !strcmp(v, "os"))
		c->sync = IMG_SYNC_OS; /* empty is what HyperKit's Go package sends */
	else if (!strcmp(v, "full") || !strcmp(v, "drive") || !strcmp(v, "1"))
		c->sync = IMG_SYNC_FULL;
	else if (!strcmp(v, "none") || !strcmp(v, "0"))
		c->sync = IMG_SYNC_NONE;
	else
		return err_set(err, -EINVAL, "sync=%s: os, full or none", v);
	return 0;
}

static int parse_sectors(struct img_cfg *c, const char *v, struct hk_err *err)
{
	char *end;
	unsigned long l = strtoul(v, &end, 10), p = 0;
	bool both = *end == '/';

	if (both)
		p = strtoul(end + 1, &end, 10);
	if (*end || !isdigit((unsigned char)*v) || l < 512 || l > 4096 || (l & (l - 1)) ||
	    (both && (p < l || p > 1 << 20 || (p & (p - 1)))))
		return err_set(err, -EINVAL, "Invalid sector size \"%s\"", v);
	c->logical = (u32)l;
	c->physical = (u32)(p ? p : l);
	return 0;
}

static int parse_number(const char *key, const char *v, u64 *out, struct hk_err *err)
{
	if (parse_size(v, out))
		return err_set(err, -EINVAL, "%s=%s: a number such as 500 or 20m", key, v);
	return 0;
}

static int parse_word(const char *key, const char *v, const char *const *words, unsigned n,
		      unsigned *out, struct hk_err *err)
{
	char list[64] = "";

	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(v, words[i])) {
			*out = i;
			return 0;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 words[i]);
	}
	return err_set(err, -EINVAL, "%s=%s: one of %s", key, v, list);
}

/* "discard=true;compact_after_unmaps=0;...": items without "=" are ignored, as they were */
static int parse_qcow_config(struct blk_cfg *c, char *list, struct hk_err *err)
{
	/* Settings of the original's compaction; freed clusters go back to the host at once here */
	static const char *const unneeded[] = { "compact_after_unmaps", "keep_erased",
						"runtime_asserts", "id" };
	char *item;

	while ((item = strsep(&list, ";"))) {
		char *v = strchr(item, '=');
		bool on, known = false;
		int rc = 0;

		if (!v)
			continue;
		*v++ = '\0';
		if (!strcasecmp(item, "discard")) {
			rc = parse_on(item, v, &on, err);
			c->img.no_discard = !on;
		} else if (!strcasecmp(item, "check_on_connect")) {
			rc = parse_on(item, v, &on, err);
			c->img.no_check = !on;
		} else if (!strcasecmp(item, "read_only")) {
			rc = parse_on(item, v, &on, err);
			c->img.read_only |= on;
		} else {
			for (size_t i = 0; i < ARRAY_LEN(unneeded); i++)
				known |= !strcasecmp(item, unneeded[i]);
			if (!known)
				return err_set(err, -EINVAL, "qcow-config: unknown key \"%s\"",
					       item);
		}
		if (rc)
			return err_wrap(err, rc, "qcow-config");
	}
	return 0;
}

static int parse_limit(struct blk_cfg *c, const char *key, const char *v, bool *known,
		       struct hk_err *err)
{
	const struct {
		const char *name;
		u64 *out;
	} t[] = {
		{ "bps", &c->limits.bytes_per_s },
		{ "bps-burst", &c->limits.burst_bytes },
		{ "iops", &c->limits.ops_per_s },
		{ "iops-burst", &c->limits.burst_ops },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		if (strcmp(key, t[i].name))
			continue;
		*known = true;
		return parse_number(key, v, t[i].out, err);
	}
	return 0;
}

/* Options with a value */
static int parse_pair(struct blk_cfg *c, const char *key, char *v, bool *known, struct hk_err *err)
{
	static const char *const errors[] = { "report", "pause" };
	static const char *const aios[] = { "auto", "io_uring", "threads" };
	static const char *const backings[] = { "refuse", "allow" };
	unsigned w = 0;
	bool on = false;
	int rc;

	*known = true;
	if (!strcmp(key, "format")) {
		if (img_format_parse(v, &c->img.format))
			return err_set(err, -EINVAL, "format=%s: raw or qcow2", v);
		return 0;
	}
	if (!strcmp(key, "sync"))
		return parse_sync(&c->img, v, err);
	if (!strcmp(key, "sectorsize"))
		return parse_sectors(&c->img, v, err);
	if (!strcmp(key, "serial")) {
		if (!*v || strlen(v) > BLK_SERIAL_BYTES)
			return err_set(err, -EINVAL, "serial=%s: 1 to 20 characters", v);
		snprintf(c->serial, sizeof(c->serial), "%s", v);
		return 0;
	}
	if (!strcmp(key, "qcow-config"))
		return parse_qcow_config(c, v, err);
	if (!strcmp(key, "backing-dir")) {
		c->img.backing_dir = v;
		return 0;
	}
	if (!strcmp(key, "on-error")) {
		rc = parse_word(key, v, errors, ARRAY_LEN(errors), &w, err);
		c->on_error = w;
		return rc;
	}
	if (!strcmp(key, "aio")) {
		rc = parse_word(key, v, aios, ARRAY_LEN(aios), &w, err);
		c->aio = w;
		return rc;
	}
	if (!strcmp(key, "backing")) {
		rc = parse_word(key, v, backings, ARRAY_LEN(backings), &w, err);
		c->img.backing_allow = w;
		return rc;
	}
	if (!strcmp(key, "ro") || !strcmp(key, "buffered") || !strcmp(key, "discard") ||
	    !strcmp(key, "lock") || !strcmp(key, "check")) {
		rc = parse_on(key, v, &on, err);
		if (rc)
			return rc;
		switch (key[0]) {
		case 'r':
			c->img.read_only |= on;
			break;
		case 'b':
			c->img.direct = !on;
			break;
		case 'd':
			c->img.no_discard = !on;
			break;
		case 'l':
			c->img.no_lock = !on;
			break;
		default:
			c->img.no_check = !on;
			break;
		}
		return 0;
	}
	*known = false;
	return parse_limit(c, key, v, known, err);
}

/* Options that are one word */
static bool parse_flag(struct blk_cfg *c, const char *word)
{
	if (!strcmp(word, "ro"))
		c->img.read_only = true;
	else if (!strcmp(word, "sync") || !strcmp(word, "direct"))
		c->img.o_sync = true;
	else if (!strcmp(word, "nocache"))
		c->img.direct = true;
	else
		return false;
	return true;
}

static int parse_option(struct blk_cfg *c, char *word, const struct blk_open *how,
			struct hk_err *err)
{
	bool known = false;
	char *v = strchr(word, '=');
	int rc = 0;

	if (v) {
		*v++ = '\0';
		/* The original's statistics server; `--stats` has the figures */
		if (!strcmp(word, "qcow-stats-config")) {
			log_warn(how->env ? how->env->log : NULL,
				 "disk %s: qcow-stats-config has no effect",
				 how->id ? how->id : "");
			return 0;
		}
		rc = parse_pair(c, word, v, &known, err);
	} else {
		known = parse_flag(c, word);
	}
	if (!known && how->own_opt && how->own_opt(how->own_arg, word, v, &rc, err))
		known = true;
	if (!known)
		return err_set(err, -EINVAL, "Invalid device option \"%s%s%s\"", word, v ? "=" : "",
			       v ? v : "");
	return rc;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int percent_decode(char *s, struct hk_err *err)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '%') {
			int hi = hex(s[1]), lo = hi < 0 ? -1 : hex(s[2]);

			if (lo < 0 || !(hi | lo))
				return err_set(err, -EINVAL, "bad percent sign in a file:// name");
			*to++ = (char)(hi << 4 | lo);
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return 0;
}

/* file:///abs/path?key=value&... */
static int parse_uri(struct blk_cfg *c, char *uri, struct hk_err *err)
{
	char *path = uri + strlen("file://"), *query = strchr(path, '?'), *item;
	int rc;

	if (query)
		*query++ = '\0';
	if (*path != '/')
		return err_set(err, -EINVAL, "file://%s: three slashes begin an absolute path",
			       path);
	while ((item = strsep(&query, "&"))) {
		char *v = strchr(item, '=');
		bool known = false;

		if (!*item)
			continue;
		if (v)
			*v++ = '\0';
		if (!v ||
		    (strcmp(item, "sync") && strcmp(item, "buffered") && strcmp(item, "lock")))
			return err_set(err, -EINVAL,
				       "file://...?%s: sync=, buffered= or lock=", item);
		rc = parse_pair(c, item, v, &known, err);
		if (rc)
			return rc;
	}
	c->img.path = path;
	return percent_decode(path, err);
}

static void derive_serial(struct blk_cfg *c, const char *opts)
{
	u8 d[MD5_BYTES];

	md5(opts, strlen(opts), d);
	snprintf(c->serial, sizeof(c->serial), "BHYVE-%02X%02X-%02X%02X-%02X%02X", d[0], d[1], d[2],
		 d[3], d[4], d[5]);
}

int blk_cfg_parse(struct blk_cfg *c, const char *opts, const struct blk_open *how,
		  struct hk_err *err)
{
	char *rest, *word;
	int rc = 0;

	memset(c, 0, sizeof(*c));
	if (!opts || !*opts || *opts == ',')
		return err_set(err, -EINVAL, "needs PATH[,option...]");
	c->text = rest = strdup(opts);
	if (!rest)
		return err_set(err, -ENOMEM, "out of memory");
	c->img.path = word = strsep(&rest, ",");
	if (!strncmp(word, "file://", 7))
		rc = parse_uri(c, word, err);
	while (!rc && (word = strsep(&rest, ",")))
		rc = parse_option(c, word, how, err);
	if (rc) {
		blk_cfg_fini(c);
		return rc;
	}
	if (!c->serial[0])
		derive_serial(c, opts);
	if (how->force_read_only)
		c->img.read_only = true;
	/* As the original: a file that may not be written is a read-only disk, and is said to be */
	c->img.ro_fallback = true;
	c->img.log = how->env ? how->env->log : NULL;
	return 0;
}

void blk_cfg_fini(struct blk_cfg *c)
{
	free(c->text);
	memset(c, 0, sizeof(*c));
}
