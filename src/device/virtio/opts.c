// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/opts.c - The words that every virtio device understands [setup]
 *
 * Devices have grammars of their own (some older than this program), so the common words are taken
 * out of the text and the rest stays as it was, empty words included. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "device/virtio/vio_int.h"

static bool word_is(const char *s, size_t n, const char *name, const char **val, size_t *val_len)
{
	size_t len = strlen(name);

	if (n < len || memcmp(s, name, len) || (n > len && s[len] != '='))
		return false;
	*val = n > len ? s + len + 1 : NULL;
	*val_len = n > len ? n - len - 1 : 0;
	return true;
}

static int take_bool(bool *out, const char *name, const char *val, size_t n, struct hk_err *err)
{
	if (!val || (n == 2 && !memcmp(val, "on", 2)) || (n == 1 && *val == '1'))
		*out = true;
	else if ((n == 3 && !memcmp(val, "off", 3)) || (n == 1 && *val == '0'))
		*out = false;
	else
		return err_set(err, -EINVAL, "%s is on or off, not \"%.*s\"", name, (int)n, val);
	return 0;
}

/* 1: one of ours, 0: not ours, or -errno */
static int take_word(struct vio_opts *o, const char *s, size_t n, struct hk_err *err)
{
	const char *val;
	size_t len;
	unsigned x = 0;
	int rc;

	if (word_is(s, n, "disable-legacy", &val, &len)) {
		rc = take_bool(&o->disable_legacy, "disable-legacy", val, len, err);
		return rc ? rc : 1;
	}
	if (word_is(s, n, "disable-modern", &val, &len)) {
		rc = take_bool(&o->disable_modern, "disable-modern", val, len, err);
		return rc ? rc : 1;
	}
	if (!word_is(s, n, "vectors", &val, &len))
		return 0;
	for (size_t i = 0; i < len && x <= VIO_MAX_QUEUES + 1; i++) {
		if (val[i] < '0' || val[i] > '9')
			len = 0;
		else
			x = x * 10 + (unsigned)(val[i] - '0');
	}
	if (!len || x > VIO_MAX_QUEUES + 1)
		return err_set(err, -EINVAL, "vectors is a number from 0 to %u", VIO_MAX_QUEUES + 1);
	o->have_vectors = true;
	o->vectors = x;
	return 1;
}

int vio_take_opts(struct vio_opts *o, const char *opts, char **rest, struct hk_err *err)
{
	bool kept = false;
	const char *s, *e;
	char *to;
	int rc;

	*o = (struct vio_opts){ 0 };
	*rest = NULL;
	if (!opts)
		return 0;
	to = *rest = malloc(strlen(opts) + 1);
	if (!to)
		return err_set(err, -ENOMEM, "out of memory");
	for (s = opts;; s = e + 1) {
		e = strchr(s, ',');
		if (!e)
			e = s + strlen(s);
		rc = take_word(o, s, (size_t)(e - s), err);
		if (rc < 0)
			goto fail;
		if (!rc) {
			if (kept)
				*to++ = ',';
			memcpy(to, s, (size_t)(e - s));
			to += e - s;
			kept = true;
		}
		if (!*e)
			break;
	}
	*to = 0;
	if (!kept) {
		free(*rest);
		*rest = NULL;
	}
	if (o->disable_legacy && o->disable_modern) {
		rc = err_set(err, -EINVAL, "disable-legacy and disable-modern leave nothing");
		goto fail;
	}
	return 0;
fail:
	free(*rest);
	*rest = NULL;
	return rc;
}
