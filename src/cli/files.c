#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

enum frt_status cli_file_write(const char *path, const void *bytes, size_t size, bool force,
                               struct frt_error *err)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return frt_fail(err, FRT_EINVAL, "the file name is too long");
    if (!force && access(path, F_OK) == 0)
        return frt_fail(err, FRT_ECONFLICT, "%s exists already; --force replaces it", path);
    int fd = mkstemp(temporary);
    if (fd < 0)
        return frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
    mode_t mask = umask(0);
    (void)umask(mask);
    bool good = fchmod(fd, 0666 & ~mask) == 0 && write_all(fd, bytes, size) && fsync(fd) == 0;
    int why = errno;
    good = close(fd) == 0 && good;
    /* link refuses to replace, so that two runs at once cannot overwrite each other without --force */
    if (good && !force) {
        good = link(temporary, path) == 0;
        why = errno;
        (void)unlink(temporary);
    } else if (good) {
        good = rename(temporary, path) == 0;
        why = errno;
    }
    if (good)
        return FRT_OK;
    (void)unlink(temporary);
    return frt_fail(err, why == EEXIST ? FRT_ECONFLICT : FRT_EIO, "%s: %s", path, strerror(why));
}
