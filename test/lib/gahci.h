// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/gahci.h - A guest's driver of one AHCI port, over the fake machine
 *
 * Commands are built in slots of the test's choice and issued together; gahci_wait() runs the
 * loop until they are over. Nothing of cmocka, so that fuzz targets can link it. */
#ifndef TEST_LIB_GAHCI_H
#define TEST_LIB_GAHCI_H

#include "lib/fake.h"

/* Registers, offsets in the ABAR */
enum {
	AR_CAP = 0x00, AR_GHC = 0x04, AR_IS = 0x08, AR_PI = 0x0c, AR_VS = 0x10,
	PR_CLB = 0x100, PR_CLBU = 0x104, PR_FB = 0x108, PR_FBU = 0x10c, PR_IS = 0x110,
	PR_IE = 0x114, PR_CMD = 0x118, PR_TFD = 0x120, PR_SIG = 0x124, PR_SSTS = 0x128,
	PR_SCTL = 0x12c, PR_SERR = 0x130, PR_SACT = 0x134, PR_CI = 0x138,
};

#define GAHCI_TABLE_BYTES 16384u
#define GAHCI_MAX_PRDS ((GAHCI_TABLE_BYTES - 0x80u) / 16u)

struct gahci {
	struct fake *f;
	struct dev *dev;
	u64 abar;
	gpa_t clb, fb, table; /* table + slot * GAHCI_TABLE_BYTES */
	u8 *rx;		      /* received FISes */
};

struct gprd {
	gpa_t gpa;
	u32 len;
	bool intr;
};

struct gahci_cmd {
	u8 command, device;
	u16 features, count;
	u64 lba;
	u8 control, icc;
	u32 aux;
	bool write, atapi, is_control;
	u32 hdr_flags; /* more bits of the header's DW0 */
	u8 cdb[16];
	const struct gprd *prd;
	unsigned nprd;
};

/* Find the function; set up lists, start the engine, all interrupts on, MSI data @vector (0: INTx) */
struct gahci *gahci_open(struct fake *f, struct dev *d, unsigned vector);
void gahci_close(struct gahci *g);

u32 gahci_rd(struct gahci *g, unsigned reg);
void gahci_wr(struct gahci *g, unsigned reg, u32 val);
void gahci_start(struct gahci *g); /* FRE, ST */
void gahci_stop(struct gahci *g);  /* ST off; ends the program if CR stays */
void gahci_build(struct gahci *g, unsigned slot, const struct gahci_cmd *c);
void gahci_issue(struct gahci *g, u32 slots, u32 tags);
/* Run the loop until none of @slots is in PxCI or PxSACT, or the port says error. Return: PxTFD */
u32 gahci_wait(struct gahci *g, u32 slots);
/* One command in slot 0 from and to the test's buffer. Return: PxTFD */
u32 gahci_do(struct gahci *g, struct gahci_cmd c, void *buf, u32 len);
u32 gahci_prdbc(struct gahci *g, unsigned slot);
/* Errors as a driver handles them: clear, ST off and on */
void gahci_recover(struct gahci *g);

#endif
