# SPDX-License-Identifier: BSD-2-Clause
# HyperKit for Linux. `make` builds, `make demo` boots Linux, `make check` tests,
# `make help` lists the rest. MODE=release|debug|asan|tsan|cov, CC=clang, V=1.

MODE ?= release
ifeq ($(MODE),release)
B := build
else
B := build/$(MODE)
endif
ifeq ($(origin CC),default)
CC := gcc
endif
IASL ?= iasl
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' $(1) $(patsubst $(B)/%,%,$(2))
endif

VERSION := $(shell sed -n 's/^\#\# \(v0\.[0-9]*\).*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)
SONAME := libhyperkit.so.0

.DEFAULT_GOAL := all
PKGS := zydis liburing zlib libzstd slirp
include tools/deps.mk

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wwrite-strings -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare
CPPFLAGS += -Iinclude -Isrc -I$(B)/gen -D_GNU_SOURCE -DHK_VERSION='"$(VERSION)"'
CFLAGS_BASE := -std=gnu11 -g -pthread -fPIC -fvisibility=hidden -fno-strict-aliasing $(WARN) $(PKG_CFLAGS)
LDLIBS := $(PKG_LIBS) -lpthread

ifeq ($(MODE),debug)
CFLAGS ?= -O0
CPPFLAGS += -DHK_DEBUG
else ifeq ($(MODE),asan)
CFLAGS ?= -O1 -fno-omit-frame-pointer
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
CPPFLAGS += -DHK_DEBUG -DHK_ASAN
else ifeq ($(MODE),tsan)
CFLAGS ?= -O1 -fno-omit-frame-pointer
SAN := -fsanitize=thread
CPPFLAGS += -DHK_DEBUG -DHK_TSAN
else ifeq ($(MODE),fuzz)
CFLAGS ?= -O1 -fno-omit-frame-pointer
SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
CPPFLAGS += -DHK_DEBUG -DHK_ASAN
else ifeq ($(MODE),cov)
CFLAGS ?= -O0 --coverage
LDFLAGS += --coverage
CPPFLAGS += -DHK_DEBUG -DHK_COVERAGE
else
CFLAGS ?= -O2
endif

LIB_SRC := $(sort $(shell find src -name '*.c' -not -path 'src/cli/*'))
LIB_ASM := $(sort $(shell find src -name '*.S'))
CLI_SRC := $(sort $(wildcard src/cli/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o) $(LIB_ASM:%.S=$(B)/obj/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(B)/obj/%.o)

all: $(B)/hyperkit $(B)/libhyperkit.a $(B)/libhyperkit.so $(B)/hyperkit.pc ## build the command and the libraries

# Code that runs while guest vector and x87 registers are live: it may touch
# neither them nor libc (accel/soft/soft.h says which files and why). ThreadSanitizer's
# runtime uses vector registers, so it stays out of them.
-include src/accel/soft/rules.mk
# Compilers emit calls of these four on their own; libc's use vector registers
NOFPU_SYMS := $(foreach f,memcpy memset memmove memcmp,--redefine-sym $(f)=sc_$(f))

$(B)/obj/%.o: %.c | deps-checked
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS) $(if $(NOFPU_$<),$(NOFPU_CFLAGS),$(SAN)) -MMD -MP -c -o $@ $<
	$(if $(NOFPU_$<),$(Q)objcopy $(NOFPU_SYMS) $@)

$(B)/obj/%.o: %.S | deps-checked
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -g -c -MMD -MP -o $@ $<

$(B)/gen/dsdt.h: src/boot/dsdt.asl | deps-checked
	$(call say,IASL,$<)
	@mkdir -p $(@D)
	$(Q)$(IASL) -vs -ve -p $(B)/gen/dsdt -tc $< >$(B)/gen/dsdt.log 2>&1 || { cat $(B)/gen/dsdt.log; exit 1; }
	$(Q)mv $(B)/gen/dsdt.hex $@
ifneq ($(wildcard src/boot/dsdt.asl),)
$(B)/obj/src/boot/dsdt.o: $(B)/gen/dsdt.h
endif

# One object with only hk_* left visible, so that an embedder's own short names
# can never meet ours
$(B)/obj/libhyperkit.o: $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)ld -r -o $@.tmp $(LIB_OBJ)
	$(Q)objcopy --localize-hidden $@.tmp $@ && rm -f $@.tmp

$(B)/libhyperkit.a: $(B)/obj/libhyperkit.o
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $<

$(B)/libhyperkit.so: $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,-z,noexecstack -o $@ $(LIB_OBJ) $(LDLIBS)
	$(Q)ln -sf libhyperkit.so $(B)/$(SONAME)

$(B)/hyperkit: $(CLI_OBJ) $(B)/libhyperkit.a
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# No Requires.private: who links with the shared library needs none of the others' headers
$(B)/hyperkit.pc: Makefile CHANGELOG.md tools/deps.mk
	@mkdir -p $(@D)
	$(Q)printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' \
		'Name: hyperkit' 'Description: Virtual machines inside your program' \
		'Version: $(VERSION:v%=%)' 'Libs: -L$${libdir} -lhyperkit' \
		'Libs.private: $(strip $(PKG_LIBS)) -lpthread' 'Cflags: -I$${includedir}' >$@

PREFIX ?= /usr/local
include tools/targets.mk

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
.PHONY: all
.DELETE_ON_ERROR:
