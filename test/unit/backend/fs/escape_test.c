// SPDX-License-Identifier: BSD-2-Clause
/* Attacks: a guest, with or without a helper on the host, tries to get out of the directory
 *
 * "outside" lies beside the shared directory and holds a file "secret". Whatever is done, the
 * guest must not get a fid of it, not a byte of it, and leave nothing there. */
#include "client.h"

#include <stdatomic.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <time.h>

#define SECRET "the secret"

static int setup(void **state)
{
	struct client *c;
	char path[128];
	int rc = client_setup(state);

	if (rc)
		return rc;
	c = *state;
	snprintf(path, sizeof(path), "%s/secret", c->outside);
	put_file(path, SECRET);
	return 0;
}
static int setup_without_openat2(void **state)
{
	int rc = setup(state);

	if (!rc)
		serve_with(*state, &(struct fs_config){ .no_openat2 = true });
	return rc;
}

static u64 ino_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void outside_is_untouched(struct client *c)
{
	char path[128], text[64];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/secret", c->outside);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text));
	close(fd);
	assert_int_equal(n, strlen(SECRET));
	assert_memory_equal(text, SECRET, strlen(SECRET));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(c->outside), 0); /* nothing else was in it */
	assert_int_equal(mkdir(c->outside, 0755), 0);
	put_file(path, SECRET);
}

static void names_are_one_component(void **state)
{
	static const struct { const char *s; size_t len; int rc; } bad[] = {
		{ "", 0, -EINVAL },		 { ".", 1, -EINVAL },
		{ "/", 1, -EINVAL },		 { "../outside/secret", 17, -EINVAL },
		{ "a/b", 3, -EINVAL },		 { "/etc/passwd", 11, -EINVAL },
		{ "a\0b", 3, -EINVAL },		 { "\0", 1, -EINVAL },
		{ "..\0", 3, -EINVAL },		 { "a/", 2, -EINVAL },
	};
	struct client *c = *state;
	char longer[300];

	put_file(in_dir(c, "f"), "x");
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	memset(longer, 'n', sizeof(longer));
	assert_int_equal(call(c, P9_TWALK, "ddwS", ROOT, 9u, 1u, longer, sizeof(longer)), -ENAMETOOLONG);
	for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
		/* the last row: ".." is for walks only */
		const char *s = i < ARRAY_LEN(bad) ? bad[i].s : "..";
		size_t n = i < ARRAY_LEN(bad) ? bad[i].len : 2;

		if (i < ARRAY_LEN(bad))
			assert_int_equal(call(c, P9_TWALK, "ddwS", ROOT, 9u, 1u, s, n), -EINVAL);
		assert_int_equal(call(c, P9_TLCREATE, "dSddd", ROOT, s, n, 2u, 0644u, 0u), -EINVAL);
		assert_int_equal(call(c, P9_TSYMLINK, "dSsd", ROOT, s, n, "t", 0u), -EINVAL);
		assert_int_equal(call(c, P9_TMKNOD, "dSdddd", ROOT, s, n, S_IFREG | 0600u, 0u, 0u, 0u), -EINVAL);
		assert_int_equal(call(c, P9_TMKDIR, "dSdd", ROOT, s, n, 0755u, 0u), -EINVAL);
		assert_int_equal(call(c, P9_TLINK, "ddS", ROOT, 2u, s, n), -EINVAL);
		assert_int_equal(call(c, P9_TRENAME, "ddS", 2u, ROOT, s, n), -EINVAL);
		assert_int_equal(call(c, P9_TRENAMEAT, "dsdS", ROOT, "f", ROOT, s, n), -EINVAL);
		assert_int_equal(call(c, P9_TRENAMEAT, "dSds", ROOT, s, n, ROOT, "f"), -EINVAL);
		assert_int_equal(call(c, P9_TUNLINKAT, "dSd", ROOT, s, n, 0u), -EINVAL);
		assert_int_equal(call(c, P9_TUNLINKAT, "dSd", ROOT, s, n, P9_AT_REMOVEDIR), -EINVAL);
	}
	outside_is_untouched(c);
}

static void symlinks_are_read_and_never_followed(void **state)
{
	struct client *c = *state;
	char target[128], got[256];
	struct stat st;
	struct attr a;

	snprintf(target, sizeof(target), "%s/secret", c->outside);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "abs", target, 0u), 0);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "rel", "../outside", 0u), 0);
	snprintf(target, sizeof(target), "%s/new", c->outside);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "new", target, 0u), 0);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "proc", "/proc/self/root", 0u), 0);

	assert_int_equal(c_walk(c, ROOT, 2, "abs"), 0);
	assert_int_equal(c_open(c, 2, 0), -ELOOP);
	assert_int_equal(c_open(c, 2, O_RDWR | P9_O_TRUNC), -ELOOP);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_true(S_ISLNK(a.mode));
	assert_int_equal(call(c, P9_TREADLINK, "d", 2u), 0);
	assert_string_not_equal(take_str(c, got), "");
	assert_int_equal(c_walk(c, 2, 3, "x"), -ENOTDIR);
	assert_int_equal(c_walk(c, ROOT, 3, "rel/secret"), -ENOENT);
	assert_int_equal(c_walk(c, ROOT, 3, "proc/etc"), -ENOENT);
	/* attributes, size, times, owner: of the link, or not at all */
	assert_int_equal(c_setattr(c, 2, P9_SET_SIZE, 0, 0, 0, 0), -EINVAL);
	assert_int_not_equal(c_setattr(c, 2, P9_SET_MODE, 0777, 0, 0, 0), 0);
	assert_int_equal(c_setattr(c, 2, P9_SET_MTIME | P9_SET_MTIME_TO, 0, 0, 0, 0), 0);
	assert_int_not_equal(call(c, P9_TXATTRWALK, "dds", 2u, 4u, "user.x"), 0);
	snprintf(target, sizeof(target), "%s/secret", c->outside);
	assert_int_equal(stat(target, &st), 0);
	assert_true(st.st_mtim.tv_sec > 1100000000);
	/* a hard link of a symlink is one */
	assert_int_equal(call(c, P9_TLINK, "dds", ROOT, 2u, "abs2"), 0);
	assert_int_equal(lstat(in_dir(c, "abs2"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	/* create over a symlink: not through it */
	for (unsigned flags = 0; flags < 3; flags++) {
		assert_int_equal(c_walk(c, ROOT, 5, ""), 0);
		assert_int_equal(c_create(c, 5, "new", flags, 0644), -ELOOP);
		assert_int_equal(c_create(c, 5, "abs", flags | P9_O_TRUNC, 0644), -ELOOP);
		assert_int_equal(c_create(c, 5, "abs", flags | P9_O_EXCL, 0644), -EEXIST);
		assert_int_equal(c_clunk(c, 5), 0);
	}
	/* rename and unlink: the link itself */
	assert_int_equal(c_rename(c, ROOT, "abs", ROOT, "abs3"), 0);
	assert_int_equal(c_unlink(c, ROOT, "abs3", 0), 0);
	assert_int_equal(c_unlink(c, ROOT, "rel", P9_AT_REMOVEDIR), -ENOTDIR);
	outside_is_untouched(c);
}

static void devices_fifos_and_sockets_are_never_opened(void **state)
{
	struct client *c = *state;

	serve_with(c, &(struct fs_config){ .map = FS_MAP_NONE });
	assert_int_equal(mkfifo(in_dir(c, "fifo"), 0666), 0);
	if (!mknod(in_dir(c, "null"), S_IFCHR | 0666, makedev(1, 3))) {
		assert_int_equal(c_walk(c, ROOT, 2, "null"), 0);
		assert_int_equal(c_open(c, 2, O_RDWR), -ENXIO);
		assert_int_equal(c_walk(c, ROOT, 3, ""), 0);
		assert_int_equal(c_create(c, 3, "null", O_RDWR, 0644), -ENXIO);
	}
	/* would hang */
	assert_int_equal(c_walk(c, ROOT, 4, "fifo"), 0);
	for (u32 flags = 0; flags < 3; flags++) {
		assert_int_equal(c_open(c, 4, flags), -ENXIO);
		assert_int_equal(c_walk(c, ROOT, 5, ""), 0);
		assert_int_equal(c_create(c, 5, "fifo", flags, 0644), -ENXIO);
		assert_int_equal(c_clunk(c, 5), 0);
	}
	assert_int_equal(c_setattr(c, 4, P9_SET_SIZE, 0, 0, 0, 0), -EINVAL);
	/* squashed, no device is made at all */
	serve_with(c, &(struct fs_config){ 0 });
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "mem", S_IFCHR | 0666u, 1u, 1u, 0u), -EPERM);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "sda", S_IFBLK | 0666u, 8u, 0u, 0u), -EPERM);
}

