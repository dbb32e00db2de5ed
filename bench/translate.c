// SPDX-License-Identifier: BSD-2-Clause
/* bench/translate.c - Nanoseconds to translate a block of real code
 *
 *	make bench-translate [CODE="file..."]
 *
 * The executable sections of the files are put into guest RAM and translated from their first
 * byte to the last, each block once a round, none of them run. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/translate/translate.h"
#include "accel/soft/vcpu.h"

#define ROUNDS 5
#define MAX_BYTES (8u << 20)
#define MODE (SC_MODE_64 | SC_MODE_USER | SC_MODE_FPU | SC_MODE_AVX)

static u8 *code;
static size_t code_len;

static void load(const char *path)
{
	FILE *f = fopen(path, "rb");
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	if (!f || fread(&eh, sizeof(eh), 1, f) != 1 || memcmp(eh.e_ident, ELFMAG, SELFMAG)) {
		fprintf(stderr, "%s: not an ELF file\n", path);
		exit(1);
	}
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		fseek(f, (long)(eh.e_shoff + i * eh.e_shentsize), SEEK_SET);
		if (fread(&sh, sizeof(sh), 1, f) != 1)
			break;
		if (sh.sh_type != SHT_PROGBITS || !(sh.sh_flags & SHF_EXECINSTR))
			continue;
		fseek(f, (long)sh.sh_offset, SEEK_SET);
		code_len += fread(code + code_len, 1, MIN(sh.sh_size, MAX_BYTES - code_len), f);
	}
	fclose(f);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void no_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	memset(data, 0, write ? 0 : len);
}

int main(int argc, char **argv)
{
	static struct accel_host host = { .mmio = no_mmio };
	static const struct accel_vm_config cfg = { .cpus = 1, .host = &host, .name = "bench" };
	struct accel_ram ram = { .gpa = 0, .len = MAX_BYTES };
	struct accel_vcpu *cpu;
	struct accel_vm *vm;
	struct sc_vcpu *v;
	double best = 1e18;
	u64 blocks = 0, insns = 0, bytes = 0, host_bytes = 0;

	code = mmap(NULL, MAX_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ram.hva = code;
	for (int i = 1; i < argc; i++)
		load(argv[i]);
	if (sc_accel_ops.vm_create(&vm, &cfg, NULL) || sc_accel_ops.ram_map(vm, &ram) ||
	    sc_accel_ops.vcpu_create(vm, 0, &cpu, NULL)) {
		fprintf(stderr, "cannot create a VM\n");
		return 2;
	}
	v = (struct sc_vcpu *)cpu;
	v->mode = MODE;
	for (unsigned r = 0; r < ROUNDS; r++) {
		double t = now();

		blocks = insns = bytes = host_bytes = 0;
		for (gpa_t at = 0; at + 15 < code_len;) {
			struct sc_block *b;

			v->rip = at;
			b = sc_translate(v, at, MODE);
			if (!b) {
				at++;
				continue;
			}
			blocks++;
			insns += b->num_insns;
			bytes += b->len;
			host_bytes += b->host_len;
			at += b->len;
		}
		t = now() - t;
		best = MIN(best, t);
		cache_lock(v);
		cache_flush_all_locked(v);
		cache_unlock(v);
	}
	printf("%llu blocks of %.1f instructions, %.1f bytes, %.1f bytes of host code\n",
	       (unsigned long long)blocks, (double)insns / blocks, (double)bytes / blocks, (double)host_bytes / blocks);
	printf("%.0f ns a block, %.0f ns an instruction\n", best / blocks, best / insns);
	sc_accel_ops.vcpu_destroy(cpu);
	sc_accel_ops.vm_destroy(vm);
	return 0;
}
