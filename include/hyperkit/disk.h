// SPDX-License-Identifier: BSD-2-Clause
/* hyperkit/disk.h - Disk images: make, look at, check, convert, resize, compare
 *
 * Formats are "raw" and "qcow2". A format is always said, never guessed from the content, since
 * content may be a guest's; hk_disk_info() alone can be asked what an image looks like.
 * Images are locked while a function works on them, so one that a VM uses is refused.
 *
 * All functions [any]: each call stands alone. */
#ifndef HYPERKIT_DISK_H
#define HYPERKIT_DISK_H

#include <hyperkit/hyperkit.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags; each function says which it takes */
#define HK_DISK_OVERWRITE (1u << 0) /* create, convert: the file may exist */
#define HK_DISK_LAZY (1u << 1)	    /* create, convert: qcow2 with lazy refcounts */
#define HK_DISK_SHRINK (1u << 2)    /* resize: what is beyond the new end is lost */
#define HK_DISK_BACKING (1u << 3)   /* convert, compare: read backing files that an image names,
				     * beneath the directory it is in */
#define HK_DISK_FIX_LEAKS (1u << 4) /* check */
#define HK_DISK_FIX_ALL (1u << 5)   /* check */

/* A new image */
struct hk_disk_config {
	size_t size;		/* sizeof(struct hk_disk_config) of the caller */
	const char *format;
	uint64_t size_bytes;	/* multiple of 512; convert: 0 = that of the source */
	unsigned flags;		/* HK_DISK_OVERWRITE, HK_DISK_LAZY */
	/* qcow2; 0 or NULL = default */
	uint32_t cluster_bytes;	/* power of two, 512 to 2 MiB; 65536 */
	unsigned refcount_bits;	/* power of two, 1 to 64; 16 */
	unsigned version;	/* 2 or 3; 3 */
	const char *backing_file, *backing_format; /* stored as they are, not opened */
};

struct hk_disk_info {
	size_t size;		/* sizeof(struct hk_disk_info) of the caller */
	const char *format;	/* static storage */
	uint64_t size_bytes;	/* of the disk */
	uint64_t file_bytes, used_bytes; /* of the file, and what it takes on the host */
	/* qcow2 */
	uint32_t cluster_bytes;
	unsigned version, refcount_bits, snapshots;
	int dirty, corrupt, lazy_refcounts;
	const char *compression; /* "zlib", "zstd", NULL; static storage */
	char backing_file[1024], backing_format[16];
};

struct hk_disk_report {
	size_t size;		/* sizeof(struct hk_disk_report) of the caller */
	uint64_t errors, leaks, errors_fixed, leaks_fixed;
	uint64_t clusters, used_clusters, compressed_clusters;
	uint64_t image_end_bytes; /* the file is not used beyond */
	/* A line per finding (the first 200), if not NULL */
	void (*line)(void *arg, const char *text);
	void *line_arg;
};

/**
 * hk_disk_create() - Make an empty image
 *
 * Return: 0; -EEXIST without HK_DISK_OVERWRITE, -EINVAL, -EBUSY, ...
 */
HK_API int hk_disk_create(const char *path, const struct hk_disk_config *cfg,
			  struct hk_err *err) HK_MUST_CHECK;

/* @format NULL: what the first bytes look like. Set @info->size first. */
HK_API int hk_disk_info(const char *path, const char *format, struct hk_disk_info *info,
			struct hk_err *err) HK_MUST_CHECK;

/**
 * hk_disk_check() - Look whether metadata is consistent, and mend it
 * @flags:  0: look only; HK_DISK_FIX_LEAKS, HK_DISK_FIX_ALL
 * @r:	    size, line and line_arg are the caller's; the rest is filled in
 *
 * Return: 0 when the image could be looked through, whatever was found; -ENOTSUP for raw
 */
HK_API int hk_disk_check(const char *path, const char *format, unsigned flags,
			 struct hk_disk_report *r, struct hk_err *err) HK_MUST_CHECK;

/* Called now and then; another value than 0 ends the work with -ECANCELED */
typedef int hk_disk_progress_fn(void *arg, uint64_t done_bytes, uint64_t total_bytes);

/* Copy @src to a new image @dst. Zeros take no space. @flags: HK_DISK_BACKING */
HK_API int hk_disk_convert(const char *src, const char *src_format, const char *dst,
			   const struct hk_disk_config *cfg, unsigned flags,
			   hk_disk_progress_fn *progress, void *arg, struct hk_err *err) HK_MUST_CHECK;

/* @flags: HK_DISK_SHRINK */
HK_API int hk_disk_resize(const char *path, const char *format, uint64_t size_bytes, unsigned flags,
			  struct hk_err *err) HK_MUST_CHECK;

/* Do two disks have the same content? A longer one is the same when the rest of it is zeros.
 * Return: 1 the same, 0 different (first at *@where), -errno */
HK_API int hk_disk_compare(const char *a, const char *a_format, const char *b, const char *b_format,
			   unsigned flags, uint64_t *where, struct hk_err *err) HK_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
