// SPDX-License-Identifier: BSD-2-Clause
/* boot/source.c - Open, check and read the files that a VM boots from
 *
 * A source keeps its files open from boot_*_open() to boot_source_close(), so
 * that a guest that resets is loaded from what was checked. [setup] */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/range.h"
#include "boot/boot_int.h"

#define DEFAULT_CMDLINE "auto"
#define RAM_IOVS 8

int boot_file_open(struct boot_file *f, const char *path, struct hk_err *err)
{
	struct stat sb;
	int fd, rc;

	/* O_NONBLOCK: a FIFO without a writer must not hang us */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		rc = -errno;
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	if (fstat(fd, &sb)) {
		rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
	} else if (S_ISDIR(sb.st_mode)) {
		rc = err_set(err, -EISDIR, "%s: is a directory", path);
	} else if (!S_ISREG(sb.st_mode)) {
		rc = err_set(err, -EINVAL, "%s: is not a regular file", path);
	} else if (sb.st_size == 0) {
		rc = err_set(err, -ENOEXEC, "%s: is empty", path);
	} else {
		f->path = strdup(path);
		rc = f->path ? 0 : err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	if (rc) {
		close(fd);
		return rc;
	}
	f->fd = fd;
	f->len = (u64)sb.st_size;
	return 0;
}

/* A file that was never opened has no path */
void boot_file_close(struct boot_file *f)
{
	if (!f->path)
		return;
	close(f->fd);
	free(f->path);
	f->path = NULL;
}

int boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 len, struct hk_err *err)
{
	u8 *p = buf;

	while (len) {
		ssize_t n = pread(f->fd, p, MIN(len, 1u << 30), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = -errno;

			return err_set(err, rc, "%s: %s", f->path, strerror(-rc));
		}
		if (n == 0)
			return err_set(err, -EIO, "%s: has become shorter since it was opened",
				       f->path);
		p += n;
		off += (u64)n;
		len -= (u64)n;
	}
	return 0;
}

int boot_file_to_ram(const struct boot_file *f, u64 off, u64 len, struct mem *mem, gpa_t gpa,
		     struct hk_err *err)
{
	struct iovec iov[RAM_IOVS];
	int n, rc = 0;

	if (!len)
		return 0;
	n = mem_iov(mem, gpa, len, true, iov, RAM_IOVS);
	if (n < 0)
		return err_set(err, n, "%s: no RAM at %#llx for %llu bytes", f->path,
			       (unsigned long long)gpa, (unsigned long long)len);
	for (int i = 0; i < n && !rc; i++) {
		rc = boot_file_read(f, off, iov[i].iov_base, iov[i].iov_len, err);
		off += iov[i].iov_len;
	}
	mem_wrote(mem, gpa, len);
	return rc;
}

int boot_ram_zero(struct mem *mem, gpa_t gpa, u64 len)
{
	struct iovec iov[RAM_IOVS];
	int n;

	if (!len)
		return 0;
	n = mem_iov(mem, gpa, len, true, iov, RAM_IOVS);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	mem_wrote(mem, gpa, len);
	return 0;
}

int boot_put_cmdline(const struct boot_source *s, const struct boot_env *env, struct hk_err *err)
{
	u64 len = strlen(s->cmdline) + 1;

	if (len > BOOT_CMDLINE_END - BOOT_CMDLINE_GPA)
		return err_set(err, -E2BIG, "command line of %llu bytes: at most %u fit",
			       (unsigned long long)len - 1,
			       BOOT_CMDLINE_END - BOOT_CMDLINE_GPA - 1);
	if (mem_write(env->mem, BOOT_CMDLINE_GPA, s->cmdline, len))
		return err_set(err, -EFAULT, "no RAM for the command line");
	return 0;
}

static int source_new(struct boot_source **out, enum boot_kind kind, const char *kernel,
		      const char *cmdline, struct hk_err *err)
{
	struct boot_source *s;
	int rc;

	if (!kernel || !*kernel)
		return err_set(err, -EINVAL, "no kernel given");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->kind = kind;
	if (cmdline) {
		s->cmdline = strdup(cmdline);
		if (!s->cmdline) {
			rc = err_set(err, -ENOMEM, "out of memory");
			goto fail;
		}
	}
	rc = boot_file_open(&s->kernel, kernel, err);
	if (rc) {
		rc = err_wrap(err, rc, "kernel");
		goto fail;
	}
	*out = s;
	return 0;
fail:
	boot_source_close(s);
	return rc;
}

