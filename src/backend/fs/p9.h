// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/p9.h - Numbers of 9P2000.L as they are on the wire
 *
 * Plan 9 intro(5) for the frame, diod's protocol.md for the .L messages. size[4] type[1]
 * tag[2] and then fields, little endian; strings are len[2] and bytes without NUL; a qid
 * is type[1] version[4] path[8]. Reply types are the request's plus one. */
#ifndef BACKEND_FS_P9_H
#define BACKEND_FS_P9_H

#include "base/types.h"

enum p9_type {
	P9_RLERROR = 7,
	P9_TSTATFS = 8,
	P9_TLOPEN = 12,
	P9_TLCREATE = 14,
	P9_TSYMLINK = 16,
	P9_TMKNOD = 18,
	P9_TRENAME = 20,
	P9_TREADLINK = 22,
	P9_TGETATTR = 24,
	P9_TSETATTR = 26,
	P9_TXATTRWALK = 30,
	P9_TXATTRCREATE = 32,
	P9_TREADDIR = 40,
	P9_TFSYNC = 50,
	P9_TLOCK = 52,
	P9_TGETLOCK = 54,
	P9_TLINK = 70,
	P9_TMKDIR = 72,
	P9_TRENAMEAT = 74,
	P9_TUNLINKAT = 76,
	P9_TVERSION = 100,
	P9_TAUTH = 102,
	P9_TATTACH = 104,
	P9_TFLUSH = 108,
	P9_TWALK = 110,
	P9_TREAD = 116,
	P9_TWRITE = 118,
	P9_TCLUNK = 120,
	P9_TREMOVE = 122,
};

#define P9_HEAD 7u	    /* size, type, tag */
#define P9_ERROR_LEN 11u    /* Rlerror */
#define P9_READ_HEAD 11u    /* Rread, Rreaddir up to the data */
#define P9_WRITE_HEAD 23u   /* Twrite up to the data */
#define P9_NOFID 0xffffffffu
#define P9_NOUID 0xffffffffu
#define P9_MAX_WALK 16u

#define P9_QTDIR 0x80u
#define P9_QTSYMLINK 0x02u
#define P9_QTFILE 0x00u
#define P9_QID_LEN 13u

/* Tlopen, Tlcreate: flags as Linux's open(2) on most machines (octal) */
#define P9_O_ACCMODE 03u
#define P9_O_EXCL 0200u
#define P9_O_TRUNC 01000u
#define P9_O_DSYNC 010000u
#define P9_O_DIRECTORY 0200000u
#define P9_O_SYNC 04000000u

/* Tgetattr */
#define P9_ATTR_BASIC 0x7ffu
#define P9_ATTR_BTIME 0x800u
/* Tsetattr */
#define P9_SET_MODE 0x1u
#define P9_SET_UID 0x2u
#define P9_SET_GID 0x4u
#define P9_SET_SIZE 0x8u
#define P9_SET_ATIME 0x10u
#define P9_SET_MTIME 0x20u
#define P9_SET_CTIME 0x40u
#define P9_SET_ATIME_TO 0x80u /* to the time given, else to now */
#define P9_SET_MTIME_TO 0x100u

#define P9_LOCK_RD 0u
#define P9_LOCK_WR 1u
#define P9_LOCK_UN 2u
#define P9_LOCK_SUCCESS 0u
#define P9_LOCK_BLOCKED 1u
#define P9_LOCK_ERROR 2u

#define P9_AT_REMOVEDIR 0x200u
#define P9_STATFS_TYPE 0x01021997u /* V9FS_MAGIC */

#endif
