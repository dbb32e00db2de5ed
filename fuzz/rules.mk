# SPDX-License-Identifier: BSD-2-Clause
# Fuzz targets. Included by tools/targets.mk.
#
# fuzz/NAME_fuzz.c holds LLVMFuzzerTestOneInput and becomes $(B)/fuzz/NAME_fuzz, linked with
# all objects of the library (hidden symbols too) and test/lib/*.c, all of them built with
# clang's coverage counters, AddressSanitizer and UBSan: MODE=fuzz in a build folder of its
# own. accel/soft stays without sanitizers there as everywhere (src/accel/soft/rules.mk).
FUZZ_CLANG ?= clang
FUZZ_SRC := $(sort $(wildcard fuzz/*_fuzz.c))
FUZZ_PROGS := $(FUZZ_SRC:%.c=$(B)/%)
FUZZ_SECONDS ?= 20
# Where the sub-make builds: never inside another flavour's objects
FUZZ_B := $(B)/fuzz
# Debian keeps the fuzzer's runtime in a package of its own (libclang-rt-dev)
FUZZ_MISSING = $(shell printf 'int LLVMFuzzerTestOneInput(const char*p,long n){return 0;}' | \
	$(FUZZ_CLANG) -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null || echo y)

fuzz: ## build the fuzz targets into B/fuzz (clang)
	+@if [ -n "$(FUZZ_MISSING)" ]; then \
		echo "  skipped: $(FUZZ_CLANG) has no libFuzzer here (tools/install-deps fuzz)"; \
	else $(patsubst +%,%,$(MAKE_J)) MODE=fuzz CC=$(FUZZ_CLANG) B=$(FUZZ_B) fuzz-programs; fi
fuzz-smoke: fuzz ## run each fuzz target over its corpus and for FUZZ_SECONDS (K=pattern)
	@B=$(FUZZ_B) fuzz/run -j $(JOBS) -s $(FUZZ_SECONDS) $(if $(K),-k '$(K)')

ifeq ($(MODE),fuzz)
fuzz-programs: $(FUZZ_PROGS)
$(FUZZ_PROGS): $(B)/%: %.c $(B)/obj/libinternal.a $(TEST_LIB_OBJ) | deps-checked
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TEST_CPPFLAGS) -Ifuzz $(CFLAGS_BASE) -Wno-missing-prototypes $(CFLAGS) $(SAN) \
		-fsanitize=fuzzer $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $(filter %.c %.o,$^) $(B)/obj/libinternal.a \
		-lcmocka $(LDLIBS)
-include $(FUZZ_PROGS:%=%.d)
endif

.PHONY: fuzz fuzz-smoke fuzz-programs