int boot_linux_open(struct boot_source **out, const char *kernel, const char *initrd,
		    const char *cmdline, struct hk_err *err)
{
	struct boot_source *s;
	u8 magic[4] = { 0 };
	int rc;

	rc = source_new(&s, BOOT_BZIMAGE, kernel, cmdline && *cmdline ? cmdline : DEFAULT_CMDLINE,
			err);
	if (rc)
		return rc;
	rc = boot_file_read(&s->kernel, 0, magic, MIN(sizeof(magic), s->kernel.len), err);
	if (rc)
		goto fail;
	if (!memcmp(magic, "\177ELF", 4)) {
		s->kind = BOOT_PVH;
		rc = elf_parse(&s->kernel, &s->image, err);
		if (!rc && !s->image.has_phys32)
			rc = err_set(err, -ENOEXEC, "%s: ELF file without a PVH entry note (Linux: "
				     "CONFIG_PVH); use its bzImage", kernel);
	} else {
		rc = bzimage_parse(&s->kernel, &s->bz, err);
		if (!rc && strlen(s->cmdline) > s->bz.cmdline_max)
			rc = err_set(err, -E2BIG, "command line of %zu bytes: %s takes %u",
				     strlen(s->cmdline), kernel, s->bz.cmdline_max);
	}
	if (rc) {
		rc = err_wrap(err, rc, "kernel");
		goto fail;
	}
	if (initrd && *initrd) {
		rc = boot_file_open(&s->mod[0].file, initrd, err);
		if (rc) {
			rc = err_wrap(err, rc, "initrd");
			goto fail;
		}
		s->num_mods = 1;
	}
	*out = s;
	return 0;
fail:
	boot_source_close(s);
	return rc;
}

/* One "path[;args]" of the module list; the text is the caller's to scribble on */
static int add_module(struct boot_source *s, char *text, struct hk_err *err)
{
	struct boot_module *m = &s->mod[s->num_mods];
	char *args = strchr(text, ';');
	int rc;

	if (args)
		*args++ = '\0';
	if (!*text)
		return err_set(err, -EINVAL, "module %u has no path", s->num_mods + 1);
	if (s->num_mods == BOOT_MAX_MODULES)
		return err_set(err, -E2BIG, "more than %u modules", BOOT_MAX_MODULES);
	rc = boot_file_open(&m->file, text, err);
	if (rc)
		return err_wrap(err, rc, "module");
	s->num_mods++;
	/* What the kernel sees is the same text with a blank for the semicolon */
	if (args)
		args[-1] = ' ';
	m->args = strdup(text);
	if (!m->args)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

int boot_multiboot_open(struct boot_source **out, const char *kernel, const char *modules,
			const char *cmdline, struct hk_err *err)
{
	struct boot_source *s;
	char *list = NULL, *rest, *one;
	int rc;

	rc = source_new(&s, BOOT_MULTIBOOT, kernel, cmdline, err);
	if (rc)
		return rc;
	rc = multiboot_parse(&s->kernel, &s->image, err);
	if (rc) {
		rc = err_wrap(err, rc, "kernel");
		goto fail;
	}
	if (modules && *modules) {
		rest = list = strdup(modules);
		if (!list)
			rc = err_set(err, -ENOMEM, "out of memory");
		while (!rc && (one = strsep(&rest, ":")))
			rc = add_module(s, one, err);
		free(list);
		if (rc)
			goto fail;
	}
	*out = s;
	return 0;
fail:
	boot_source_close(s);
	return rc;
}

void boot_source_close(struct boot_source *s)
{
	if (!s)
		return;
	boot_file_close(&s->kernel);
	for (unsigned i = 0; i < s->num_mods; i++) {
		boot_file_close(&s->mod[i].file);
		free(s->mod[i].args);
	}
	free(s->cmdline);
	free(s);
}

int boot_source_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
		     struct hk_err *err)
{
	int rc = -EINVAL;

	if (env->lowmem_bytes < BOOT_1MIB || env->lowmem_bytes > BOOT_LOWMEM_MAX)
		return err_set(err, -EINVAL, "%llu bytes of low RAM: 1 MiB to 3 GiB are possible",
			       (unsigned long long)env->lowmem_bytes);
	switch (s->kind) {
	case BOOT_BZIMAGE:
		rc = bzimage_load(s, env, bsp, err);
		break;
	case BOOT_PVH:
		rc = pvh_load(s, env, bsp, err);
		break;
	case BOOT_MULTIBOOT:
		rc = multiboot_load(s, env, bsp, err);
		break;
	}
	return rc ? err_wrap(err, rc, "boot") : 0;
}
