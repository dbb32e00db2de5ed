# SPDX-License-Identifier: BSD-2-Clause
# What `make` can do besides building: tests, checks, demo, install. Included by Makefile.
#
# A test program is one file: test/GROUP/**/x_test.c becomes $(B)/test/GROUP/**/x_test,
# linked with all objects of the library (hidden symbols too), test/lib/*.c and cmocka.
# Those of test/embed and examples/ see the public header and libhyperkit.a only, as an
# embedder does. A group that needs more has its own test/GROUP/rules.mk.

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# For the sub-makes of commands that a user types without -j
MAKE_J = +$(MAKE) --no-print-directory $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# --------------------------------------------------------------------- programs
TEST_GROUPS := unit accel isa embed cli guest boot nested
INNER_TEST_SRC := $(sort $(shell find test/unit test/accel test/isa test/boot \
	-name '*_test.c' 2>/dev/null))
OUTER_TEST_SRC := $(sort $(shell find test/embed test/cli -name '*_test.c' 2>/dev/null))
TEST_LIB_SRC := $(sort $(wildcard test/lib/*.c))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))

TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(B)/obj/%.o)
# Files beside the programs of these groups that are no programs: linked with each
help_of = $(patsubst %.c,$(B)/obj/%.o,$(filter-out %_test.c,$(sort $(wildcard test/$(1)/*.c)))) \
	$(patsubst %.S,$(B)/obj/%.o,$(sort $(wildcard test/$(1)/*.S)))
ACCEL_HELP_OBJ := $(call help_of,accel)
ISA_HELP_OBJ := $(call help_of,isa)
INNER_TESTS := $(INNER_TEST_SRC:%.c=$(B)/%)
OUTER_TESTS := $(OUTER_TEST_SRC:%.c=$(B)/%)
EXAMPLES := $(EXAMPLE_SRC:%.c=$(B)/%)
TEST_PROGS := $(INNER_TESTS) $(OUTER_TESTS) $(EXAMPLES)
TEST_CPPFLAGS := -Itest -DHK_TEST_DATA='"$(CURDIR)/test"'
OUTER_CPPFLAGS := -Iinclude -D_GNU_SOURCE

# May add to TEST_PROGS and, for guests and the like, bring rules of their own
-include $(sort $(wildcard test/*/rules.mk))

# Quick append keeps two files of the same name apart; thin needs no copies
$(B)/obj/libinternal.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar qcsT $@ $(LIB_OBJ)

$(INNER_TESTS): $(B)/%: %.c $(B)/obj/libinternal.a $(TEST_LIB_OBJ) | deps-checked
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(TEST_CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS) $(SAN) $(LDFLAGS) -MMD -MP -MF $@.d \
		-o $@ $(filter %.c %.o,$^) $(B)/obj/libinternal.a -lcmocka $(LDLIBS)
$(filter $(B)/test/accel/%,$(INNER_TESTS)): $(ACCEL_HELP_OBJ)
$(filter $(B)/test/isa/%,$(INNER_TESTS)): $(ISA_HELP_OBJ)

$(OUTER_TESTS) $(EXAMPLES): $(B)/%: %.c $(B)/libhyperkit.a | deps-checked
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(OUTER_CPPFLAGS) -std=gnu11 -g -pthread $(WARN) $(CFLAGS) $(SAN) $(LDFLAGS) -MMD -MP -MF $@.d \
		-o $@ $< $(B)/libhyperkit.a $(if $(filter test/%,$<),-lcmocka) $(LDLIBS)

$(TEST_LIB_OBJ) $(ACCEL_HELP_OBJ) $(ISA_HELP_OBJ): CPPFLAGS += $(TEST_CPPFLAGS)

-include $(TEST_PROGS:%=%.d) $(patsubst %.o,%.d,$(TEST_LIB_OBJ) $(ACCEL_HELP_OBJ) $(ISA_HELP_OBJ))

# ------------------------------------------------------------------------ tests
RUN_TESTS = B=$(B) MODE=$(MODE) test/run -j $(JOBS)

tests: all $(TEST_PROGS) ## build all test programs and examples
check: ## install what testing needs, build, run every test (GROUPS="unit cli", K=pattern)
	@tools/install-deps test
	$(MAKE_J) tests
	$(if $(filter boot nested embed,$(or $(GROUPS),$(TEST_GROUPS))),@tools/guest-images || true)
	@$(RUN_TESTS) $(if $(K),-k '$(K)') $(GROUPS)
$(TEST_GROUPS:%=check-%): check-%: tests ## run one group: check-unit, check-cli, ...
	@$(RUN_TESTS) $(if $(K),-k '$(K)') $*
