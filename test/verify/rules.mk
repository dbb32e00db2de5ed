# SPDX-License-Identifier: BSD-2-Clause
# What a guest computes against what the host computes; by hand (docs/testing.md)
verify: ## programs of Debian compute the same in a guest and on the host (VERIFY="gcc perl", SHARE=1..10)
	@tools/install-deps test verify
	$(MAKE_J) all
	@tools/guest-images generic
	@B=$(B) test/verify/run $(VERIFY)
.PHONY: verify
