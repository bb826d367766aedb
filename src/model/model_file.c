#include "model/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum frt_status frt_model_folder_make(const char *path, struct frt_error *err)
{
    if (path[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "the folder to make has an empty name");
    char *copy = frt_strdup(path);
    if (copy == NULL)
        return frt_fail_nomem(err, "a path");
    enum frt_status status = FRT_OK;
    for (char *at = copy + 1;; at++) { /* each prefix that ends before a slash, then the whole */
        char c = *at;
        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            status = frt_fail(err, FRT_EIO, "%s: cannot make the folder: %s", copy, strerror(errno));
            break;
        }
        *at = c;
        if (c == '\0')
            break;
    }
    struct stat st;
    if (status == FRT_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        status = frt_fail(err, FRT_EIO, "%s: exists and is not a folder", path);
    frt_free(copy);
    return status;
}

enum frt_status frt_model_path_join(const char *folder, const char *name, char **out, struct frt_error *err)
{
    size_t room = strlen(folder) + strlen(name) + 2;
    char *path = frt_alloc(room);
    if (path == NULL)
        return frt_fail_nomem(err, "a path");
    (void)snprintf(path, room, "%s/%s", folder, name);
    *out = path;
    return FRT_OK;
}

/* Open a regular file of `least` to `most` bytes. On success `fd` is the caller's to close. */
static enum frt_status open_regular(const char *path, size_t least, size_t most, int *fd, size_t *size,
                                    struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    struct stat st;
    int opened = open(path, O_RDONLY | O_CLOEXEC);
    if (opened < 0)
        return frt_fail(err, errno == ENOENT || errno == ENOTDIR ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path,
                        strerror(errno));
    if (fstat(opened, &st) != 0 || !S_ISREG(st.st_mode))
        status = frt_fail(err, FRT_EIO, "%s: not a regular file", path);
    else if ((uint64_t)st.st_size > most)
        status =
            frt_fail(err, FRT_EBAD_MODEL, "%s: %lld bytes; at most %zu fit", path, (long long)st.st_size, most);
    else if ((uint64_t)st.st_size < least)
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: the file is empty", path);
    if (status != FRT_OK) {
        (void)close(opened);
        return status;
    }
    *fd = opened;
    *size = (size_t)st.st_size;
    return FRT_OK;
}

enum frt_status frt_model_file_map(const char *path, size_t max, const void **bytes, size_t *size,
                                   struct frt_error *err)
{
    size_t n = 0;
    int fd = -1;
    enum frt_status status = open_regular(path, 1, max, &fd, &n, err);
    if (status != FRT_OK)
        return status;
    void *mapped = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) {
        status = frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
    } else {
        *bytes = mapped;
        *size = n;
    }
    (void)close(fd);
    return status;
}

void frt_model_file_unmap(const void *bytes, size_t size)
{
    if (bytes != NULL)
        (void)munmap((void *)(uintptr_t)bytes, size);
}

enum frt_status frt_model_file_read(const char *path, size_t max, uint8_t **bytes, size_t *size,
                                    struct frt_error *err)
{
    uint8_t *block = NULL;
    size_t n = 0, have = 0;
    int fd = -1;
    enum frt_status status = open_regular(path, 0, max, &fd, &n, err);
    if (status != FRT_OK)
        return status;
    block = frt_alloc(n + 1);
    if (block == NULL) {
        status = frt_fail_nomem(err, "a model file");
        goto done;
    }
    while (have < n) {
        ssize_t got = read(fd, block + have, n - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            status = frt_fail(err, FRT_EIO, "%s: %s", path,
                              got < 0 ? strerror(errno) : "the file shrank while read");
            goto done;
        }
        have += (size_t)got;
    }
    block[n] = 0;
    *bytes = block;
    *size = n;
    block = NULL;
done:
    frt_free(block);
    (void)close(fd);
    return status;
}

static enum frt_status write_all(int fd, const char *path, const void *bytes, size_t size,
                                 struct frt_error *err)
{
    const unsigned char *at = bytes;
    while (size > 0) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return frt_fail(err, FRT_EIO, "%s: cannot write: %s", path, strerror(errno));
        at += put;
        size -= (size_t)put;
    }
    if (fsync(fd) != 0)
        return frt_fail(err, FRT_EIO, "%s: cannot write: %s", path, strerror(errno));
    return FRT_OK;
}

enum frt_status frt_staged_file_write(const char *folder, const char *name, const void *bytes, size_t size,
                                      struct frt_staged_file *out, struct frt_error *err)
{
    struct frt_staged_file file = {0};
    int fd = -1;
    size_t room = strlen(folder) + strlen(name) + sizeof "/..XXXXXX.tmp";
    enum frt_status status = frt_model_path_join(folder, name, &file.final, err);
    if (status != FRT_OK)
        return status;
    char *temporary = frt_alloc(room);
    if (temporary == NULL) {
        status = frt_fail_nomem(err, "a path");
        goto done;
    }
    (void)snprintf(temporary, room, "%s/.%s.XXXXXX.tmp", folder, name);
    fd = mkostemps(temporary, 4, O_CLOEXEC);
    if (fd < 0) {
        status = frt_fail(err, FRT_EIO, "%s: cannot make a file: %s", folder, strerror(errno));
        frt_free(temporary);
        goto done;
    }
    file.temporary = temporary;
    /* mkostemps gives 0600; a pack is no secret and may be served by another user */
    if (fchmod(fd, 0644) != 0)
        status = frt_fail(err, FRT_EIO, "%s: %s", temporary, strerror(errno));
    else
        status = write_all(fd, file.final, bytes, size, err);
    if (close(fd) != 0 && status == FRT_OK)
        status = frt_fail(err, FRT_EIO, "%s: cannot write: %s", file.final, strerror(errno));
done:
    if (status == FRT_OK)
        *out = file;
    else
        frt_staged_file_deinit(&file);
    return status;
}

enum frt_status frt_staged_file_commit(struct frt_staged_file *file, struct frt_error *err)
{
    if (rename(file->temporary, file->final) != 0)
        return frt_fail(err, FRT_EIO, "%s: cannot put the new file in its place: %s", file->final,
                        strerror(errno));
    file->committed = true;
    return FRT_OK;
}

void frt_staged_file_deinit(struct frt_staged_file *file)
{
    if (file->temporary != NULL && !file->committed)
        (void)unlink(file->temporary);
    frt_free(file->temporary);
    frt_free(file->final);
    *file = (struct frt_staged_file){0};
}

enum frt_status frt_model_folder_sync(const char *folder, struct frt_error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return frt_fail(err, FRT_EIO, "%s: %s", folder, strerror(errno));
    /* some file systems cannot sync a folder and say EINVAL; there the rename is as durable as it gets */
    enum frt_status status = FRT_OK;
    if (fsync(fd) != 0 && errno != EINVAL)
        status = frt_fail(err, FRT_EIO, "%s: %s", folder, strerror(errno));
    (void)close(fd);
    return status;
}
