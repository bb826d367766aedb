#include "model/pack_zip.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <minizip/unzip.h>

#include "core/mem.h"

enum { NAME_ROOM = 1024, PIECE_BYTES = 65536, ENCRYPTED = 1, STORED = 0, DEFLATED = 8 };

struct frt_zip {
    unzFile file;
    const char *path; /* behind the struct */
    uint8_t piece[PIECE_BYTES];
};

bool frt_zip_is(const char *path)
{
    char head[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is = read(fd, head, sizeof head) == (ssize_t)sizeof head && memcmp(head, "PK\3\4", 4) == 0;
    (void)close(fd);
    return is;
}

enum frt_status frt_zip_open(const char *path, struct frt_zip **out, struct frt_error *err)
{
    unz_global_info64 info;
    size_t room = strlen(path) + 1;
    if (access(path, R_OK) != 0)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path, strerror(errno));
    struct frt_zip *zip = frt_alloc(sizeof *zip + room);
    if (zip == NULL)
        return frt_fail_nomem(err, "an archive");
    memcpy((char *)(zip + 1), path, room);
    zip->path = (const char *)(zip + 1);
    zip->file = unzOpen64(path);
    if (zip->file == NULL) {
        frt_free(zip);
        return frt_fail(err, FRT_EBAD_MODEL, "%s: not a zip archive, or cut short", path);
    }
    if (unzGetGlobalInfo64(zip->file, &info) != UNZ_OK || info.number_entry > FRT_ZIP_MAX_ENTRIES) {
        frt_zip_close(zip);
        return frt_fail(err, FRT_EBAD_MODEL, "%s: a zip archive of at most %d entries would be right", path,
                        FRT_ZIP_MAX_ENTRIES);
    }
    *out = zip;
    return FRT_OK;
}

void frt_zip_close(struct frt_zip *zip)
{
    if (zip == NULL)
        return;
    (void)unzClose(zip->file);
    frt_free(zip);
}

/* Put the archive's position on the entry that is meant. */
static enum frt_status find(struct frt_zip *zip, const char *member, unz_file_info64 *info,
                            struct frt_error *err)
{
    unz64_file_pos at = {0};
    uint32_t exact = 0, last_part = 0;
    int e = unzGoToFirstFile(zip->file);
    for (uint32_t i = 0; e == UNZ_OK && i < FRT_ZIP_MAX_ENTRIES; i++, e = unzGoToNextFile(zip->file)) {
        char name[NAME_ROOM];
        if (unzGetCurrentFileInfo64(zip->file, info, name, sizeof name, NULL, 0, NULL, 0) != UNZ_OK)
            return frt_fail(err, FRT_EBAD_MODEL, "%s: the list of its files is damaged", zip->path);
        if (info->size_filename >= sizeof name)
            continue; /* no name that anybody asks for */
        const char *slash = strrchr(name, '/');
        bool is_exact = strcmp(name, member) == 0;
        bool is_last_part = slash != NULL && strcmp(slash + 1, member) == 0;
        if (!is_exact && !is_last_part)
            continue;
        if (is_exact ? exact++ == 0 : (exact == 0 && last_part == 0))
            (void)unzGetFilePos64(zip->file, &at);
        last_part += is_last_part ? 1 : 0;
    }
    if (e != UNZ_OK && e != UNZ_END_OF_LIST_OF_FILE)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: the list of its files is damaged", zip->path);
    if (exact == 0 && last_part == 0)
        return frt_fail(err, FRT_ENOTFOUND, "%s: holds no %s", zip->path, member);
    if (exact > 1 || (exact == 0 && last_part > 1))
        return frt_fail(err, FRT_EBAD_MODEL, "%s: holds %s more than once", zip->path, member);
    if (unzGoToFilePos64(zip->file, &at) != UNZ_OK ||
        unzGetCurrentFileInfo64(zip->file, info, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: the list of its files is damaged", zip->path);
    return FRT_OK;
}

static enum frt_status write_piece(int fd, const char *to, const uint8_t *bytes, size_t size,
                                   struct frt_error *err)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return frt_fail(err, errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO,
                            "%s: cannot write: %s", to, strerror(errno));
        bytes += n;
        size -= (size_t)n;
    }
    return FRT_OK;
}

static enum frt_status copy_out(struct frt_zip *zip, const char *member, int fd, const char *to, uint64_t max,
                                bool (*cancelled)(void *arg), void *arg, uint64_t *size, struct frt_error *err)
{
    uint64_t have = 0;
    for (;;) {
        int n = unzReadCurrentFile(zip->file, zip->piece, sizeof zip->piece);
        if (n < 0)
            return frt_fail(err, FRT_EBAD_MODEL, "%s: %s is damaged", zip->path, member);
        if (n == 0)
            break;
        if ((uint64_t)n > max - have)
            return frt_fail(err, FRT_EBODY_TOO_LARGE, "%s: %s has more than %" PRIu64 " bytes", zip->path,
                            member, max);
        if (cancelled != NULL && cancelled(arg))
            return frt_fail(err, FRT_ECANCELLED, "%s: cancelled", zip->path);
        enum frt_status status = write_piece(fd, to, zip->piece, (size_t)n, err);
        if (status != FRT_OK)
            return status;
        have += (uint64_t)n;
    }
    *size = have;
    return FRT_OK;
}

enum frt_status frt_zip_extract(struct frt_zip *zip, const char *member, const char *to, uint64_t max,
                                bool (*cancelled)(void *arg), void *cancelled_arg, uint64_t *size,
                                struct frt_error *err)
{
    unz_file_info64 info = {0};
    uint64_t have = 0;
    enum frt_status status = find(zip, member, &info, err);
    if (status != FRT_OK)
        return status;
    if (info.flag & ENCRYPTED)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: %s is encrypted", zip->path, member);
    if (info.compression_method != STORED && info.compression_method != DEFLATED)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: %s is packed by method %lu; stored and deflate are read",
                        zip->path, member, info.compression_method);
    if (info.uncompressed_size > max)
        return frt_fail(err, FRT_EBODY_TOO_LARGE, "%s: %s has %" PRIu64 " bytes; at most %" PRIu64 " are taken",
                        zip->path, member, (uint64_t)info.uncompressed_size, max);
    if (unzOpenCurrentFile(zip->file) != UNZ_OK)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: %s is damaged", zip->path, member);
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        (void)unzCloseCurrentFile(zip->file);
        return frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", to, strerror(errno));
    }
    status = copy_out(zip, member, fd, to, max, cancelled, cancelled_arg, &have, err);
    int e = unzCloseCurrentFile(zip->file); /* compares the CRC */
    if (status == FRT_OK && (e != UNZ_OK || have != info.uncompressed_size))
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: %s is damaged", zip->path, member);
    if (status == FRT_OK && fsync(fd) != 0)
        status = frt_fail(err, FRT_EIO, "%s: %s", to, strerror(errno));
    (void)close(fd);
    if (status != FRT_OK)
        (void)unlink(to);
    else if (size != NULL)
        *size = have;
    return status;
}
