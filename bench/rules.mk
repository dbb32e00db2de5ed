# SPDX-License-Identifier: BSD-2-Clause
# What bench/ measures with. Included by tools/targets.mk.

# One static program, the same in the guest and on the host; never with a sanitizer
BENCH_CPU_SRC := $(sort $(wildcard bench/cpu/*.c))
BENCH_CPU_CFLAGS := -std=gnu11 -O2 -g -static -pthread -D_GNU_SOURCE -ffp-contract=off -fno-math-errno

$(B)/bench/cpu: $(BENCH_CPU_SRC) bench/cpu/cpu.h
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CPU_CFLAGS) $(WARN) -o $@ $(BENCH_CPU_SRC)

# What the compiler in the guest gets to compile
$(B)/bench/cc1.i: bench/cpu/compile/all.c $(BENCH_CPU_SRC) bench/cpu/cpu.h
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)gcc -E -D_GNU_SOURCE -Ibench/cpu -o $@ $<

bench-cpu: ## software CPU against native and QEMU TCG: docs/performance (ROUNDS=3, ONLY=words)
	@tools/install-deps test
	$(MAKE_J) all $(B)/bench/cpu $(B)/bench/cc1.i
	@tools/guest-images cloud
	@B=$(B) bench/cpu/run
.PHONY: bench-cpu

# Needs the library's insides
$(B)/bench/decode: bench/decode.c $(B)/obj/libinternal.a
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS)
CODE ?= /lib/x86_64-linux-gnu/libc.so.6 /bin/bash
bench-decode: $(B)/bench/decode ## ns to decode an instruction of real code (CODE="file...")
	$(Q)$(B)/bench/decode $(CODE)
.PHONY: bench-decode

# Disks, and networks
$(B)/bench/io-disk: bench/io/disk.c
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -static -D_GNU_SOURCE $(WARN) -o $@ $<
$(B)/bench/io-p9: bench/io/p9.c
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -static -D_GNU_SOURCE $(WARN) -o $@ $<
bench-p9: ## shared directories against QEMU TCG (ROUNDS=3 FILES=1000 MIB=64 CACHE=none MAP=squash)
	@tools/install-deps test
	$(MAKE_J) all $(B)/bench/io-p9
	@tools/guest-images generic
	@B=$(B) bench/io/p9
.PHONY: bench-p9
bench-io: ## disks and networks in guests against QEMU TCG (ROUNDS=3 MS=2000 DISKS="virtio ahci")
	@tools/install-deps test
	$(MAKE_J) all $(B)/bench/io-disk $(NET_TOOL)
	@tools/guest-images generic cloud
	@B=$(B) bench/io/disk
	@B=$(B) bench/io/net
	+@$(MAKE) --no-print-directory bench-p9
.PHONY: bench-io
$(B)/bench/translate: bench/translate.c $(B)/obj/libinternal.a
	$(call say,BENCH,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS) $(SAN) -o $@ $^ $(LDLIBS)
bench-translate: $(B)/bench/translate ## ns to translate a block of real code (CODE="file...")
	$(Q)$(B)/bench/translate $(CODE)
.PHONY: bench-translate
