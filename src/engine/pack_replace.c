#include "engine/pack_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/model_file.h"

enum { OPEN_FOLDERS = 16 };

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* "." where the path has no folder. */
static void parent_of(const char *path, char out[FRT_LOCATE_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        (void)snprintf(out, FRT_LOCATE_PATH_MAX, ".");
    else
        (void)snprintf(out, FRT_LOCATE_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

enum frt_status frt_staged_folder_make(const char *final, struct frt_staged_folder *out, struct frt_error *err)
{
    struct frt_staged_folder folder = {0};
    char parent[FRT_LOCATE_PATH_MAX];
    size_t n = strlen(final);
    while (n > 1 && final[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof folder.final)
        return frt_fail(err, FRT_EINVAL, "a folder's name of %zu bytes: 1 to %zu would be right", n,
                        sizeof folder.final - 1);
    memcpy(folder.final, final, n);
    parent_of(folder.final, parent);
    const char *slash = strrchr(folder.final, '/');
    const char *name = slash == NULL ? folder.final : slash + 1;
    enum frt_status status = frt_model_folder_make(parent, err);
    if (status != FRT_OK)
        return status;
    const int length = snprintf(folder.temporary, sizeof folder.temporary, "%s/.%s.XXXXXX", parent, name);
    if (length < 0 || (size_t)length >= sizeof folder.temporary)
        return frt_fail(err, FRT_EINVAL, "%s: the name is too long", final);
    /* mkdtemp gives 0700; a pack is no secret and may be served by another user */
    if (mkdtemp(folder.temporary) == NULL)
        return frt_fail(err, FRT_EIO, "%s: cannot make a folder: %s", parent, strerror(errno));
    if (chmod(folder.temporary, 0755) != 0)
        status = frt_fail(err, FRT_EIO, "%s: %s", folder.temporary, strerror(errno));
    if (status == FRT_OK)
        *out = folder;
    else
        frt_staged_folder_deinit(&folder);
    return status;
}

/* Exchanging two folders at once is a thing of the file system: asked with a folder and itself, which changes
 * nothing. */
static bool can_exchange(const char *path)
{
    return renameat2(AT_FDCWD, path, AT_FDCWD, path, RENAME_EXCHANGE) == 0;
}

/* Between the two renames there is nothing under the name. */
static enum frt_status replace_in_two(struct frt_staged_folder *folder, struct frt_error *err)
{
    char aside[sizeof folder->temporary + 4];
    (void)snprintf(aside, sizeof aside, "%s.old", folder->temporary);
    if (rename(folder->final, aside) != 0)
        return frt_fail(err, FRT_EIO, "%s: cannot be replaced: %s", folder->final, strerror(errno));
    if (rename(folder->temporary, folder->final) != 0) {
        enum frt_status status = frt_fail(err, FRT_EIO, "%s: cannot put the new folder in its place: %s",
                                          folder->final, strerror(errno));
        (void)rename(aside, folder->final);
        return status;
    }
    folder->temporary[0] = '\0';
    (void)nftw(aside, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    return FRT_OK;
}

enum frt_status frt_staged_folder_commit(struct frt_staged_folder *folder, struct frt_error *err)
{
    char parent[FRT_LOCATE_PATH_MAX];
    struct stat st;
    enum frt_status status = frt_model_folder_sync(folder->temporary, err);
    if (status != FRT_OK)
        return status;
    const bool stands = lstat(folder->final, &st) == 0;
    if (stands && !can_exchange(folder->temporary))
        return replace_in_two(folder, err);
    if (renameat2(AT_FDCWD, folder->temporary, AT_FDCWD, folder->final,
                  stands ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0)
        return frt_fail(err, FRT_EIO, "%s: cannot put the new folder in its place: %s", folder->final,
                        strerror(errno));
    parent_of(folder->final, parent);
    status = frt_model_folder_sync(parent, err);
    if (!stands)
        folder->temporary[0] = '\0'; /* else the old one lies there now, and goes with deinit */
    return status;
}

void frt_staged_folder_deinit(struct frt_staged_folder *folder)
{
    if (folder->temporary[0] != '\0')
        (void)nftw(folder->temporary, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    *folder = (struct frt_staged_folder){0};
}