static void a_directory_moved_out_has_no_way_up(void **state)
{
	struct client *c = *state;
	char to[128];

	mkdir(in_dir(c, "d"), 0755);
	mkdir(in_dir(c, "d/e"), 0755);
	assert_int_equal(c_walk(c, ROOT, 2, "d/e"), 0);
	snprintf(to, sizeof(to), "%s/d", c->outside);
	assert_int_equal(rename(in_dir(c, "d"), to), 0);
	/* what was reached stays reachable; its parent is not in the share any more */
	assert_int_equal(c_walk(c, 2, 3, ".."), -EXDEV);
	assert_int_equal(c_walk(c, 2, 3, "../../secret"), -EXDEV);
	assert_int_equal(rename(to, in_dir(c, "d")), 0);
	assert_int_equal(c_walk(c, 2, 3, "../.."), 0);
	outside_is_untouched(c);
}

/* ---- with a helper on the host that exchanges names as fast as it can ---- */

struct racer {
	struct client *c;
	atomic_bool stop;
	_Atomic unsigned turns;
	char a[256], b[256];
};

static void *exchange_names(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->stop)) {
		syscall(SYS_renameat2, AT_FDCWD, r->a, AT_FDCWD, r->b, 2u /* RENAME_EXCHANGE */);
		atomic_fetch_add(&r->turns, 1);
	}
	return NULL;
}

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

/* "d" is now a directory with a file "secret" that is none, now a symlink to outside */
static void a_directory_exchanged_with_a_symlink_leads_nowhere(void **state)
{
	struct client *c = *state;
	struct racer r = { .c = c };
	u64 secret, outside = ino_of(c->outside), end;
	unsigned hits = 0, misses = 0;
	struct attr a;
	pthread_t t;
	char path[256];
	int n;

	snprintf(path, sizeof(path), "%s/secret", c->outside);
	secret = ino_of(path);
	snprintf(r.a, sizeof(r.a), "%s/d", c->dir);
	snprintf(r.b, sizeof(r.b), "%s/s", c->dir);
	mkdir(r.a, 0755);
	put_file(in_dir(c, "d/secret"), "harmless");
	assert_int_equal(symlink("../outside", r.b), 0);
	assert_int_equal(pthread_create(&t, NULL, exchange_names, &r), 0);
	for (end = now_ms() + 700; now_ms() < end || !hits || !misses;) {
		if (now_ms() > end + 20000)
			break;
		c_clunk(c, 2);
		/* the guest's way, the careless way, the long way */
		if (c_walk(c, ROOT, 2, hits % 3 == 0 ? "d/secret" : hits % 3 == 1 ? "d/../d/secret" : "d")) {
			misses++;
			continue;
		}
		hits++;
		assert_int_equal(c_getattr(c, 2, &a), 0);
		assert_int_not_equal(a.qid.path, secret);
		assert_int_not_equal(a.qid.path, outside);
		if (S_ISREG(a.mode) && !c_open(c, 2, O_RDWR)) {
			n = c_read(c, 2, 0, 100);
			assert_int_equal(n, 8);
			assert_memory_equal(c->rep + 11, "harmless", 8);
		} else if (!S_ISREG(a.mode)) {
			c_walk(c, 2, 3, "");
			if (!c_create(c, 3, "planted", O_RDWR | P9_O_TRUNC, 0644))
				assert_int_equal(c_write(c, 3, 0, "x", 1), 1);
			c_clunk(c, 3);
			c_mkdir(c, 2, "dir");
			c_unlink(c, 2, "planted", 0);
			c_rename(c, ROOT, "nothing", 2, "secret");
		}
	}
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	assert_true(hits && misses && atomic_load(&r.turns) > 100);
	outside_is_untouched(c);
}

