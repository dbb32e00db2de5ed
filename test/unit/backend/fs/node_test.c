// SPDX-License-Identifier: BSD-2-Clause
/* Fids keep meaning the same file: renames, removals, and fewer descriptors than fids */
#include "client.h"

#include <sys/syscall.h>

#define DIRS 40u
#define FILES 20u

static u32 dir_fid(u32 d) { return 100 + d; }
static u32 file_fid(u32 d, u32 f) { return 1000 + d * FILES + f; }

/* A chain of directories d0/d1/..., FILES files in each whose content is their number, a fid
 * for each; with descriptors for a tenth of them */
static void many(struct client *c)
{
	char path[1024] = "", name[2048];
	int n = 0;

	for (u32 d = 0; d < DIRS; d++) {
		n += snprintf(path + n, sizeof(path) - (size_t)n, "%sd%u", d ? "/" : "", d);
		assert_int_equal(mkdir(in_dir(c, path), 0755), 0);
		for (u32 f = 0; f < FILES; f++) {
			char text[16];

			snprintf(name, sizeof(name), "%s/f%u", path, f);
			snprintf(text, sizeof(text), "%u", d * FILES + f);
			put_file(in_dir(c, name), text);
		}
	}
	serve_with(c, &(struct fs_config){ .max_files = 64 });
	for (u32 d = 0; d < DIRS; d++) {
		snprintf(name, sizeof(name), "d%u", d);
		assert_int_equal(c_walk(c, d ? dir_fid(d - 1) : ROOT, dir_fid(d), name), 0);
		for (u32 f = 0; f < FILES; f++) {
			snprintf(name, sizeof(name), "f%u", f);
			assert_int_equal(c_walk(c, dir_fid(d), file_fid(d, f), name), 0);
		}
	}
	assert_true(c->fs->num_node_fds <= 64);
}

/* Does the fid mean the file it was made for? */
static int check(struct client *c, u32 d, u32 f)
{
	char text[16];
	int n, rc;

	rc = c_walk(c, file_fid(d, f), 7, "");
	rc = rc ? rc : c_open(c, 7, 0);
	if (rc) {
		c_clunk(c, 7);
		return rc;
	}
	n = c_read(c, 7, 0, 100);
	assert_true(n > 0);
	c->rep[11 + n] = '\0';
	snprintf(text, sizeof(text), "%u", d * FILES + f);
	assert_string_equal((char *)c->rep + 11, text);
	return c_clunk(c, 7);
}

static void fids_outlive_their_descriptors(void **state)
{
	struct client *c = *state;

	many(c);
	for (unsigned round = 0; round < 2; round++)
		for (u32 d = 0; d < DIRS; d++)
			for (u32 f = 0; f < FILES; f++)
				assert_int_equal(check(c, d, f), 0);
	assert_true(atomic_load(&c->fs->reopens) > DIRS * FILES);
	assert_true(c->fs->num_node_fds + c->fs->num_open <= 64);
}

static void renames_by_the_guest_lose_no_fid(void **state)
{
	struct client *c = *state;

	many(c);
	/* directories up and down, files into other directories and over each other's names */
	assert_int_equal(c_rename(c, dir_fid(19), "d20", ROOT, "moved"), 0);
	assert_int_equal(c_rename(c, dir_fid(29), "d30", dir_fid(3), "d30"), 0);
	assert_int_equal(c_rename(c, ROOT, "d0", ROOT, "first"), 0);
	assert_int_equal(c_rename(c, dir_fid(5), "f1", dir_fid(35), "other"), 0);
	assert_int_equal(c_rename(c, dir_fid(5), "f2", dir_fid(6), "f2"), 0); /* over 6/f2 */
	assert_int_equal(c_unlink(c, dir_fid(7), "f3", 0), 0);
	for (u32 d = 0; d < DIRS; d++)
		for (u32 f = 0; f < FILES; f++)
			assert_int_equal(check(c, d, f), 0);
	/* cycles stay impossible */
	assert_int_equal(c_rename(c, ROOT, "first", dir_fid(10), "x"), -EINVAL);
}

static void what_the_host_put_in_a_files_place_is_not_taken_for_it(void **state)
{
	struct client *c = *state;
	char path[2048] = "";
	int n = 0, rc;

	many(c);
	for (u32 d = 0; d < 5; d++)
		n += snprintf(path + n, sizeof(path) - (size_t)n, "d%u/", d);
	/* 4/f0 has no descriptor by now: most were opened after it */
	snprintf(path + n, sizeof(path) - (size_t)n, "f0");
	assert_int_equal(unlink(in_dir(c, path)), 0);
	put_file(in_dir(c, path), "another");
	rc = check(c, 4, 0);
	assert_int_equal(rc, -ESTALE);
	/* walked to again it is the new one */
	assert_int_equal(c_walk(c, dir_fid(4), 8, "f0"), 0);
	assert_int_equal(c_open(c, 8, 0), 0);
	assert_int_equal(c_read(c, 8, 0, 100), 7);
	for (u32 f = 1; f < FILES; f++)
		assert_int_equal(check(c, 4, f), 0);
}

