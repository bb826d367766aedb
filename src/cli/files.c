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

static enum frt_status check_target(const char *path, bool force, struct frt_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return FRT_OK;
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return frt_fail(err, FRT_EINVAL, "%s is %s; the name of a file is right", path,
                        S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    return force ? FRT_OK : frt_fail(err, FRT_ECONFLICT, "%s exists already; --force replaces it", path);
}

enum frt_status cli_file_check(const char *path, bool force, struct frt_error *err)
{
    char folder[4096];
    enum frt_status status = check_target(path, force, err);
    if (status != FRT_OK)
        return status;
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (path[n] == '\0' || n >= sizeof folder)
        return frt_fail(err, FRT_EINVAL, "'%.200s' is no file name", path);
    (void)snprintf(folder, sizeof folder, "%.*s", n == 0 ? 1 : (int)n, n == 0 ? "." : path);
    if (access(folder, W_OK | X_OK) != 0)
        return frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
    return FRT_OK;
}

enum frt_status cli_file_begin(struct cli_file *file, const char *path, unsigned mode, bool force,
                               struct frt_error *err)
{
    *file = (struct cli_file){.fd = -1, .force = force, .path = path};
    int n = snprintf(file->temporary, sizeof file->temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof file->temporary)
        return frt_fail(err, FRT_EINVAL, "the file name is too long");
    enum frt_status status = check_target(path, force, err);
    if (status != FRT_OK)
        return status;
    file->fd = mkstemp(file->temporary);
    if (file->fd < 0)
        return frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
    mode_t mask = umask(0);
    (void)umask(mask);
    if (fchmod(file->fd, (mode_t)mode & ~mask) != 0) {
        status = frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
        cli_file_discard(file);
    }
    return status;
}

enum frt_status cli_file_append(struct cli_file *file, const void *bytes, size_t size, struct frt_error *err)
{
    if (write_all(file->fd, bytes, size))
        return FRT_OK;
    return frt_fail(err, FRT_EIO, "%s: %s", file->path, strerror(errno));
}

void cli_file_discard(struct cli_file *file)
{
    if (file->fd < 0)
        return;
    (void)close(file->fd);
    (void)unlink(file->temporary);
    file->fd = -1;
}

enum frt_status cli_file_finish(struct cli_file *file, struct frt_error *err)
{
    bool good = fsync(file->fd) == 0;
    int why = errno;
    good = close(file->fd) == 0 && good;
    file->fd = -1;
    /* link refuses to replace, so that two runs at once cannot overwrite each other without --force */
    if (good && !file->force) {
        good = link(file->temporary, file->path) == 0;
        why = errno;
        (void)unlink(file->temporary);
    } else if (good) {
        good = rename(file->temporary, file->path) == 0;
        why = errno;
    }
    if (good)
        return FRT_OK;
    (void)unlink(file->temporary);
    return frt_fail(err, why == EEXIST ? FRT_ECONFLICT : FRT_EIO, "%s: %s", file->path, strerror(why));
}

enum frt_status cli_file_write(const char *path, const void *bytes, size_t size, bool force,
                               struct frt_error *err)
{
    struct cli_file file;
    enum frt_status status = cli_file_begin(&file, path, 0666, force, err);
    if (status != FRT_OK)
        return status;
    status = cli_file_append(&file, bytes, size, err);
    if (status == FRT_OK)
        status = cli_file_finish(&file, err);
    cli_file_discard(&file);
    return status;
}
