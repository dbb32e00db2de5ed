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
