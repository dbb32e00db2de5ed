// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/lpc.h - The ISA bridge: who feeds its serial ports */
#ifndef DEVICE_PCI_LPC_H
#define DEVICE_PCI_LPC_H

struct chr;
struct dev;

/* [setup] Between init and plug: COM @port (1 or 2) of bridge @lpc talks to @chr. The
 * bridge starts and stops it; the caller closes it, after the bridge's fini. A port that
 * is given none discards what the guest writes. */
void lpc_set_chr(struct dev *lpc, unsigned port, struct chr *chr);

#endif
