// SPDX-License-Identifier: BSD-2-Clause
/* test/boot/net/tool.c - HTTP and DNS for both ends of network tests; static, runs in the guest too
 *
 *	tool serve ADDR PORT [N]	HTTP: GET and POST /bytes/SEED/COUNT; ends after N connections
 *	tool get ADDR PORT SEED COUNT	and compare every byte
 *	tool put ADDR PORT SEED COUNT
 *	tool many ADDR PORT N COUNT	N connections at once
 *	tool rate ADDR PORT SECONDS	requests of one byte, one after the other
 *	tool dns ADDR PORT		knows one name, host.test = 192.0.2.77
 *	tool port			a free TCP port
 *
 * serve and dns write "port N" first; port 0 takes any. Results are one line on stdout. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (256u << 10)

/* Byte i of stream @seed, eight at a time: i is a multiple of 8 (splitmix64) */
static uint64_t word(uint64_t seed, uint64_t i)
{
	uint64_t x = (seed << 40) + i * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void make(uint8_t *p, uint64_t seed, uint64_t at, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t w = word(seed, at + i);

		memcpy(p + i, &w, n - i < 8 ? n - i : 8);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool write_all(int fd, const void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t w = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		at += (size_t)w;
	}
	return true;
}

static bool send_bytes(int fd, uint64_t seed, uint64_t count)
{
	uint8_t *buf = malloc(CHUNK);
	bool ok = buf;

	for (uint64_t at = 0; ok && at < count; at += CHUNK) {
		size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;

		make(buf, seed, at, n);
		ok = write_all(fd, buf, n);
	}
	free(buf);
	return ok;
}

static bool check_bytes(int fd, uint64_t seed, uint64_t count)
{
	uint8_t *buf = malloc(CHUNK), *want = malloc(CHUNK);
	bool ok = buf && want;

	for (uint64_t at = 0; ok && at < count;) {
		size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;

		make(want, seed, at, n);
		ok = recv(fd, buf, n, MSG_WAITALL) == (ssize_t)n && !memcmp(buf, want, n);
		at += n;
	}
	free(buf);
	free(want);
	return ok;
}

/* A line or header block, byte by byte so that nothing behind it is taken */
static bool read_head(int fd, char *p, size_t max)
{
	size_t n = 0;

	while (n + 1 < max && recv(fd, p + n, 1, 0) == 1) {
		p[++n] = '\0';
		if (n >= 4 && !strcmp(p + n - 4, "\r\n\r\n"))
			return true;
	}
	return false;
}

static int dial(const char *addr, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (inet_pton(AF_INET, addr, &in.sin_addr) != 1 || connect(fd, (void *)&in, sizeof(in))) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static bool get(const char *addr, const char *port, uint64_t seed, uint64_t count)
{
	char head[512];
	int fd = dial(addr, port);
	bool ok;

	snprintf(head, sizeof(head), "GET /bytes/%llu/%llu HTTP/1.0\r\n\r\n", (unsigned long long)seed,
		 (unsigned long long)count);
	ok = fd >= 0 && write_all(fd, head, strlen(head)) && read_head(fd, head, sizeof(head)) &&
	     !strncmp(head, "HTTP/1.0 200", 12) && check_bytes(fd, seed, count) &&
	     recv(fd, head, 1, 0) == 0; /* and not a byte more */
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool put(const char *addr, const char *port, uint64_t seed, uint64_t count)
{
	char head[512];
	int fd = dial(addr, port);
	bool ok;

	snprintf(head, sizeof(head), "POST /bytes/%llu/%llu HTTP/1.0\r\n\r\n", (unsigned long long)seed,
		 (unsigned long long)count);
	ok = fd >= 0 && write_all(fd, head, strlen(head)) && send_bytes(fd, seed, count) &&
	     read_head(fd, head, sizeof(head)) && !strncmp(head, "HTTP/1.0 200", 12);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	unsigned long long seed, count;
	char head[1024], word_[8];
	bool ok;

	if (read_head(fd, head, sizeof(head)) &&
	    sscanf(head, "%7s /bytes/%llu/%llu ", word_, &seed, &count) == 3) {
		if (!strcmp(word_, "GET")) {
			snprintf(head, sizeof(head), "HTTP/1.0 200 OK\r\nContent-Length: %llu\r\n\r\n", count);
			ok = write_all(fd, head, strlen(head)) && send_bytes(fd, seed, count);
		} else {
			ok = check_bytes(fd, seed, count);
			snprintf(head, sizeof(head), "HTTP/1.0 %d -\r\n\r\n", ok ? 200 : 500);
			ok = write_all(fd, head, strlen(head)) && ok;
		}
		(void)ok;
	}
	shutdown(fd, SHUT_WR);
	recv(fd, head, 1, 0); /* until the other side has seen the end */
	close(fd);
	return NULL;
}

static int open_server(const char *addr, const char *port, int type)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, type, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (inet_pton(AF_INET, addr, &in.sin_addr) != 1 || bind(fd, (void *)&in, sizeof(in)) ||
	    (type == SOCK_STREAM && listen(fd, 512)) || getsockname(fd, (void *)&in, &len)) {
		perror("tool: cannot listen");
		exit(1);
	}
	printf("port %u\n", ntohs(in.sin_port));
	fflush(stdout);
	return fd;
}

static int serve(const char *addr, const char *port, int left)
{
	int l = open_server(addr, port, SOCK_STREAM);
	pthread_t t;

	for (;;) {
		int fd = accept(l, NULL, NULL), one = 1;

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd))
			close(fd);
		else if (left != 1)
			pthread_detach(t);
		if (left == 1) {
			pthread_join(t, NULL);
			return 0;
		}
		left -= left > 0;
	}
}

