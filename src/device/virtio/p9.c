// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/p9.c - virtio-9p: a directory of the host (virtio 1.2, 5.9; backend/fs)
 *
 * One chain is one 9P message and the room for its reply. Requests are handed to a share;
 * those not answered at once come back from its threads by a list, which `work` empties as
 * the loop. [loop] unless said otherwise. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/fs/fs.h"
#include "base/err.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "device/virtio/vio.h"

#define P9_QUEUE 256u
#define P9_TAG_MAX 256u
#define P9_F_MOUNT_TAG 0
/* In one round; then timers and other devices have a turn */
#define P9_BUDGET 64u

struct slot {
	struct share_req req;
	struct vq_chain *chain;
	struct p9 *p9;
	struct list link; /* (lock) in ->done */
	size_t written;
};

struct p9 {
	struct vio v;
	struct share *share;
	struct slot *slot;	/* one for each chain head */
	struct work work;
	pthread_mutex_t lock;
	bool have_lock;
	struct list done;	/* (lock) answered, not pushed yet */
	u64 requests;
};

struct p9_config_w {
	le16 tag_len;
	u8 tag[P9_TAG_MAX];
};

static struct p9 *p9_of(struct vio *v)
{
	return container_of(v, struct p9, v);
}

/* [any] */
static void req_done(struct share_req *r, size_t written)
{
	struct slot *s = container_of(r, struct slot, req);
	struct p9 *p = s->p9;

	s->written = written;
	pthread_mutex_lock(&p->lock);
	list_add_tail(&p->done, &s->link);
	pthread_mutex_unlock(&p->lock);
	work_run(&p->work);
}

static unsigned push_done(struct p9 *p)
{
	struct list all, *l, *next;
	unsigned n = 0;

	list_init(&all);
	pthread_mutex_lock(&p->lock);
	list_for_each_safe(l, next, &p->done) {
		list_del(l);
		list_add_tail(&all, l);
	}
	pthread_mutex_unlock(&p->lock);
	list_for_each_safe(l, next, &all) {
		struct slot *s = container_of(l, struct slot, link);

		list_del(l);
		vq_push(&p->v.q[0], s->chain, (u32)s->written);
		n++;
	}
	return n;
}

static void on_done(void *arg)
{
	struct p9 *p = arg;

	if (p->v.active && push_done(p))
		vq_signal(&p->v.q[0]);
}

static void p9_notify(struct vio *v, unsigned i)
{
	struct p9 *p = p9_of(v);
	struct vq *q = &v->q[i];
	unsigned budget = P9_BUDGET;
	struct vq_chain *c;
	size_t written;

	vq_kicks_off(q);
	while (budget && (c = vq_pop(q))) {
		struct slot *s = &p->slot[c->head];

		budget--;
		p->requests++;
		s->p9 = p;
		s->chain = c;
		s->req.in = c->out;
		s->req.nin = c->num_out;
		s->req.out = c->in;
		s->req.nout = c->num_in;
		s->req.done = req_done;
		if (p->share->ops->submit(p->share, &s->req, &written))
			vq_push(q, c, (u32)written);
	}
	push_done(p);
	if (vq_kicks_on(q))
		vio_kick(v, i);
	vq_signal(q);
}

static void p9_deactivate(struct vio *v)
{
	struct p9 *p = p9_of(v);

	/* Workers finish what they began; their answers are still pushed */
	p->share->ops->reset(p->share);
	push_done(p);
}

static void p9_dump(struct vio *v, struct strbuf *out)
{
	struct p9 *p = p9_of(v);

	strbuf_add(out, "9P requests %llu\n", (unsigned long long)p->requests);
	p->share->ops->dump(p->share, out);
}

static const struct vio_class p9_vio = {
	.name = "virtio-9p",
	.id = 9,
	.pci_legacy_id = 0x1009,
	.pci_class = 0xff,
	.features = BIT64(P9_F_MOUNT_TAG),
	.num_queues = 1,
	.queue_size = P9_QUEUE,
	.deactivate = p9_deactivate,
	.notify = p9_notify,
	.dump = p9_dump,
};

static const struct opt_desc p9_opts[] = {
	{ "dir", OPT_STR, NULL, "directory to share with the built-in server" },
	{ "ro", OPT_BOOL, "off", "dir: the guest may not change anything" },
	{ "map", OPT_STR, "squash", "dir: squash, none or xattr: whose files the guest sees" },
	{ "uid", OPT_U64, "0", "dir: owner that the guest sees (squash), or of files without a note" },
	{ "gid", OPT_U64, "0", "dir: group, likewise" },
	{ "fids", OPT_U64, "0", "dir: most files that the guest may refer to (0: 524288)" },
	{ "files", OPT_U64, "0", "dir: most descriptors to use (0: a quarter of RLIMIT_NOFILE)" },
	{ "path", OPT_STR, NULL, "UNIX socket of an external 9P server" },
	{ "port", OPT_U64, NULL, "TCP port of an external 9P server on 127.0.0.1" },
	{ "tag", OPT_STR, "plan9", "name that the guest mounts, at most 256 bytes" },
	{ 0 },
};

