# All of accel/soft may run while the guest owns the vector registers (soft.h, rule 1)
NOFPU_CFLAGS := -mgeneral-regs-only -ffreestanding -fno-tree-loop-distribute-patterns \
	-mmemcpy-strategy=rep_byte:-1:noalign -mmemset-strategy=rep_byte:-1:noalign \
	-fno-stack-protector
ifneq ($(findstring clang,$(CC)),)
NOFPU_CFLAGS := -mgeneral-regs-only -ffreestanding -fno-builtin -fno-stack-protector
endif
$(foreach f,$(shell find src/accel/soft -name '*.c'),$(eval NOFPU_$(f) := 1))