bench-boot: ## time to init under the software CPU against QEMU TCG
	@tools/install-deps test
	$(MAKE_J) all
	@tools/guest-images
	@B=$(B) bench/boot
include bench/rules.mk
include fuzz/rules.mk
demo: ## boot Debian's kernel: a shell on a terminal, else a self-check
	@B=$(B) tools/demo

# ----------------------------------------------------------------------- checks
HEADERS := $(sort $(shell find src include -name '*.h'))
# What the library may never call (docs: it neither ends the process nor prints)
FORBIDDEN := exit _exit _Exit quick_exit abort printf __printf_chk vprintf fprintf __fprintf_chk \
	puts putchar perror getenv secure_getenv chdir err errx warn warnx __assert_fail stdout stderr
# What a compiler may turn a loop or an assignment into, and libc's vector code
STRING_FNS := memcpy memset memmove memcmp memchr strlen strcmp strcpy strncpy strchr bcmp bzero

lint: lint-layers lint-words lint-headers lint-symbols lint-shell ## layers, forbidden calls, headers, exports, shell
lint-layers:
	$(call say,LINT,layers)
	$(Q)tools/check-layers
lint-words: $(LIB_OBJ)
	$(call say,LINT,calls)
	$(Q)bad=0; for o in $(LIB_OBJ); do \
		for s in $$(nm -u $$o | awk '{print $$NF}' | grep -xF $(FORBIDDEN:%=-e %)); do \
			echo "$$o: a library must not use $$s"; bad=1; done; done; \
	for o in $(foreach f,$(LIB_SRC),$(if $(NOFPU_$(f)),$(f:%.c=$(B)/obj/%.o))); do \
		for s in $$(nm -u $$o | awk '{print $$NF}' | grep -xF $(STRING_FNS:%=-e %)); do \
			echo "$$o: runs with guest vector registers live, must not call $$s"; bad=1; done; done; \
	exit $$bad
lint-headers:
	$(call say,LINT,headers)
	$(Q)for h in $(HEADERS); do \
		$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -Wno-unused -fsyntax-only -x c $$h || exit 1; done
	$(Q)echo '#include <hyperkit/hyperkit.h>' | $(CC) -Iinclude -std=c99 -pedantic -Wall -Wextra -Werror \
		-fsyntax-only -x c - && \
	if command -v g++ >/dev/null; then echo '#include <hyperkit/hyperkit.h>' | \
		g++ -Iinclude -Wall -Wextra -Werror -fsyntax-only -x c++ -; fi
lint-symbols: $(B)/libhyperkit.a $(B)/libhyperkit.so
	$(call say,LINT,exports)
	$(Q)bad=$$( { nm -g --defined-only $(B)/libhyperkit.a; nm -D --defined-only $(B)/libhyperkit.so; } | \
		awk 'NF == 3 && $$3 !~ /^hk_/ {print $$3}' | sort -u); \
	if [ -n "$$bad" ]; then echo "exported but not hk_*:" $$bad; exit 1; fi
SHELL_FILES = $(shell git ls-files 2>/dev/null | xargs -r grep -lE '^\#!.*\b(ba)?sh$$' 2>/dev/null)
lint-shell:
	$(call say,LINT,shell)
	$(Q)if command -v shellcheck >/dev/null; then shellcheck -S warning -e SC2034,SC2046,SC2054,SC2154,SC2258 $(SHELL_FILES); \
		else echo "  no shellcheck here: shell scripts were not looked at"; fi

format: ## clang-format of all C files
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

# ---------------------------------------------------------------------- the rest
install: all ## headers, libraries, command, pkg-config file (DESTDIR, PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/hyperkit
	install -m 755 $(B)/hyperkit $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(B)/libhyperkit.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(B)/libhyperkit.so $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libhyperkit.so
	install -m 644 $(B)/hyperkit.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	install -m 644 include/hyperkit/*.h $(DESTDIR)$(PREFIX)/include/hyperkit/
clean: ## remove what was built, keep downloaded guests (distclean: those too)
	rm -rf $(B)/obj $(B)/gen $(B)/test $(B)/examples $(B)/hyperkit $(B)/libhyperkit.* $(B)/hyperkit.pc
distclean:
	rm -rf build
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | \
		awk -F '\t' '{printf "make %-12s %s\n", $$1, $$2}'
	@echo; echo 'MODE=release|debug|asan|tsan|cov  CC=clang  V=1  B=folder'

.PHONY: tests check $(TEST_GROUPS:%=check-%) bench-boot demo lint lint-layers lint-words lint-headers \
	lint-symbols lint-shell format install clean distclean help
