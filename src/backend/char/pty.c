// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/pty.c - A pseudo terminal and the file that tells its name
 *
 * The slave stays open here for the VM's whole life: on Linux a master whose slave is
 * open nowhere reads EIO and reports a hang-up for ever, and the slave's modes would be
 * forgotten with its last user. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/char/chr_int.h"
#include "base/err.h"

/* Written aside and renamed, since clients poll for the file and read it at once */
static int name_write(const char *path, const char *name, struct hk_err *err)
{
	size_t len = strlen(name);
	char tmp[4096];
	int fd, rc;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= sizeof(tmp))
		return err_set(err, -ENAMETOOLONG, "pty file %s: name too long", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "pty file %s: %s", path, strerrordesc_np(errno));
	rc = write(fd, name, len) == (ssize_t)len ? 0 : -EIO;
	if (!rc && (fchmod(fd, 0644) || rename(tmp, path)))
		rc = -errno;
	close(fd);
	if (rc) {
		unlink(tmp);
		return err_set(err, rc, "pty file %s: %s", path, strerrordesc_np(-rc));
	}
	return 0;
}

int chr_term_pty(struct chr_term *t, const char *name_file, struct hk_err *err)
{
	struct termios raw;
	int master, rc;

	master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (master < 0)
		return err_set(err, -errno, "pty: %s", strerrordesc_np(errno));
	if (grantpt(master) || unlockpt(master) || ptsname_r(master, t->name, sizeof(t->name)))
		goto sys;
	t->slave = open(t->name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->slave < 0 || tcgetattr(t->slave, &raw))
		goto sys;
	/* Raw, or the guest would get its own output echoed back as input */
	cfmakeraw(&raw);
	if (tcsetattr(t->slave, TCSANOW, &raw))
		goto sys;
	rc = chr_fd_adopt(&t->in, master, false);
	if (!rc)
		rc = chr_fd_adopt(&t->out, master, true);
	if (rc) {
		errno = -rc;
		goto sys;
	}
	close(master);
	t->pty = true;
	return name_file ? name_write(name_file, t->name, err) : 0;
sys:
	rc = err_set(err, -errno, "pty: %s", strerrordesc_np(errno));
	close(master);
	return rc;
}
