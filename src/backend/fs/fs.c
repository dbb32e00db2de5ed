// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/fs.c - A shared directory: open, close, sessions
 *
 * Everything that can be wrong with the host is found here, before a guest runs. */
#include "backend/fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"
#include "base/err.h"
#include "base/strbuf.h"

#define MAX_FILES_DEFAULT 16384u

static bool is_local(int fd)
{
	static const u32 magic[] = {
		EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC, RAMFS_MAGIC, F2FS_SUPER_MAGIC,
		OVERLAYFS_SUPER_MAGIC, XFS_SUPER_MAGIC, 0x2fc12fc1 /* zfs */,
	};
	struct statfs s;

	if (fstatfs(fd, &s))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(magic); i++)
		if ((u32)s.f_type == magic[i])
			return true;
	return false;
}

static bool probe_openat2(struct fs *fs, int fd)
{
	int probe;

	if (fs->cfg.no_openat2)
		return false;
	fs->have_openat2 = true;
	probe = path_open(fs, fd, ".", O_PATH | O_DIRECTORY, 0);
	if (probe < 0)
		return false; /* ENOSYS; EPERM of a seccomp filter */
	close(probe);
	return true;
}

static void choose_limits(struct fs *fs)
{
	struct rlimit r;

	if (!fs->cfg.max_fids)
		fs->cfg.max_fids = FS_MAX_FIDS;
	if (!fs->cfg.max_files) {
		fs->cfg.max_files = MAX_FILES_DEFAULT;
		/* The rest of the process needs some, and it may have other shares */
		if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur / 4 < MAX_FILES_DEFAULT)
			fs->cfg.max_files = (u32)(r.rlim_cur / 4);
	}
	fs->cfg.max_files = MAX(fs->cfg.max_files, FS_MIN_FILES);
	fs->max_open = fs->cfg.max_files / 4 * 3;
}

static int open_root(struct fs *fs, struct hk_err *err)
{
	const char *dir = fs->cfg.dir;
	char proc[PATH_PROC_MAX];
	struct statx st;
	int fd, rc;

	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "dir=%s: %s", dir, strerror(errno));
	rc = path_stat(fd, &st);
	if (!rc)
		rc = node_root(fs, fd, &st);
	if (rc) {
		close(fd);
		return err_set(err, rc, "dir=%s: %s", dir, strerror(-rc));
	}
	fs->root_dev = statx_dev(&st);
	fs->have_openat2 = probe_openat2(fs, fd);
	fs->local = is_local(fd);

	/* Files are opened by their link in /proc (path.c): is it the real thing? */
	fs->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs->proc_fd < 0)
		return err_set(err, -errno, "dir=%s: sharing files needs /proc/self/fd: %s", dir,
			       strerror(errno));
	rc = path_reopen(fs, fd, O_RDONLY | O_DIRECTORY);
	if (rc < 0)
		return err_set(err, rc, "dir=%s: cannot be read: %s", dir, strerror(-rc));
	close(rc);
	if (fs->cfg.map == FS_MAP_XATTR &&
	    getxattr(path_proc(proc, fd), "user.hyperkit.9p", NULL, 0) < 0 && errno != ENODATA)
		return err_set(err, -errno, "dir=%s: map=xattr needs a file system with user attributes: %s",
			       dir, strerror(errno));
	return 0;
}

int fs_open(struct fs **out, const struct fs_config *cfg, struct hk_err *err)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	int rc = -ENOMEM;

	if (!fs)
		return err_set(err, rc, "out of memory");
	fs->cfg = *cfg;
	fs->cfg.dir = strdup(cfg->dir);
	fs->proc_fd = -1;
	fs->uid = geteuid();
	fs->gid = getegid();
	list_init(&fs->lru);
	pthread_mutex_init(&fs->lock, NULL);
	pthread_mutex_init(&fs->rename_lock, NULL);
	pthread_mutex_init(&fs->note_lock, NULL);
	pthread_mutex_init(&fs->flock_lock, NULL);
	if (!fs->cfg.dir || htab_init(&fs->inodes) || htab_init(&fs->names) ||
	    htab_init(&fs->fids) || htab_init(&fs->flocks)) {
		err_set(err, rc, "out of memory");
		goto fail;
	}
	if (getrandom(&fs->seed, sizeof(fs->seed), GRND_NONBLOCK) != sizeof(fs->seed))
		fs->seed = (uintptr_t)fs; /* early boot of the host: better than none */
	choose_limits(fs);
	rc = open_root(fs, err);
	if (rc)
		goto fail;
	*out = fs;
	return 0;
fail:
	fs_close(fs);
	return rc;
}

void fs_reset(struct fs *fs)
{
	fids_forget(fs);
	locks_forget(fs);
}

void fs_close(struct fs *fs)
{
	if (!fs)
		return;
	if (fs->fids.slot && fs->flocks.slot)
		fs_reset(fs);
	if (fs->root)
		node_put(fs, fs->root);
	if (fs->proc_fd >= 0)
		close(fs->proc_fd);
	htab_fini(&fs->inodes);
	htab_fini(&fs->names);
	htab_fini(&fs->fids);
	htab_fini(&fs->flocks);
	pthread_mutex_destroy(&fs->lock);
	pthread_mutex_destroy(&fs->rename_lock);
	pthread_mutex_destroy(&fs->note_lock);
	pthread_mutex_destroy(&fs->flock_lock);
	free((char *)(uintptr_t)fs->cfg.dir);
	free(fs);
}

bool fs_is_local(const struct fs *fs)
{
	return fs->local;
}

void fs_dump(struct fs *fs, struct strbuf *out)
{
	pthread_mutex_lock(&fs->lock);
	strbuf_add(out, "dir %s%s, openat2 %s\n", fs->cfg.dir, fs->cfg.ro ? " (read only)" : "",
		   fs->have_openat2 ? "yes" : "no");
	strbuf_add(out, "msize %u, fids %u, files open %u, nodes %zu, their descriptors %u of %u\n",
		   atomic_load(&fs->msize), fs->num_fids, fs->num_open, fs->inodes.n,
		   fs->num_node_fds, fs->cfg.max_files);
	strbuf_add(out, "requests %llu, refused %llu, descriptors opened again %llu\n",
		   (unsigned long long)atomic_load(&fs->requests),
		   (unsigned long long)atomic_load(&fs->errors),
		   (unsigned long long)atomic_load(&fs->reopens));
	pthread_mutex_unlock(&fs->lock);
}
