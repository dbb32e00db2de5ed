// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/classify.c - Who interprets which instruction
 *
 * Whatever is not named here is not integer code and goes to interp/native.c, which
 * refuses what it does not know. Instructions of features that CPUID never shows are
 * named as SC_C_UD so that native.c need not know them. [any] */
#include "accel/soft/decode/classify.h"

#include <Zydis/Zydis.h>

#include "accel/soft/decode/decode.h"
#include "accel/soft/soft.h"

#define M(x) case ZYDIS_MNEMONIC_##x
/* One line of the table: mnemonic, class, sub */
#define IS(x, c, s)         \
	M(x):               \
	in->cls = SC_C_##c; \
	in->sub = (s);      \
	break
/* The same with a feature */
#define ISF(x, c, s, f)       \
	M(x):                 \
	in->cls = SC_C_##c;   \
	in->sub = (s);        \
	in->feature = SC_F_##f; \
	break

/* jcc, setcc, cmovcc share the condition numbering of the opcode's low nibble. Return: class found */
static bool conditional(struct sc_insn *in)
{
#define CC(name, n)                                                                            \
	M(J##name): in->cls = SC_C_JCC; in->sub = (n); return true;                            \
	M(SET##name): in->cls = SC_C_SETCC; in->sub = (n); return true;                        \
	M(CMOV##name): in->cls = SC_C_CMOV; in->sub = (n); return true
	switch (in->mnemonic) {
		CC(O, 0);
		CC(NO, 1);
		CC(B, 2);
		CC(NB, 3);
		CC(Z, 4);
		CC(NZ, 5);
		CC(BE, 6);
		CC(NBE, 7);
		CC(S, 8);
		CC(NS, 9);
		CC(P, 10);
		CC(NP, 11);
		CC(L, 12);
		CC(NL, 13);
		CC(LE, 14);
		CC(NLE, 15);
	default: return false;
	}
#undef CC
}

static bool arithmetic(struct sc_insn *in)
{
	switch (in->mnemonic) {
		IS(ADD, ALU, 0);
		IS(OR, ALU, 1);
		IS(ADC, ALU, 2);
		IS(SBB, ALU, 3);
		IS(AND, ALU, 4);
		IS(SUB, ALU, 5);
		IS(XOR, ALU, 6);
		IS(CMP, ALU, 7);
		IS(TEST, TEST, 0);
		IS(INC, INCDEC, 0);
		IS(DEC, INCDEC, 1);
		IS(NOT, INCDEC, 2);
		IS(NEG, INCDEC, 3);
		IS(MUL, MUL, 4);
		IS(DIV, MUL, 6);
		IS(IDIV, MUL, 7);
	M(IMUL): /* F6 /5 and F7 /5 take one operand */
		in->cls = in->map == 0 && (in->opcode & 0xfe) == 0xf6 ? SC_C_MUL : SC_C_IMUL;
		in->sub = 5;
		break;
		IS(ROL, SHIFT, 0);
		IS(ROR, SHIFT, 1);
		IS(RCL, SHIFT, 2);
		IS(RCR, SHIFT, 3);
	M(SHL): /* /6 is an alias of /4 */
		in->cls = SC_C_SHIFT;
		in->sub = 4;
		break;
		IS(SHR, SHIFT, 5);
		IS(SAR, SHIFT, 7);
		IS(SHLD, SHD, 0);
		IS(SHRD, SHD, 1);
		IS(BT, BT, 0);
		IS(BTS, BT, 1);
		IS(BTR, BT, 2);
		IS(BTC, BT, 3);
		IS(BSF, SCAN, SC_BSF);
		IS(BSR, SCAN, SC_BSR);
		ISF(TZCNT, SCAN, SC_TZCNT, BMI1);
		ISF(LZCNT, SCAN, SC_LZCNT, LZCNT);
		ISF(POPCNT, SCAN, SC_POPCNT, POPCNT);
		IS(BSWAP, BSWAP, 0);
		ISF(MOVBE, MOVBE, 0, MOVBE);
		ISF(CRC32, CRC32, 0, SSE42);
		ISF(ANDN, BMI, SC_ANDN, BMI1);
		ISF(BEXTR, BMI, SC_BEXTR, BMI1);
		ISF(BLSI, BMI, SC_BLSI, BMI1);
		ISF(BLSMSK, BMI, SC_BLSMSK, BMI1);
		ISF(BLSR, BMI, SC_BLSR, BMI1);
		ISF(BZHI, BMI, SC_BZHI, BMI2);
		ISF(MULX, BMI, SC_MULX, BMI2);
		ISF(PDEP, BMI, SC_PDEP, BMI2);
		ISF(PEXT, BMI, SC_PEXT, BMI2);
		ISF(RORX, BMI, SC_RORX, BMI2);
		ISF(SARX, BMI, SC_SARX, BMI2);
		ISF(SHLX, BMI, SC_SHLX, BMI2);
		ISF(SHRX, BMI, SC_SHRX, BMI2);
		ISF(ADCX, ADX, 0, ADX);
		ISF(ADOX, ADX, 1, ADX);
		IS(DAA, BCD, 0);
		IS(DAS, BCD, 1);
		IS(AAA, BCD, 2);
		IS(AAS, BCD, 3);
		IS(AAM, BCD, 4);
		IS(AAD, BCD, 5);
	default: return false;
	}
	return true;
}

static bool moves(struct sc_insn *in)
{
	switch (in->mnemonic) {
	M(MOV):
		in->cls = SC_C_MOV;
		for (unsigned i = 0; i < in->nops; i++) {
			if (in->op[i].kind == SC_OP_SEG)
				in->cls = SC_C_MOV_SEG;
			else if (in->op[i].kind == SC_OP_CR)
				in->cls = SC_C_MOV_CR;
			else if (in->op[i].kind == SC_OP_DR)
				in->cls = SC_C_MOV_DR;
			else if (in->op[i].kind == SC_OP_OTHER)
				in->cls = SC_C_UD; /* test registers of the 386 */
		}
		break;
		IS(MOVZX, MOVZX, 0);
		IS(MOVSX, MOVSX, 0);
		IS(MOVSXD, MOVSX, 1);
		ISF(MOVNTI, MOVNTI, 0, SSE2);
		IS(LES, LOAD_FAR, X86_ES);
		IS(LDS, LOAD_FAR, X86_DS);
		IS(LSS, LOAD_FAR, X86_SS);
		IS(LFS, LOAD_FAR, X86_FS);
		IS(LGS, LOAD_FAR, X86_GS);
		IS(XCHG, XCHG, 0);
		IS(XADD, XADD, 0);
		IS(CMPXCHG, CMPXCHG, 0);
		IS(CMPXCHG8B, CMPXCHG8B, 0);
		ISF(CMPXCHG16B, CMPXCHG8B, 1, CX16);
		IS(LEA, LEA, 0);
		IS(PUSH, PUSH, 0);
		IS(POP, POP, 0);
	M(PUSHA):
		IS(PUSHAD, PUSHA, 0);
	M(POPA):
		IS(POPAD, POPA, 0);
	M(PUSHF):
	M(PUSHFD):
		IS(PUSHFQ, PUSHF, 0);
	M(POPF):
	M(POPFD):
		IS(POPFQ, POPF, 0);
		IS(ENTER, ENTER, 0);
		IS(LEAVE, LEAVE, 0);
		IS(LAHF, LAHF, 0);
		IS(SAHF, SAHF, 0);
		IS(CLC, FLAG, 0);
		IS(STC, FLAG, 1);
		IS(CMC, FLAG, 2);
		IS(CLD, FLAG, 3);
		IS(STD, FLAG, 4);
		IS(SALC, SALC, 0);
		IS(XLAT, XLAT, 0);
	M(CBW):
	M(CWDE):
		IS(CDQE, CBW, 0);
	M(CWD):
	M(CDQ):
		IS(CQO, CWD, 0);
		IS(BOUND, BOUND, 0);
		IS(ARPL, ARPL, 0);
	M(NOP):
	M(PAUSE):
	M(ENDBR32):
	M(ENDBR64):
	M(RDSSPD):
	M(RDSSPQ):
	M(CLDEMOTE):
	M(PREFETCH):
	M(PREFETCHW):
	M(PREFETCHNTA):
	M(PREFETCHT0):
	M(PREFETCHT1):
	M(PREFETCHT2):
		IS(PREFETCHWT1, NOP, 0);
	M(MOVSB):
	M(MOVSW):
		IS(MOVSQ, MOVS, 0);
	M(CMPSB):
	M(CMPSW):
		IS(CMPSQ, CMPS, 0);
	M(SCASB):
	M(SCASW):
	M(SCASD):
		IS(SCASQ, SCAS, 0);
	M(LODSB):
	M(LODSW):
	M(LODSD):
		IS(LODSQ, LODS, 0);
	M(STOSB):
	M(STOSW):
	M(STOSD):
		IS(STOSQ, STOS, 0);
	M(INSB):
	M(INSW):
		IS(INSD, INS, 0);
	M(OUTSB):
	M(OUTSW):
		IS(OUTSD, OUTS, 0);
	M(MOVSD): /* shared with SSE2 */
		in->cls = in->map == 0 ? SC_C_MOVS : SC_C_NATIVE;
		break;
	M(CMPSD):
		in->cls = in->map == 0 ? SC_C_CMPS : SC_C_NATIVE;
		break;
	default: return false;
	}
	return true;
}

static bool branches(struct sc_insn *in)
{
	unsigned reg = in->modrm >> 3 & 7; /* FF /3 and FF /5 are far */
	bool far = in->op[0].kind == SC_OP_PTR ||
		   (in->map == 0 && in->opcode == 0xff && (reg == 3 || reg == 5));

	switch (in->mnemonic) {
	M(JCXZ):
	M(JECXZ):
		IS(JRCXZ, JCXZ, 0);
		IS(LOOPNE, LOOP, 0);
		IS(LOOPE, LOOP, 1);
		IS(LOOP, LOOP, 2);
	M(JMP):
		in->cls = far ? SC_C_JMPF : SC_C_JMP;
		break;
	M(CALL):
		in->cls = far ? SC_C_CALLF : SC_C_CALL;
		break;
	M(RET):
		in->cls = (in->opcode & 0xfe) == 0xca ? SC_C_RETF : SC_C_RET;
		break;
	M(IRET):
	M(IRETD):
		IS(IRETQ, IRET, 0);
		IS(INT, INT, SC_INT_N);
		IS(INT3, INT, SC_INT3);
		IS(INTO, INT, SC_INTO);
		IS(INT1, INT, SC_INT1);
		IS(SYSCALL, SYSCALL, 0);
		IS(SYSRET, SYSCALL, 1);
		IS(SYSENTER, SYSCALL, 2);
		IS(SYSEXIT, SYSCALL, 3);
	default: return false;
	}
	return true;
}

static bool system_insns(struct sc_insn *in)
{
	switch (in->mnemonic) {
		IS(HLT, HLT, 0);
		IS(CLI, CLI, 0);
		IS(STI, STI, 0);
		IS(CLTS, CLTS, 0);
		IS(SGDT, DTABLE, 0);
		IS(SIDT, DTABLE, 1);
		IS(LGDT, DTABLE, 2);
		IS(LIDT, DTABLE, 3);
		IS(SLDT, LDTR, 0);
		IS(STR, LDTR, 1);
		IS(LLDT, LDTR, 2);
		IS(LTR, LDTR, 3);
		IS(SMSW, SMSW, 0);
		IS(LMSW, LMSW, 0);
		IS(INVLPG, INVLPG, 0);
	M(WBINVD):
		IS(INVD, WBINVD, 0);
		IS(RDMSR, RDMSR, 0);
		IS(WRMSR, WRMSR, 0);
		IS(RDTSC, RDTSC, 0);
		ISF(RDTSCP, RDTSC, 1, RDTSCP);
		ISF(RDPID, RDTSC, 2, RDPID);
		IS(RDPMC, RDTSC, 3);
		IS(CPUID, CPUID, 0);
		IS(IN, IN, 0);
		IS(OUT, OUT, 0);
		IS(SWAPGS, SWAPGS, 0);
		ISF(RDFSBASE, FSGSBASE, 0, FSGSBASE);
		ISF(RDGSBASE, FSGSBASE, 1, FSGSBASE);
		ISF(WRFSBASE, FSGSBASE, 2, FSGSBASE);
		ISF(WRGSBASE, FSGSBASE, 3, FSGSBASE);
		IS(CLFLUSH, CLFLUSH, 0);
		ISF(CLFLUSHOPT, CLFLUSH, 1, CLFLUSHOPT);
		ISF(CLWB, CLFLUSH, 2, CLWB);
		ISF(MFENCE, FENCE, 0, SSE2);
		ISF(LFENCE, FENCE, 1, SSE2);
		ISF(SFENCE, FENCE, 2, SSE2);
		ISF(SERIALIZE, FENCE, 3, SERIALIZE);
		IS(LAR, LAR, 0);
		IS(LSL, LAR, 1);
		IS(VERR, VERR, 0);
		IS(VERW, VERR, 1);
		ISF(XGETBV, XGETBV, 0, XSAVE);
		ISF(XSETBV, XSETBV, 0, XSAVE);
	M(VMCALL):
		IS(VMMCALL, HYPERCALL, 0);
		ISF(RDRAND, RDRAND, 0, RDRAND);
		ISF(RDSEED, RDRAND, 1, RDSEED);
	M(UD0):
	M(UD1):
	M(UD2):
	M(RSM):
	M(INVPCID):
	M(CLAC):
	M(STAC):
	M(MONITOR):
	M(MWAIT):
	M(MONITORX):
	M(MWAITX):
	M(GETSEC):
	M(RDPKRU):
	M(WRPKRU):
	M(PTWRITE):
	M(MOVDIRI):
	M(MOVDIR64B):
	M(ENQCMD):
	M(ENQCMDS):
	M(UMONITOR):
	M(UMWAIT):
	M(TPAUSE):
	M(XBEGIN):
	M(XEND):
	M(XABORT):
	M(XTEST):
	M(CLZERO):
	M(RDPRU):
	M(MCOMMIT):
		IS(INVLPGB, UD, 0);
	default: return false;
	}
	return true;
}

void sc_classify(struct sc_insn *in)
{
	in->cls = SC_C_NATIVE;
	in->sub = 0;
	in->feature = SC_F_NONE;
	if (!moves(in) && !arithmetic(in) && !conditional(in) && !branches(in))
		system_insns(in);
	if (in->cls == SC_C_NOP && in->map == 1 && in->opcode == 0x0d && !(in->flags & SC_I_MEM))
		in->cls = SC_C_NOP_OR_UD;
	/* POPCNT, TZCNT... with VEX are Xeon Phi's */
	if (in->encoding != SC_ENC_LEGACY && in->cls != SC_C_NATIVE && in->cls != SC_C_BMI)
		in->cls = SC_C_UD;
}