/* "f" is now a file, now a FIFO: it must be refused or opened, never wait */
static void a_file_exchanged_with_a_fifo_does_not_hang(void **state)
{
	struct client *c = *state;
	struct racer r = { .c = c };
	unsigned opened = 0, refused = 0;
	pthread_t t;
	u64 end;
	int rc;

	snprintf(r.a, sizeof(r.a), "%s/f", c->dir);
	snprintf(r.b, sizeof(r.b), "%s/p", c->dir);
	put_file(r.a, "x");
	assert_int_equal(mkfifo(r.b, 0666), 0);
	assert_int_equal(pthread_create(&t, NULL, exchange_names, &r), 0);
	for (end = now_ms() + 500; now_ms() < end || !opened || !refused;) {
		if (now_ms() > end + 20000)
			break;
		c_clunk(c, 2);
		c_clunk(c, 3);
		if (c_walk(c, ROOT, 2, "f"))
			continue;
		rc = c_open(c, 2, O_RDWR);
		assert_true(rc == 0 || rc == -ENXIO);
		c_walk(c, ROOT, 3, "");
		rc = c_create(c, 3, "f", O_RDONLY, 0600);
		assert_true(rc == 0 || rc == -ENXIO);
		opened += rc == 0;
		refused += rc != 0;
	}
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	assert_true(opened && refused);
}

static void *move_out_and_in(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->stop)) {
		if (rename(r->a, r->b) || rename(r->b, r->a))
			break;
		atomic_fetch_add(&r->turns, 1);
	}
	return NULL;
}

/* "d" is moved out of the share and back while the guest climbs out of it */
static void dotdot_out_of_a_directory_on_the_move_stays_inside(void **state)
{
	struct client *c = *state;
	struct racer r = { .c = c };
	u64 top = ino_of(c->top), outside = ino_of(c->outside), share = ino_of(c->dir), end;
	unsigned up = 0, refused = 0;
	struct attr a;
	pthread_t t;

	snprintf(r.a, sizeof(r.a), "%s/d", c->dir);
	snprintf(r.b, sizeof(r.b), "%s/d", c->outside);
	mkdir(r.a, 0755);
	assert_int_equal(c_walk(c, ROOT, 2, "d"), 0);
	assert_int_equal(pthread_create(&t, NULL, move_out_and_in, &r), 0);
	for (end = now_ms() + 700; now_ms() < end || !up || !refused;) {
		if (now_ms() > end + 20000)
			break;
		c_clunk(c, 3);
		if (c_walk(c, 2, 3, "..")) {
			refused++;
			continue;
		}
		up++;
		assert_int_equal(c_getattr(c, 3, &a), 0);
		assert_int_not_equal(a.qid.path, top);
		assert_int_not_equal(a.qid.path, outside);
		assert_int_equal(a.qid.path, share);
	}
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	assert_true(up && refused);
	outside_is_untouched(c);
}

#define BOTH(name) \
	cmocka_unit_test_setup_teardown(name, setup, client_teardown), \
	{ #name "_without_openat2", name, setup_without_openat2, client_teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(names_are_one_component),
		BOTH(symlinks_are_read_and_never_followed),
		BOTH(devices_fifos_and_sockets_are_never_opened),
		BOTH(a_directory_moved_out_has_no_way_up),
		BOTH(a_directory_exchanged_with_a_symlink_leads_nowhere),
		BOTH(a_file_exchanged_with_a_fifo_does_not_hang),
		BOTH(dotdot_out_of_a_directory_on_the_move_stays_inside),
	};

	return cmocka_run_group_tests_name("fs/escape", tests, NULL, NULL);
}
