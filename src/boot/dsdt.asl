// SPDX-License-Identifier: BSD-2-Clause
/* boot/dsdt.asl - What of the board never varies
 *
 * Compiled at build time into gen/dsdt.h. Everything that depends on the machine is in an
 * SSDT that acpi.c writes: resources of the host bridge (_CRS), the interrupt routes (PRTA
 * for the IOAPIC, PRTP for the PIC), the ISA bridge's address, and which devices exist
 * (_STA). Kept as plain data there, so that nothing has to be patched here. */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "BHYVE ", "BVDSDT  ", 1)
{
	External (\_SB.PC00.PRTA, PkgObj)
	External (\_SB.PC00.PRTP, PkgObj)

	/* The one sleep state: power off */
	Name (\_S5, Package (0x04) { 0x05, Zero, Zero, Zero })

	/* 0: the OS uses the PICs, 1: the IOAPIC */
	Name (PICM, Zero)
	Method (_PIC, 1, NotSerialized)
	{
		PICM = Arg0
	}

	Scope (\_SB)
	{
		Device (PC00)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, Zero)
			Name (_BBN, Zero)

			Method (_PRT, 0, NotSerialized)
			{
				If (PICM)
				{
					Return (\_SB.PC00.PRTA)
				}
				Return (\_SB.PC00.PRTP)
			}

			/* _ADR and _STA are the SSDT's, since the bridge's slot varies */
			Device (ISA)
			{
				OperationRegion (PIRR, PCI_Config, 0x60, 0x0C)
				Field (PIRR, ByteAcc, NoLock, Preserve)
				{
					PIRA, 8, PIRB, 8, PIRC, 8, PIRD, 8,
					Offset (0x08),
					PIRE, 8, PIRF, 8, PIRG, 8, PIRH, 8
				}

				/* Does a router register name an interrupt that it may? */
				Method (PIRV, 1, NotSerialized)
				{
					If (Arg0 & 0x80)
					{
						Return (Zero)
					}
					Local0 = Arg0 & 0x0F
					If (Local0 < 0x03)
					{
						Return (Zero)
					}
					If (Local0 == 0x08)
					{
						Return (Zero)
					}
					If (Local0 == 0x0D)
					{
						Return (Zero)
					}
					Return (One)
				}

				Method (LSTA, 1, NotSerialized)
				{
					If (PIRV (Arg0))
					{
						Return (0x0B)
					}
					Return (0x09)
				}

				Name (LPRS, ResourceTemplate ()
				{
					IRQ (Level, ActiveLow, Shared, ) {3,4,5,6,7,9,10,11,12,14,15}
				})

				Method (LCRS, 1, Serialized)
				{
					Name (LRES, ResourceTemplate ()
					{
						IRQ (Level, ActiveLow, Shared, _Y00) {}
					})
					CreateWordField (LRES, One, LMSK)
					If (PIRV (Arg0))
					{
						LMSK = One << (Arg0 & 0x0F)
					}
					Else
					{
						LMSK = Zero
					}
					Return (LRES)
				}

				/* Router register that stands for the resources in Arg0 */
				Method (LSRS, 1, Serialized)
				{
					CreateWordField (Arg0, One, SMSK)
					FindSetRightBit (SMSK, Local0)
					If (Local0)
					{
						Local0--
						Return (Local0)
					}
					Return (0x80)
				}

				Device (LNKA)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x01)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRA)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRA)) }
					Method (_DIS, 0, NotSerialized) { PIRA = 0x80 }
					Method (_SRS, 1, Serialized) { PIRA = LSRS (Arg0) }
				}

				Device (LNKB)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x02)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRB)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRB)) }
					Method (_DIS, 0, NotSerialized) { PIRB = 0x80 }
					Method (_SRS, 1, Serialized) { PIRB = LSRS (Arg0) }
				}

				Device (LNKC)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x03)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRC)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRC)) }
					Method (_DIS, 0, NotSerialized) { PIRC = 0x80 }
					Method (_SRS, 1, Serialized) { PIRC = LSRS (Arg0) }
				}

				Device (LNKD)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x04)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRD)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRD)) }
					Method (_DIS, 0, NotSerialized) { PIRD = 0x80 }
					Method (_SRS, 1, Serialized) { PIRD = LSRS (Arg0) }
				}

				Device (LNKE)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x05)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRE)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRE)) }
					Method (_DIS, 0, NotSerialized) { PIRE = 0x80 }
					Method (_SRS, 1, Serialized) { PIRE = LSRS (Arg0) }
				}

				Device (LNKF)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x06)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRF)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRF)) }
					Method (_DIS, 0, NotSerialized) { PIRF = 0x80 }
					Method (_SRS, 1, Serialized) { PIRF = LSRS (Arg0) }
				}

				Device (LNKG)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x07)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRG)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRG)) }
					Method (_DIS, 0, NotSerialized) { PIRG = 0x80 }
					Method (_SRS, 1, Serialized) { PIRG = LSRS (Arg0) }
				}

				Device (LNKH)
				{
					Name (_HID, EisaId ("PNP0C0F"))
					Name (_UID, 0x08)
					Method (_STA, 0, NotSerialized) { Return (LSTA (PIRH)) }
					Method (_PRS, 0, NotSerialized) { Return (LPRS) }
					Method (_CRS, 0, Serialized) { Return (LCRS (PIRH)) }
					Method (_DIS, 0, NotSerialized) { PIRH = 0x80 }
					Method (_SRS, 1, Serialized) { PIRH = LSRS (Arg0) }
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, One)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08, )
						IRQNoFlags () {4}
					})
				}

				Device (COM2)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 0x02)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08, )
						IRQNoFlags () {3}
					})
				}
			}

			/* Ports that have no driver */
			Device (SIO)
			{
				Name (_HID, EisaId ("PNP0C02"))
				Name (_UID, One)
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, 0x0060, 0x0060, 0x01, 0x01, )
					IO (Decode16, 0x0064, 0x0064, 0x01, 0x01, )
					IO (Decode16, 0x0220, 0x0220, 0x01, 0x04, )
					IO (Decode16, 0x0224, 0x0224, 0x01, 0x04, )
					IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02, )
					IO (Decode16, 0x0061, 0x0061, 0x01, 0x01, )
					IO (Decode16, 0x0400, 0x0400, 0x01, 0x08, )
					IO (Decode16, 0x00B2, 0x00B2, 0x01, 0x01, )
					IO (Decode16, 0x0084, 0x0084, 0x01, 0x01, )
					IO (Decode16, 0x0072, 0x0072, 0x01, 0x06, )
				})
			}

			Device (RTC)
			{
				Name (_HID, EisaId ("PNP0B00"))
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, 0x0070, 0x0070, 0x01, 0x02, )
					IRQNoFlags () {8}
				})
			}

			Device (PIC)
			{
				Name (_HID, EisaId ("PNP0000"))
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, 0x0020, 0x0020, 0x01, 0x02, )
					IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02, )
					IRQNoFlags () {2}
				})
			}

			Device (TIMR)
			{
				Name (_HID, EisaId ("PNP0100"))
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, 0x0040, 0x0040, 0x01, 0x04, )
					IRQNoFlags () {0}
				})
			}
		}

		/* _STA is the SSDT's */
		Device (HPET)
		{
			Name (_HID, EisaId ("PNP0103"))
			Name (_UID, Zero)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xFED00000, 0x00000400, )
			})
		}
	}
}
