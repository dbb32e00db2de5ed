// SPDX-License-Identifier: BSD-2-Clause
/* api/vsock.c - The embedder's ends of vsock connections [any] */
#include <errno.h>

#include "api/api_int.h"
#include "backend/vsock/vsk.h"

int hk_vm_vsock_connect(struct hk_vm *vm, uint32_t port, int *fd, struct hk_err *err)
{
	if (!vm || !fd)
		return err_set(err, -EINVAL, "hk_vm_vsock_connect needs a VM and a place for the descriptor");
	return machine_vsock_connect(vm->m, port, fd, err);
}

int hk_vm_vsock_listen(struct hk_vm *vm, uint32_t port, int *fd, struct hk_err *err)
{
	if (!vm || !fd)
		return err_set(err, -EINVAL, "hk_vm_vsock_listen needs a VM and a place for the descriptor");
	return machine_vsock_listen(vm->m, port, fd, err);
}

int hk_vsock_accept(int listen_fd, int *fd, uint32_t *guest_port)
{
	return fd ? vsk_hub_accept(listen_fd, fd, guest_port) : -EINVAL;
}
