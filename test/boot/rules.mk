# SPDX-License-Identifier: BSD-2-Clause
# hyperkit with so little code memory that every boot empties it dozens of times
SMALL_CODE_OBJ := $(B)/test/boot/cache_small.o
SMALL_CODE_HYPERKIT := $(B)/test/boot/hyperkit-small-code
TEST_PROGS += $(SMALL_CODE_HYPERKIT)

$(SMALL_CODE_OBJ): src/accel/soft/cache/cache.c | deps-checked
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -DSC_CODE_BYTES=0x200000 $(CFLAGS_BASE) $(CFLAGS) $(NOFPU_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)objcopy $(NOFPU_SYMS) $@

$(SMALL_CODE_HYPERKIT): $(CLI_OBJ) $(LIB_OBJ) $(SMALL_CODE_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) $(LDFLAGS) -o $@ $(filter-out %/src/accel/soft/cache/cache.o,$^) $(LDLIBS)

# Both ends of test/boot/vsock_test.sh: an embedder, and a static program for the guest
VSOCK_GUEST := $(B)/test/boot/vsock-guest
VSOCK_HOST := $(B)/test/boot/vsock-host
TEST_PROGS += $(VSOCK_GUEST) $(VSOCK_HOST)

$(VSOCK_GUEST): test/boot/vsock/guest.c test/boot/vsock/proto.h
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUTER_CPPFLAGS) -std=gnu11 -O2 -static -pthread $(WARN) -o $@ $<

$(VSOCK_HOST): test/boot/vsock/host.c test/boot/vsock/proto.h $(B)/libhyperkit.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUTER_CPPFLAGS) -std=gnu11 -g -pthread $(WARN) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $< \
		$(B)/libhyperkit.a $(LDLIBS)

# Host of test/boot/virtio_test.sh, an embedder
VIRTIO_HOST := $(B)/test/boot/virtio-host
TEST_PROGS += $(VIRTIO_HOST)

$(VIRTIO_HOST): test/boot/virtio/host.c $(B)/libhyperkit.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUTER_CPPFLAGS) -std=gnu11 -g -pthread $(WARN) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $< \
		$(B)/libhyperkit.a $(LDLIBS)

# A static program for the guest of test/boot/p9_test.sh
P9_GUEST := $(B)/test/boot/p9-guest
TEST_PROGS += $(P9_GUEST)

$(P9_GUEST): test/boot/p9/guest.c
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 -O2 -static $(WARN) -o $@ $<

# Both ends of test/boot/net_test.sh: HTTP and DNS, and a VPNKit server
NET_TOOL := $(B)/test/boot/net-tool
NET_VPNKIT := $(B)/test/boot/vpnkit-server
TEST_PROGS += $(NET_TOOL) $(NET_VPNKIT)

$(NET_TOOL): test/boot/net/tool.c
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUTER_CPPFLAGS) -std=gnu11 -O2 -static -pthread $(WARN) -o $@ $<

$(NET_VPNKIT): test/boot/net/vpnkit_server.c $(B)/obj/libinternal.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TEST_CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $< \
		$(B)/obj/libinternal.a $(LDLIBS)