static int number(const struct opts *o, const char *name, u32 *out, struct hk_err *err)
{
	u64 v = opts_u64(o, name);

	if (v >= UINT32_MAX)
		return err_set(err, -EINVAL, "%s=%llu: too large", name, (unsigned long long)v);
	*out = (u32)v;
	return 0;
}

static int fs_config_of(const struct opts *o, struct fs_config *cfg, struct hk_err *err)
{
	static const char *const maps[] = {
		[FS_MAP_SQUASH] = "squash",
		[FS_MAP_NONE] = "none",
		[FS_MAP_XATTR] = "xattr",
	};
	const char *map = opts_str(o, "map");
	unsigned i = 0;
	int rc;

	_Static_assert(ARRAY_LEN(maps) == FS_NUM_MAPS, "a word for each");
	while (i < FS_NUM_MAPS && strcmp(maps[i], map))
		i++;
	if (i == FS_NUM_MAPS)
		return err_set(err, -EINVAL, "map=%s: want squash, none or xattr", map);
	cfg->dir = opts_str(o, "dir");
	cfg->ro = opts_bool(o, "ro");
	cfg->map = (enum fs_map)i;
	rc = number(o, "uid", &cfg->uid, err);
	rc = rc ? rc : number(o, "gid", &cfg->gid, err);
	rc = rc ? rc : number(o, "fids", &cfg->max_fids, err);
	return rc ? rc : number(o, "files", &cfg->max_files, err);
}

static int open_share(struct p9 *p, const struct opts *o, struct hk_err *err)
{
	const struct dev_env *env = p->v.dev.env;
	const char *dir = opts_str(o, "dir"), *path = opts_str(o, "path"), *tag = opts_str(o, "tag");
	const bool port = opts_str(o, "port");
	struct fs_config cfg = { 0 };
	size_t len = strlen(tag);
	struct p9_config_w c;
	int rc;

	if (!!dir + !!path + port != 1)
		return err_set(err, -EINVAL, "want one of dir=DIRECTORY, path=SOCKET, port=NUMBER");
	if (!len || len > P9_TAG_MAX)
		return err_set(err, -EINVAL, "a tag has 1 to %u bytes", P9_TAG_MAX);
	c.tag_len = le16_of((u16)len);
	memcpy(c.tag, tag, len);
	rc = vio_config_init(&p->v, &c, (unsigned)(offsetof(struct p9_config_w, tag) + len), err);
	if (rc)
		return rc;
	if (dir) {
		rc = fs_config_of(o, &cfg, err);
		return rc ? rc : share_open_dir(&p->share, &cfg, env->loop, env->log, err);
	}
	return share_open_peer(&p->share, path,
			       port ? (unsigned)MIN(opts_u64(o, "port"), (u64)UINT32_MAX) : 0, env->loop,
			       env->log, err);
}

static int p9_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct p9 *p = p9_of(vio_of(d));
	struct opts *o = NULL;
	char *rest = NULL;
	int rc;

	pthread_mutex_init(&p->lock, NULL);
	p->have_lock = true;
	list_init(&p->done);
	work_init(&p->work, d->env->loop, on_done, p);
	rc = vio_init(&p->v, &p9_vio, opts, &rest, err);
	if (!rc)
		rc = opts_parse(&o, p9_opts, rest, err);
	if (!rc)
		rc = open_share(p, o, err);
	if (!rc) {
		p->slot = calloc(VQ_MAX_SIZE, sizeof(p->slot[0]));
		rc = p->slot ? 0 : err_set(err, -ENOMEM, "out of memory");
		for (unsigned i = 0; !rc && i < VQ_MAX_SIZE; i++) {
			list_init(&p->slot[i].link);
			list_init(&p->slot[i].req.link);
		}
	}
	opts_destroy(o);
	free(rest);
	return rc ? err_wrap(err, rc, "virtio-9p %s", d->id) : 0;
}

static void p9_fini(struct dev *d)
{
	struct p9 *p = p9_of(vio_of(d));

	if (p->have_lock) {
		work_cancel_sync(&p->work);
		share_close(p->share);
		p->share = NULL;
		pthread_mutex_destroy(&p->lock);
		p->have_lock = false;
	}
	free(p->slot);
	p->slot = NULL;
	vio_fini(d);
}

extern const struct dev_class virtio_9p_class;
const struct dev_class virtio_9p_class = {
	.name = "virtio-9p",
	.help = "a directory of the host, or an external 9P server",
	.size = sizeof(struct p9),
	.opts = p9_opts,
	.init = p9_init,
	.plug = vio_plug,
	.start = vio_start,
	.stop = vio_stop,
	.reset = vio_reset,
	.dump = vio_dump,
	.fini = p9_fini,
};
