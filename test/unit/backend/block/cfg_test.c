// SPDX-License-Identifier: BSD-2-Clause
/* The option string of a disk: HyperKit's words and ours */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "backend/block/img.h"

static int parse(struct blk_cfg *c, const char *opts, struct hk_err *err)
{
	const struct blk_open how = { .id = "t" };

	err->text[0] = '\0';
	return blk_cfg_parse(c, opts, &how, err);
}

static void good(struct blk_cfg *c, const char *opts)
{
	struct hk_err err;

	if (parse(c, opts, &err))
		fail_msg("%s: %s", opts, err.text);
}

static void a_plain_path_has_the_defaults(void **s)
{
	struct blk_cfg c;

	good(&c, "/my/disk.img");
	assert_string_equal(c.img.path, "/my/disk.img");
	assert_int_equal(c.img.format, IMG_RAW);
	assert_int_equal(c.img.sync, IMG_SYNC_OS);
	assert_false(c.img.read_only || c.img.direct || c.img.o_sync || c.img.no_lock);
	assert_false(c.img.no_discard || c.img.no_check || c.img.backing_allow);
	assert_int_equal(c.on_error, BLK_REPORT);
	blk_cfg_fini(&c);
}

static void docker_s_qcow_string_is_understood(void **s)
{
	struct blk_cfg c;

	good(&c,
	     "file:///Users/x/my%20disk.qcow2?sync=os&buffered=1,format=qcow,"
	     "qcow-config=discard=true;compact_after_unmaps=262144;keep_erased=262144;runtime_asserts=false");
	assert_string_equal(c.img.path, "/Users/x/my disk.qcow2");
	assert_int_equal(c.img.format, IMG_QCOW2);
	assert_int_equal(c.img.sync, IMG_SYNC_OS);
	assert_false(c.img.direct || c.img.no_discard);
	blk_cfg_fini(&c);
	good(&c,
	     "file:///d?sync=drive&buffered=0&lock=0,format=qcow,qcow-config=discard=false;check_on_connect=false");
	assert_int_equal(c.img.sync, IMG_SYNC_FULL);
	assert_true(c.img.direct && c.img.no_lock && c.img.no_discard && c.img.no_check);
	blk_cfg_fini(&c);
	good(&c, "file:///d?sync=&buffered=1,format=qcow");
	assert_int_equal(c.img.sync, IMG_SYNC_OS);
	blk_cfg_fini(&c);
}

static void every_option_is_taken(void **s)
{
	struct blk_cfg c;

	good(&c,
	     "d,ro,sync,nocache,sync=none,sectorsize=512/4096,format=qcow2,serial=ABC,on-error=pause,"
	     "bps=20m,bps-burst=1g,iops=500,iops-burst=1000,aio=threads,backing=allow,backing-dir=/b,"
	     "discard=off,lock=off,check=off");
	assert_true(c.img.read_only && c.img.o_sync && c.img.direct && c.img.no_discard &&
		    c.img.no_lock && c.img.no_check && c.img.backing_allow);
	assert_int_equal(c.img.sync, IMG_SYNC_NONE);
	assert_int_equal(c.img.logical, 512);
	assert_int_equal(c.img.physical, 4096);
	assert_string_equal(c.serial, "ABC");
	assert_string_equal(c.img.backing_dir, "/b");
	assert_int_equal(c.on_error, BLK_PAUSE);
	assert_int_equal(c.aio, IMG_AIO_THREADS);
	assert_int_equal(c.limits.bytes_per_s, 20 << 20);
	assert_int_equal(c.limits.burst_bytes, 1 << 30);
	assert_int_equal(c.limits.ops_per_s, 500);
	assert_int_equal(c.limits.burst_ops, 1000);
	blk_cfg_fini(&c);
}

/* MD5 of the whole string, first six bytes: /dev/disk/by-id stays what HyperKit made it */
static void the_serial_is_hyperkit_s(void **s)
{
	struct blk_cfg c;

	good(&c, "abc");
	assert_string_equal(c.serial, "BHYVE-9001-5098-3CD2");
	blk_cfg_fini(&c);
	good(&c, "abc,ro");
	assert_string_not_equal(c.serial, "BHYVE-9001-5098-3CD2");
	blk_cfg_fini(&c);
}

static void mistakes_are_named(void **s)
{
	static const struct {
		const char *opts, *words;
	} t[] = {
		{ NULL, "needs PATH" },
		{ "", "needs PATH" },
		{ ",ro", "needs PATH" },
		{ "d,nonsense", "Invalid device option \"nonsense\"" },
		{ "d,colour=red", "Invalid device option \"colour=red\"" },
		{ "d,format=vhd", "format=vhd" },
		{ "d,sectorsize=500", "Invalid sector size \"500\"" },
		{ "d,sectorsize=512/256", "Invalid sector size" },
		{ "d,sectorsize=1024/", "Invalid sector size" },
		{ "d,sync=often", "sync=often" },
		{ "d,serial=", "1 to 20" },
		{ "d,serial=123456789012345678901", "1 to 20" },
		{ "d,on-error=ignore", "one of report, pause" },
		{ "d,aio=fast", "one of auto, io_uring, threads" },
		{ "d,bps=many", "bps=many" },
		{ "d,discard=maybe", "on or off" },
		{ "d,backing=yes", "one of refuse, allow" },
		{ "d,qcow-config=colour=red", "unknown key \"colour\"" },
		{ "file://host/d", "three slashes" },
		{ "file:///d?cache=no", "cache" },
		{ "file:///d%4", "percent" },
		{ "file:///d%00x", "percent" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct hk_err err;
		struct blk_cfg c;

		assert_int_equal(parse(&c, t[i].opts, &err), -EINVAL);
		if (!strstr(err.text, t[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", t[i].opts, err.text, t[i].words);
	}
}

static bool own(void *arg, const char *key, const char *value, int *rc, struct hk_err *err)
{
	if (strcmp(key, "queues"))
		return false;
	*rc = value && !strcmp(value, "4") ? 0 : -ERANGE;
	++*(unsigned *)arg;
	return true;
}

static void front_ends_have_options_of_their_own(void **s)
{
	unsigned n = 0;
	const struct blk_open how = { .id = "t", .own_opt = own, .own_arg = &n };
	struct blk_cfg c;

	assert_int_equal(blk_cfg_parse(&c, "d,queues=4,ro", &how, NULL), 0);
	assert_int_equal(n, 1);
	assert_true(c.img.read_only);
	blk_cfg_fini(&c);
	assert_int_equal(blk_cfg_parse(&c, "d,queues=5", &how, NULL), -ERANGE);
	assert_int_equal(blk_cfg_parse(&c, "d,other", &how, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_path_has_the_defaults),
		cmocka_unit_test(docker_s_qcow_string_is_understood),
		cmocka_unit_test(every_option_is_taken),
		cmocka_unit_test(the_serial_is_hyperkit_s),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(front_ends_have_options_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
