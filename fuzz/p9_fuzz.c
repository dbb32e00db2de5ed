// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/p9_fuzz.c - Messages to the 9P server: sequences of any fields, sizes, splits
 *
 * The first byte chooses map, ro, few descriptors, openat2, how messages are cut. Then come
 * messages: length of the body (2 bytes), type, body; the head is made here, with a size
 * field that sometimes lies. A session with the root as fid 1 and a small tree are there.
 *
 * Besides what the sanitizers see: replies are well formed, nothing beside the shared
 * directory changes, and what is there cannot be read. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/fs/fs.h"
#include "backend/fs/p9.h"
#include "base/wire.h"

#define REPLY_MAX 65536u
static const char secret[] = "Q7zW-the-secret-that-no-guest-may-see";

static char top[64], dir[80], outside[80], file[96];
static struct stat was;
static bool dirty = true; /* something changed the tree */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	if (f->level > 0)
		remove(path);
	return 0;
}

static void at_end(void)
{
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	rmdir(top);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static void once(void)
{
	snprintf(top, sizeof(top), "/dev/shm/hk-p9.XXXXXX");
	if (!mkdtemp(top)) {
		snprintf(top, sizeof(top), "/tmp/hk-p9.XXXXXX");
		if (!mkdtemp(top))
			abort();
	}
	snprintf(dir, sizeof(dir), "%s/share", top);
	snprintf(outside, sizeof(outside), "%s/outside", top);
	snprintf(file, sizeof(file), "%s/secret", outside);
	mkdir(outside, 0700);
	put(file, secret);
	stat(outside, &was);
	atexit(at_end);
}

static void fresh_tree(void)
{
	char path[128];

	if (!dirty)
		return;
	dirty = false;
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	rmdir(dir);
	mkdir(dir, 0700);
	snprintf(path, sizeof(path), "%s/d", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/f", dir);
	put(path, "content");
	(void)!setxattr(path, "user.a", "v", 1, 0);
	snprintf(path, sizeof(path), "%s/s", dir);
	(void)!symlink("../outside", path);
	snprintf(path, sizeof(path), "%s/t", dir);
	(void)!symlink("../outside/secret", path);
	snprintf(path, sizeof(path), "%s/p", dir);
	mkfifo(path, 0600);
}

static unsigned cut(struct iovec *iov, u8 *p, size_t len, size_t piece)
{
	unsigned n = 0;

	for (size_t at = 0; at < len; n++) {
		size_t part = n < 31 ? MIN(piece, len - at) : len - at;

		iov[n].iov_base = p + at;
		iov[n].iov_len = part;
		at += part;
	}
	return n;
}

static void request(struct fs *fs, u8 *msg, size_t len, size_t room, size_t piece)
{
	static u8 reply[REPLY_MAX];
	struct iovec in[32], out[32];
	size_t n;

	n = fs_request(fs, in, cut(in, msg, len, piece), out, cut(out, reply, room, piece), false);
	if (!n)
		return;
	if (n > room || n < P9_HEAD || load_le32(reply) != n)
		abort();
	if (reply[4] != P9_RLERROR && reply[4] != (u8)(msg[4] + 1))
		abort();
	if (reply[4] == P9_RLERROR && (n != P9_ERROR_LEN || !load_le32(reply + 7)))
		abort();
	/* Everything that answers and is not known to only look */
	if (reply[4] != P9_RLERROR && msg[4] != P9_TVERSION && msg[4] != P9_TATTACH &&
	    msg[4] != P9_TWALK && msg[4] != P9_TREAD && msg[4] != P9_TREADDIR &&
	    msg[4] != P9_TGETATTR && msg[4] != P9_TSTATFS && msg[4] != P9_TREADLINK)
		dirty = true;
	if (memmem(reply, n, secret, sizeof(secret) - 1))
		abort();
}

static size_t begin(u8 *m, u8 type, u16 tag)
{
	m[4] = type;
	store_le16(m + 5, tag);
	return P9_HEAD;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static u8 msg[70000];
	struct fs_config cfg = { .dir = dir };
	struct stat st;
	struct fs *fs;
	size_t n, piece, at = 1;

	if (!*top)
		once();
	if (!size)
		return 0;
	fresh_tree();
	cfg.map = (enum fs_map)((data[0] & 3u) % FS_NUM_MAPS);
	cfg.ro = data[0] & 4;
	cfg.no_openat2 = data[0] & 8;
	cfg.max_files = data[0] & 16 ? FS_MIN_FILES : 1000;
	cfg.max_fids = 100;
	piece = data[0] >> 5 ? 1u << (data[0] >> 5) * 2 : 70000;
	if (fs_open(&fs, &cfg, NULL))
		return 0; /* no attributes here */

	n = begin(msg, P9_TVERSION, 0xffff);
	memcpy(msg + n, "\0\0\x10\0\x08\0" "9P2000.L", 14);
	store_le32(msg, (u32)(n + 14));
	request(fs, msg, n + 14, REPLY_MAX, piece);
	n = begin(msg, P9_TATTACH, 1);
	memcpy(msg + n, "\x01\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16);
	store_le32(msg, (u32)(n + 16));
	request(fs, msg, n + 16, REPLY_MAX, piece);

	for (unsigned i = 0; i < 64 && size - at >= 3; i++) {
		size_t body = load_le16(data + at) & 0x3fff, lie = data[at + 1] >> 6;

		n = begin(msg, data[at + 2], (u16)i);
		at += 3;
		body = MIN(body, size - at);
		memcpy(msg + n, data + at, body);
		at += body;
		store_le32(msg, (u32)(n + body + (lie == 1) - (lie == 2 ? 1 : 0)));
		request(fs, msg, n + body, lie == 3 ? 11 + body : REPLY_MAX, piece);
	}
	fs_close(fs);
	if (stat(outside, &st) || st.st_nlink != was.st_nlink || st.st_mode != was.st_mode ||
	    st.st_mtim.tv_sec != was.st_mtim.tv_sec || st.st_mtim.tv_nsec != was.st_mtim.tv_nsec ||
	    st.st_uid != was.st_uid || stat(file, &st) || st.st_size != sizeof(secret) - 1)
		abort();
	return 0;
}
