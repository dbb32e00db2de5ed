// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/chipset_int.h - What devices of the board know of each other
 *
 * HPET legacy replacement (HPET 1.0a 2.4.7) takes IRQ 0 and IRQ 8 away from the
 * PIT and the RTC; hpet.c calls these with its own lock held, so its lock comes
 * before theirs. */
#ifndef DEVICE_CHIPSET_CHIPSET_INT_H
#define DEVICE_CHIPSET_CHIPSET_INT_H

#include "device/dev.h"

void pit_connect_irq(struct dev *pit, bool on); /* [any] */
void rtc_connect_irq(struct dev *rtc, bool on); /* [any] */

#endif