struct many {
	const char *addr, *port;
	unsigned seed;
	uint64_t count;
	pthread_t thread;
	bool ok;
};
static pthread_barrier_t all_there;

static void *many_one(void *arg)
{
	struct many *m = arg;
	char head[512];
	int fd = dial(m->addr, m->port);

	/* All are connected before the first asks */
	pthread_barrier_wait(&all_there);
	snprintf(head, sizeof(head), "GET /bytes/%u/%llu HTTP/1.0\r\n\r\n", m->seed,
		 (unsigned long long)m->count);
	m->ok = fd >= 0 && write_all(fd, head, strlen(head)) && read_head(fd, head, sizeof(head)) &&
		check_bytes(fd, m->seed, m->count);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int many(const char *addr, const char *port, unsigned n, uint64_t count)
{
	struct many *m = calloc(n, sizeof(*m));
	unsigned good = 0;
	double start = now();
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&all_there, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		m[i] = (struct many){ addr, port, i, count, 0, false };
		if (pthread_create(&m[i].thread, &attr, many_one, &m[i])) {
			printf("many: no thread %u\n", i);
			return 1;
		}
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(m[i].thread, NULL);
		good += m[i].ok;
	}
	printf("many %u of %u right in %.2f s\n", good, n, now() - start);
	return good != n;
}

static int rate(const char *addr, const char *port, double seconds)
{
	double start = now(), took;
	unsigned n = 0, bad = 0;

	do {
		bad += !get(addr, port, n++, 1);
		took = now() - start;
	} while (took < seconds);
	printf("rate %.1f requests/s, %u bad\n", n / took, bad);
	return bad != 0;
}

static void dns(const char *addr, const char *port)
{
	static const uint8_t name[] = "\4host\4test";
	int fd = open_server(addr, port, SOCK_DGRAM);

	for (;;) {
		uint8_t q[512], type[2];
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, q, sizeof(q) - 32, 0, (void *)&from, &len);
		bool known;

		if (n < 12 + (ssize_t)sizeof(name) + 4)
			continue;
		known = !memcmp(q + 12, name, sizeof(name));
		memcpy(type, q + 12 + sizeof(name), 2);
		q[2] = 0x81;
		q[3] = known ? 0x80 : 0x83;
		memset(q + 6, 0, 6);
		n = 12 + (ssize_t)sizeof(name) + 4;
		if (known && type[1] == 1) {
			static const uint8_t answer[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77 };

			q[7] = 1;
			memcpy(q + n, answer, sizeof(answer));
			n += (ssize_t)sizeof(answer);
		}
		sendto(fd, q, (size_t)n, 0, (void *)&from, len);
	}
}

static int result(const char *what, bool ok, uint64_t count, double start)
{
	double took = now() - start;

	printf("%s %s %llu bytes, %.1f MB/s\n", what, ok ? "right" : "WRONG", (unsigned long long)count,
	       (double)count / took / 1e6);
	return !ok;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t n4 = argc > 4 ? strtoull(argv[4], NULL, 0) : 0, n5 = argc > 5 ? strtoull(argv[5], NULL, 0) : 0;
	double start = now();

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(what, "serve") && argc >= 4)
		return serve(argv[2], argv[3], (int)n4);
	if (!strcmp(what, "dns") && argc == 4)
		dns(argv[2], argv[3]);
	if (!strcmp(what, "get") && argc == 6)
		return result("get", get(argv[2], argv[3], n4, n5), n5, start);
	if (!strcmp(what, "put") && argc == 6)
		return result("put", put(argv[2], argv[3], n4, n5), n5, start);
	if (!strcmp(what, "many") && argc == 6)
		return many(argv[2], argv[3], (unsigned)n4, n5);
	if (!strcmp(what, "rate") && argc == 5)
		return rate(argv[2], argv[3], atof(argv[4]));
	if (!strcmp(what, "port")) {
		open_server("127.0.0.1", "0", SOCK_STREAM);
		return 0;
	}
	fprintf(stderr, "usage: see the head of test/boot/net/tool.c\n");
	return 2;
}
