// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_backing.c - The file below
 *
 * An image names files of the host, and an image may come from a stranger. So backing
 * files are opened only when the user allows it (backing=allow), read-only, beneath one
 * directory (openat2 with RESOLVE_BENEATH: no way out by "..", links or mounts of /proc), and
 * in the format that the image states. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/block/qcow2.h"
#include "base/err.h"

static int open_beneath(int dir, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

/* @dir without its last part; "." when there is no slash */
static void dir_of(const char *path, char *dir, size_t n)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(dir, n, ".");
	else
		snprintf(dir, n, "%.*s", (int)(slash == path ? 1 : slash - path), path);
}

/* @name as seen from @root: relative names start at the image's directory */
static int relative_to(const char *root, const char *image_dir, const char *name, char *out,
		       size_t n, struct hk_err *err)
{
	char *abs_root = realpath(root, NULL), *abs_image = NULL;
	char full[2 * PATH_MAX];
	size_t len;
	int rc = 0;

	if (!abs_root)
		return err_set(err, -errno, "backing-dir %s: %s", root, strerrordesc_np(errno));
	if (name[0] == '/') {
		snprintf(full, sizeof(full), "%s", name);
	} else {
		abs_image = realpath(image_dir, NULL);
		if (!abs_image) {
			rc = err_set(err, -errno, "%s: %s", image_dir, strerrordesc_np(errno));
			goto out;
		}
		snprintf(full, sizeof(full), "%s/%s", abs_image, name);
	}
	len = strlen(abs_root);
	if (len == 1)
		len = 0; /* "/" */
	if (strncmp(full, abs_root, len) || full[len] != '/') {
		rc = err_set(err, -EACCES, "backing file %s is not beneath %s (backing-dir=)", name,
			     abs_root);
		goto out;
	}
	while (full[len] == '/')
		len++;
	if (strlen(full + len) >= n)
		rc = err_set(err, -ENAMETOOLONG, "backing file %s: the name is too long", name);
	else
		snprintf(out, n, "%s", full + len);
out:
	free(abs_root);
	free(abs_image);
	return rc;
}

/* The directory of a file that was found beneath @root as @rel; for names relative to it */
static int open_named(const struct img_cfg *cfg, const char *root, const char *rel,
		      struct img **out, enum img_format format, struct hk_err *err)
{
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, rc;
	char by_fd[64], real[PATH_MAX];
	struct img_cfg below = {
		.path = by_fd,
		.format = format,
		.read_only = true,
		.sync = cfg->sync,
		.direct = cfg->direct,
		.no_lock = cfg->no_lock,
		.backing_allow = true,
		.backing_dir = root,
		.depth = cfg->depth + 1,
		.log = cfg->log,
	};
	struct img *file;
	ssize_t n;

	if (dir < 0)
		return err_set(err, -errno, "%s: %s", root, strerrordesc_np(errno));
	fd = open_beneath(dir, rel);
	rc = fd < 0 ? -errno : 0;
	close(dir);
	if (rc == -EXDEV || rc == -ELOOP)
		return err_set(err, -EACCES, "backing file %s leads out of %s", rel, root);
	if (rc)
		return err_set(err, rc, "backing file %s: %s", rel, strerrordesc_np(-rc));
	/* Opened again through the descriptor: the file that was checked, not its name */
	snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
	n = readlink(by_fd, real, sizeof(real) - 1);
	if (n < 0)
		n = 0;
	real[n] = '\0';
	below.growable = format != IMG_RAW;
	rc = raw_open(&file, &below, err);
	close(fd);
	if (!rc) {
		below.path = real;
		rc = img_open_over(out, file, &below, err);
	}
	/* One name is enough, however deep the chain */
	return rc && !cfg->depth ? err_wrap(err, rc, "backing file %s", rel) : rc;
}

int qc_backing_open(struct qcow2 *q, const struct img_cfg *cfg, struct hk_err *err)
{
	const char *name = q->hdr.backing_file;
	char image_dir[PATH_MAX], rel[PATH_MAX];
	const char *root;
	enum img_format format;
	int rc;

	if (q->img.backing) { /* cfg->backing_img */
		q->backed = true;
		return 0;
	}
	if (!cfg->backing_allow)
		return err_set(err, -EACCES,
			       "has the backing file %s, which only backing=allow opens", name);
	if (cfg->depth >= QC_MAX_DEPTH)
		return err_set(err, -ELOOP, "more than %d backing files on top of each other",
			       QC_MAX_DEPTH);
	if (!q->hdr.backing_format[0])
		return err_set(
			err, -EINVAL,
			"does not say which format its backing file %s has (qemu-img rebase -u -F)",
			name);
	if (img_format_parse(q->hdr.backing_format, &format))
		return err_set(err, -ENOTSUP, "backing file %s: format %s is not known", name,
			       q->hdr.backing_format);
	if (!cfg->path)
		return err_set(err, -EINVAL, "an image without a name cannot have a backing file");
	dir_of(cfg->path, image_dir, sizeof(image_dir));
	root = cfg->backing_dir ? cfg->backing_dir : image_dir;
	rc = relative_to(root, image_dir, name, rel, sizeof(rel), err);
	if (!rc)
		rc = open_named(cfg, root, rel, &q->img.backing, format, err);
	if (!rc)
		q->backed = true;
	return rc;
}