static void files_without_names_cost_descriptors_and_no_more_than_allowed(void **state)
{
	struct client *c = *state;
	int rc = 0;
	u32 i, alive = 0;
	struct attr a;

	serve_with(c, &(struct fs_config){ .max_files = 64 });
	for (i = 0; i < 300; i++) {
		assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "f", S_IFREG | 0600u, 0u, 0u, 0u), 0);
		rc = c_walk(c, ROOT, 100 + i, "f");
		assert_true(rc == 0 || rc == -EMFILE);
		assert_int_equal(c_unlink(c, ROOT, "f", 0), 0);
		assert_true(c->fs->num_node_fds <= 66);
	}
	for (i = 0; i < 300; i++)
		alive += c_getattr(c, 100 + i, &a) == 0;
	assert_true(alive >= 32 && alive < 70);
	fids_forget(c->fs);
	assert_int_equal(c->fs->inodes.n, 1);
	assert_int_equal(c->fs->num_node_fds, 1);
}

static void nothing_is_left_when_all_fids_are_gone(void **state)
{
	struct client *c = *state;

	many(c);
	for (u32 d = 0; d < DIRS; d++) {
		for (u32 f = 0; f < FILES; f++)
			assert_int_equal(c_clunk(c, file_fid(d, f)), 0);
		assert_int_equal(c_clunk(c, dir_fid(DIRS - 1 - d)), 0);
	}
	assert_int_equal(c->fs->num_fids, 1);
	assert_int_equal(c->fs->inodes.n, 1);
	assert_int_equal(c->fs->names.n, 0);
	assert_int_equal(c->fs->num_node_fds, 1);
	assert_int_equal(c->fs->num_open, 0);
}

/* ---- many threads, one server ---- */

struct runner {
	struct client c;
	unsigned id;
	u32 seed;
};

static u32 rnd(struct runner *r)
{
	r->seed = r->seed * 1664525u + 1013904223u;
	return r->seed >> 8;
}

/* Do anything with anybody's fids: errors are fine, crashes and leaks are not */
static void *run(void *arg)
{
	struct runner *r = arg;
	struct client *c = &r->c;
	struct attr a;
	char n1[8], n2[8];

	for (unsigned i = 0; i < 3000; i++) {
		u32 f1 = 1 + rnd(r) % 24, f2 = 1 + rnd(r) % 24;

		snprintf(n1, sizeof(n1), "n%u", rnd(r) % 6);
		snprintf(n2, sizeof(n2), "n%u", rnd(r) % 6);
		switch (rnd(r) % 16) {
		case 0: case 1: case 2: (void)c_walk(c, f1, f2, rnd(r) % 4 ? n1 : rnd(r) % 2 ? "" : ".."); break;
		case 3: case 4: if (f1 != ROOT) (void)c_clunk(c, f1); break;
		case 5: (void)c_open(c, f1, rnd(r) % 3); break;
		case 6: (void)c_create(c, f1, n1, O_RDWR, 0644); break;
		case 7: (void)c_mkdir(c, f1, n1); break;
		case 8: (void)c_rename(c, f1, n1, f2, n2); break;
		case 9: (void)c_unlink(c, f1, n1, rnd(r) % 2 ? P9_AT_REMOVEDIR : 0); break;
		case 10: (void)c_getattr(c, f1, &a); break;
		case 11: (void)c_write(c, f1, rnd(r) % 100, "data", 4); break;
		case 12: (void)c_read(c, f1, 0, 100); break;
		case 13: (void)call(c, P9_TREADDIR, "dqd", f1, 0ull, 1000u); break;
		case 14: (void)call(c, P9_TLOCK, "dbdqqds", f1, rnd(r) % 3, 0u, (u64)rnd(r) % 50, 5ull, f2, "x"); break;
		case 15: if (f1 != ROOT) (void)call(c, P9_TREMOVE, "d", f1); break;
		}
	}
	return NULL;
}

static void threads_share_fids_without_harm(void **state)
{
	struct client *c = *state;
	struct runner r[4];
	pthread_t t[4];

	serve_with(c, &(struct fs_config){ .max_files = 64 });
	for (unsigned i = 0; i < 4; i++) {
		r[i].c = *c;
		r[i].seed = i * 77 + 5;
		r[i].c.req = malloc(MSG_MAX + 64);
		r[i].c.rep = malloc(MSG_MAX + 64);
		assert_int_equal(pthread_create(&t[i], NULL, run, &r[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		free(r[i].c.req);
		free(r[i].c.rep);
	}
	fs_reset(c->fs);
	assert_int_equal(c->fs->inodes.n, 1);
	assert_int_equal(c->fs->names.n, 0);
	assert_int_equal(c->fs->num_node_fds, 1);
	assert_int_equal(c->fs->num_open, 0);
	assert_int_equal(c->fs->num_fids, 0);
	assert_int_equal(c->fs->num_ranges, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fids_outlive_their_descriptors),
		TEST(renames_by_the_guest_lose_no_fid),
		TEST(what_the_host_put_in_a_files_place_is_not_taken_for_it),
		TEST(files_without_names_cost_descriptors_and_no_more_than_allowed),
		TEST(nothing_is_left_when_all_fids_are_gone),
		TEST(threads_share_fids_without_harm),
	};

	return cmocka_run_group_tests_name("fs/node", tests, NULL, NULL);
}
