# SPDX-License-Identifier: BSD-2-Clause
# fuzz/isa_diff: the host CPU against the software CPU, without end. It is no libFuzzer target:
# built like a test, of test/isa's parts.
ISA_DIFF := $(B)/fuzz/isa_diff
TEST_PROGS += $(ISA_DIFF)

$(ISA_DIFF): $(B)/%: %.c $(B)/obj/libinternal.a $(ISA_HELP_OBJ) | deps-checked
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TEST_CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS) $(SAN) $(LDFLAGS) -MMD -MP -MF $@.d \
		-o $@ $(filter %.c %.o,$^) $(B)/obj/libinternal.a $(LDLIBS)
isa-diff: $(ISA_DIFF) ## build fuzz/isa_diff: random programs, host CPU against software CPU
.PHONY: isa-diff
