// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/virtio_net_fuzz.c - A hostile driver of virtio-net, and frames from outside meanwhile
 *
 * The input is a list of commands. Descriptors point into a page or two of the guest's memory
 * that also holds bytes of the input, so headers and control requests are the input's too. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/virtio/net_int.h"
#include "lib/fake.h"

#define WINDOW (128u << 10)

struct in {
	const u8 *p, *end;
};

static u8 take(struct in *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static u16 take16(struct in *in)
{
	u16 v = take(in);

	return (u16)(v | take(in) << 8);
}

/* A chain of 1 to 4 buffers, somewhere in or beside the window */
static void add(struct in *in, struct gvio *g, unsigned q, gpa_t window)
{
	struct gseg seg[4];
	u8 how = take(in);
	unsigned n = 1 + (how & 3);

	for (unsigned i = 0; i < n; i++) {
		u16 len = take16(in);

		seg[i] = (struct gseg){ window + take16(in), len, how >> (2 + i) & 1 };
		if (how & 64)
			seg[i].len *= 2;
	}
	if (how & 128)
		gvq_add_indirect(g, q, seg, n);
	else
		gvq_add(g, q, seg, n);
}

static struct gvio *restart(struct fake *f, struct dev *d, struct gvio *g, u8 how, u64 mark, gpa_t *window)
{
	u64 want = (how & 4 ? ~0ull : 0) | (how & 8 ? BIT64(NET_F_MRG_RXBUF) : 0);

	if (g)
		gvio_close(g);
	fake_release(f, mark);
	g = gvio_open(f, d, want & ~(how & 16 ? BIT64(VIO_F_EVENT_IDX) : 0),
		      (how & 1 ? GVIO_LEGACY : 0) | (how & 2 ? GVIO_INTX : 0));
	*window = fake_alloc(f, WINDOW, 4096);
	return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct in in = { data, data + n };
	struct gvio *g;
	struct fake *f;
	struct dev *d;
	gpa_t window;
	char opts[64];
	u64 mark;
	int fd[2];
	u8 how = take(&in);

	if (n > 4096)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	f = fake_new();
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fd))
		abort();
	snprintf(opts, sizeof(opts), how & 32 ? "restrict=on" : "backend=socket,type=dgram,fd=%d", fd[0]);
	d = fake_dev(f, "virtio-net", 2, opts, NULL);
	if (!d)
		abort();
	close(fd[0]);
	mark = f->alloc_at;
	g = restart(f, d, NULL, how, mark, &window);
	while (in.p < in.end) {
		u8 frame[2048], c = take(&in);
		u16 len, at;

		switch (c % 12) {
		case 0 ... 2:
			add(&in, g, c % 3, window);
			break;
		case 3 ... 5:
			gvio_kick(g, c % 3);
			break;
		case 6: /* bytes of the guest's memory */
			at = take16(&in);
			for (len = take(&in); len; len--)
				*(u8 *)fake_ptr(f, window + at + len, 1) = take(&in);
			break;
		case 7: /* a frame from outside */
			len = take16(&in) % sizeof(frame);
			memset(frame, take(&in), sizeof(frame));
			send(fd[1], frame, len, MSG_DONTWAIT);
			break;
		case 8:
			fake_step(f);
			break;
		case 9: /* any byte of the rings */
			at = take16(&in);
			*(u8 *)fake_ptr(f, g->q[c / 12 % 3].desc_gpa + at % 8192, 1) = take(&in);
			break;
		case 10:
			gvio_config_write(g, take(&in) % 16, take(&in), 1);
			if (c & 128) {
				fake_advance(f, NS_PER_SEC);
				d->cls->reset(d, DEV_RESET_WARM);
			}
			break;
		default:
			g = restart(f, d, g, take(&in), mark, &window);
			while (recv(fd[1], frame, sizeof(frame), MSG_DONTWAIT) > 0)
				;
		}
	}
	fake_step(f);
	gvio_close(g);
	fake_dev_free(d);
	close(fd[1]);
	fake_free(f);
	return 0;
}
