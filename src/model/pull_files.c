#include "model/pull_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum { PIECE_BYTES = 1 << 18, MAX_OPEN_FOLDERS = 16 };

static enum frt_status copy_bytes(int in, int out, const char *from, const char *to, uint64_t size,
                                  bool (*cancelled)(void *arg), void *arg, struct frt_error *err)
{
    uint8_t *piece = frt_alloc(PIECE_BYTES);
    enum frt_status status = piece != NULL ? FRT_OK : frt_fail_nomem(err, "a copy");
    while (status == FRT_OK && size > 0) {
        ssize_t n = read(in, piece, size < PIECE_BYTES ? (size_t)size : PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            status =
                frt_fail(err, FRT_EIO, "%s: %s", from, n < 0 ? strerror(errno) : "the file shrank while read");
            break;
        }
        for (ssize_t put = 0; put < n && status == FRT_OK;) {
            ssize_t w = write(out, piece + put, (size_t)(n - put));
            if (w < 0 && errno != EINTR)
                status = frt_fail(err, errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO,
                                  "%s: cannot write: %s", to, strerror(errno));
            put += w > 0 ? w : 0;
        }
        size -= (uint64_t)n;
        if (status == FRT_OK && cancelled != NULL && cancelled(arg))
            status = frt_fail(err, FRT_ECANCELLED, "%s: cancelled", from);
    }
    if (status == FRT_OK && fsync(out) != 0)
        status = frt_fail(err, FRT_EIO, "%s: %s", to, strerror(errno));
    frt_free(piece);
    return status;
}

static enum frt_status copy(const char *from, const char *to, uint64_t size, bool exact,
                            bool (*cancelled)(void *arg), void *arg, struct frt_error *err)
{
    struct stat st;
    enum frt_status status = FRT_OK;
    int out = -1, in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return frt_fail(err, errno == ENOENT || errno == ENOTDIR ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", from,
                        strerror(errno));
    if (fstat(in, &st) != 0 || !S_ISREG(st.st_mode))
        status = frt_fail(err, FRT_EIO, "%s: not a regular file", from);
    else if (exact && (uint64_t)st.st_size != size)
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: %lld bytes, %" PRIu64 " are expected", from,
                          (long long)st.st_size, size);
    else if ((uint64_t)st.st_size > size)
        status = frt_fail(err, FRT_EBODY_TOO_LARGE, "%s: %lld bytes; at most %" PRIu64 " are taken", from,
                          (long long)st.st_size, size);
    if (status == FRT_OK) {
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (out < 0)
            status = frt_fail(err,
                              errno == EEXIST   ? FRT_ECONFLICT
                              : errno == ENOSPC ? FRT_ESTORAGE_FULL
                                                : FRT_EIO,
                              "%s: %s", to, strerror(errno));
    }
    if (status == FRT_OK) {
        status = copy_bytes(in, out, from, to, (uint64_t)st.st_size, cancelled, arg, err);
        if (status != FRT_OK)
            (void)unlink(to);
    }
    if (out >= 0)
        (void)close(out);
    (void)close(in);
    return status;
}

enum frt_status frt_pull_copy(const char *from, const char *to, uint64_t size, bool (*cancelled)(void *arg),
                              void *cancelled_arg, struct frt_error *err)
{
    return copy(from, to, size, true, cancelled, cancelled_arg, err);
}

enum frt_status frt_pull_copy_most(const char *from, const char *to, uint64_t max, bool (*cancelled)(void *arg),
                                   void *cancelled_arg, struct frt_error *err)
{
    return copy(from, to, max, false, cancelled, cancelled_arg, err);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    (void)(kind == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

void frt_pull_remove_folder(const char *path)
{
    (void)nftw(path, remove_one, MAX_OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

uint64_t frt_pull_folder_bytes(const char *path, uint64_t most)
{
    uint64_t bytes = 0;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct stat st;
        if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    }
    (void)closedir(folder);
    return bytes < most ? bytes : most;
}

enum frt_status frt_pull_exchange(const char *made, const char *folder, struct frt_error *err)
{
    struct stat st;
    if (lstat(folder, &st) != 0)
        return rename(made, folder) == 0 ? FRT_OK : frt_fail(err, FRT_EIO, "%s: %s", folder, strerror(errno));
    if (renameat2(AT_FDCWD, made, AT_FDCWD, folder, RENAME_EXCHANGE) != 0)
        return frt_fail(err, FRT_EIO, "%s: cannot be exchanged for the new pack: %s", folder, strerror(errno));
    frt_pull_remove_folder(made); /* now the old one */
    return FRT_OK;
}
