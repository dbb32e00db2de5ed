// SPDX-License-Identifier: BSD-2-Clause
/* test/boot/vsock/guest.c - The guest's end of the vsock tests; static, started by init */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "proto.h"

#define BUF (64 << 10)

static void read_all(int fd, void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = read(fd, (char *)buf + at, n - at);

		if (r <= 0)
			return;
		at += (size_t)r;
	}
}

static int write_all(int fd, const void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = write(fd, (const char *)buf + at, n - at);

		if (r <= 0)
			return -1;
		at += (size_t)r;
	}
	return 0;
}

static int dial(unsigned port)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static void echo(int fd)
{
	static __thread char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write_all(fd, buf, (size_t)n))
			break;
	shutdown(fd, SHUT_WR);
	while (n >= 0 && read(fd, buf, sizeof(buf)) > 0)
		;
}

static void sink(int fd)
{
	unsigned char *buf = malloc(BUF);
	struct sum s = { 0, ~0ull };
	ssize_t n;

	while ((n = read(fd, buf, BUF)) > 0) {
		pattern_check(buf, s.bytes, (size_t)n, &s.wrong);
		s.bytes += (size_t)n;
	}
	write_all(fd, &s, sizeof(s));
	free(buf);
}

static void source(int fd)
{
	unsigned char *buf = malloc(BUF);
	uint64_t len = 0, at = 0;

	read_all(fd, &len, sizeof(len));
	while (at < len) {
		size_t n = len - at < BUF ? len - at : BUF;

		pattern_fill(buf, at, n);
		if (write_all(fd, buf, n))
			break;
		at += n;
	}
	shutdown(fd, SHUT_WR);
	read(fd, buf, BUF); /* until the host has it all */
	free(buf);
}

static void rude(int fd)
{
	write_all(fd, "bye", 3);
	usleep(100000);
}

/* "dial N PORT": N connections at once, each with its own words */
static void cmd_dial(int out, unsigned n, unsigned port)
{
	int *fd = calloc(n, sizeof(*fd));
	char say[48], hear[48], line[80] = "";
	unsigned i = 0;

	while (i < n && (fd[i] = dial(port)) >= 0)
		i++;
	if (i < n)
		snprintf(line, sizeof(line), "failed %u %s\n", i, strerror(errno));
	n = i;
	for (i = 0; i < n; i++) {
		snprintf(say, sizeof(say), "this is guest connection %06u", i);
		write_all(fd[i], say, strlen(say));
	}
	for (i = 0; i < n; i++) {
		memset(hear, 0, sizeof(hear));
		snprintf(say, sizeof(say), "this is guest connection %06u", i);
		read_all(fd[i], hear, strlen(say));
		if (strcmp(say, hear) && !line[0])
			snprintf(line, sizeof(line), "failed %u heard \"%s\"\n", i, hear);
	}
	if (!line[0])
		snprintf(line, sizeof(line), "ok %u\n", n);
	for (i = 0; i < n; i++)
		close(fd[i]);
	free(fd);
	write_all(out, line, strlen(line));
}

static void *rebind_later(void *arg)
{
	usleep(200000);
	system("cd /sys/bus/virtio/drivers/vmw_vsock_virtio_transport && for d in virtio*; do "
	       "echo $d >unbind; echo $d >bind; done");
	close(dial(PORT_READY));
	return NULL;
}

static void control(int fd)
{
	char line[80];
	size_t n = 0;
	unsigned a, b;

	while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1) {
		if (line[n++] != '\n')
			continue;
		line[n] = '\0';
		n = 0;
		if (sscanf(line, "dial %u %u", &a, &b) == 2) {
			cmd_dial(fd, a, b);
		} else if (!strcmp(line, "rebind\n")) {
			pthread_t t;

			pthread_create(&t, NULL, rebind_later, NULL);
			write_all(fd, "ok\n", 3);
		} else if (!strcmp(line, "quit\n")) {
			exit(0);
		} else {
			write_all(fd, "failed what?\n", 13);
		}
	}
}

struct job {
	int fd;
	void (*fn)(int fd);
};

static void *job_main(void *arg)
{
	struct job j = *(struct job *)arg;

	free(arg);
	j.fn(j.fd);
	close(j.fd);
	return NULL;
}

static void start(void *(*fn)(void *), int fd, void (*serve)(int))
{
	struct job *j = malloc(sizeof(*j));
	pthread_attr_t attr;
	pthread_t t;

	*j = (struct job){ fd, serve };
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&t, &attr, fn, j)) {
		perror("pthread_create");
		close(fd);
		free(j);
	}
}

static void *listen_main(void *arg)
{
	struct job j = *(struct job *)arg;
	int fd;

	free(arg);
	while ((fd = accept(j.fd, NULL, NULL)) >= 0)
		start(job_main, fd, j.fn);
	perror("accept");
	return NULL;
}

static void serve(unsigned port, void (*fn)(int))
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096)) {
		perror("vsock");
		exit(1);
	}
	start(listen_main, fd, fn);
}

int main(void)
{
	struct rlimit lim = { 65536, 65536 };
	int fd = -1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_NOFILE, &lim);
	signal(SIGPIPE, SIG_IGN);
	serve(PORT_CONTROL, control);
	serve(PORT_ECHO, echo);
	serve(PORT_SINK, sink);
	serve(PORT_SOURCE, source);
	serve(PORT_RUDE, rude);
	for (int i = 0; i < 50 && fd < 0; i++) {
		fd = dial(PORT_READY);
		if (fd < 0)
			usleep(100000);
	}
	if (fd < 0) {
		perror("cannot connect to the host");
		return 1;
	}
	printf("vsock-guest: ready\n");
	close(fd);
	for (;;)
		pause();
}
