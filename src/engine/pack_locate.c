#include "engine/pack_locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store.h"
#include "store/store_address.h"

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool holds(const char *folder, const char *name)
{
    char path[FRT_LOCATE_PATH_MAX + 64];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0;
}

/* "a" + "b" into out; false when it does not fit. */
static bool join(char out[FRT_LOCATE_PATH_MAX], const char *a, const char *b)
{
    int n = snprintf(out, FRT_LOCATE_PATH_MAX, "%s%s", a, b);
    return n >= 0 && n < FRT_LOCATE_PATH_MAX;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

enum frt_status frt_data_dir_locate(char out[FRT_LOCATE_PATH_MAX], struct frt_error *err)
{
    const char *said = environment("FRT_DATA_DIR");
    const char *xdg = environment("XDG_DATA_HOME");
    const char *home = environment("HOME");
    if (said != NULL) {
        if (!join(out, said, ""))
            return frt_fail(err, FRT_EINVAL, "FRT_DATA_DIR is longer than %d bytes", FRT_LOCATE_PATH_MAX - 1);
        return FRT_OK;
    }
    if (is_folder("data/packs"))
        return join(out, "data", "") ? FRT_OK : FRT_EINTERNAL;
    if (xdg != NULL && join(out, xdg, "/frt") && is_folder(out))
        return FRT_OK;
    if (xdg == NULL && home != NULL && join(out, home, "/.local/share/frt") && is_folder(out))
        return FRT_OK;
    if (is_folder("/var/lib/frt"))
        return join(out, "/var/lib/frt", "") ? FRT_OK : FRT_EINTERNAL;
    return join(out, "data", "") ? FRT_OK : FRT_EINTERNAL;
}

enum frt_status frt_database_locate(const char *path, char out[FRT_LOCATE_PATH_MAX], struct frt_error *err)
{
    char data[FRT_LOCATE_PATH_MAX];
    const char *said = path != NULL && path[0] != '\0' ? path : NULL, *store = environment("FRT_STORE"),
               *file = environment("FRT_DATABASE");
    if (said == NULL && store != NULL && file != NULL)
        return frt_fail(err, FRT_EINVAL, "FRT_STORE and FRT_DATABASE both say where the store is; give one");
    if (said == NULL)
        said = store != NULL ? store : file;
    if (said != NULL) {
        said = frt_store_file(said);
        if (!join(out, said, ""))
            return frt_fail(err, FRT_EINVAL, "the database's path is longer than %d bytes",
                            FRT_LOCATE_PATH_MAX - 1);
        return FRT_OK;
    }
    enum frt_status status = frt_data_dir_locate(data, err);
    if (status == FRT_OK && !join(out, data, "/frt.db"))
        status = frt_fail(err, FRT_EINVAL, "the data folder's path is longer than %d bytes",
                          FRT_LOCATE_PATH_MAX - 8);
    return status;
}

enum frt_status frt_database_beside(const char *database, const char *suffix, char out[FRT_LOCATE_PATH_MAX],
                                    struct frt_error *err)
{
    char folder[FRT_LOCATE_PATH_MAX], start[FRT_LOCATE_PATH_MAX + 16];
    enum frt_status status = FRT_OK;
    (void)snprintf(start, sizeof start, "%s", frt_store_file(database));
    if (frt_store_is_server(database)) {
        status = frt_data_dir_locate(folder, err);
        if (status != FRT_OK)
            return status;
        (void)snprintf(start, sizeof start, "%s/postgresql", folder);
    }
    return join(out, start, suffix) ? FRT_OK
                                    : frt_fail(err, FRT_EINVAL, "the database's path is longer than %d bytes",
                                               FRT_LOCATE_PATH_MAX - 1);
}

void frt_database_describe(const char *database, char out[FRT_LOCATE_PATH_MAX])
{
    frt_store_describe(database, out, FRT_LOCATE_PATH_MAX);
}

bool frt_database_is_server(const char *database)
{
    return frt_store_is_server(database);
}

bool frt_database_is_absent(const char *database)
{
    struct stat st;
    return !frt_store_is_server(database) && stat(frt_store_file(database), &st) != 0;
}

static const char *const installed[] = {"/usr/local/share/frt/packs", "/usr/share/frt/packs"};

enum frt_status frt_pack_locate_named(const char *data, const char *name, char out[FRT_LOCATE_PATH_MAX],
                                      struct frt_error *err)
{
    const char *folders[] = {NULL, installed[0], installed[1]};
    char packs[FRT_LOCATE_PATH_MAX];
    int n = snprintf(packs, sizeof packs, "%s/packs", data);
    if (n < 0 || (size_t)n + strlen(name) + 1 >= sizeof packs)
        return frt_fail(err, FRT_EINVAL, "the pack's path is longer than %d bytes", FRT_LOCATE_PATH_MAX - 1);
    folders[0] = packs;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char folder[FRT_LOCATE_PATH_MAX + 256];
        (void)snprintf(folder, sizeof folder, "%s/%.200s", folders[i], name);
        if (holds(folder, "manifest.json") && join(out, folder, ""))
            return FRT_OK;
    }
    n = snprintf(out, FRT_LOCATE_PATH_MAX, "%s/%s", packs, name);
    return n < 0 ? FRT_EINTERNAL : FRT_OK; /* it fits: looked at above */
}

enum frt_status frt_pack_locate(char out[FRT_LOCATE_PATH_MAX], struct frt_error *err)
{
    char data[FRT_LOCATE_PATH_MAX];
    const char *said = environment("FRT_PACK");
    if (said != NULL) {
        if (!join(out, said, ""))
            return frt_fail(err, FRT_EINVAL, "FRT_PACK is longer than %d bytes", FRT_LOCATE_PATH_MAX - 1);
        return FRT_OK;
    }
    enum frt_status status = frt_data_dir_locate(data, err);
    if (status != FRT_OK)
        return status;
    status = frt_pack_locate_named(data, "default", out, err);
    if (status != FRT_OK || holds(out, "manifest.json"))
        return status;
    return frt_fail(
        err, FRT_ENOTFOUND,
        "no model pack: neither %s/packs/default nor %s/default holds a manifest.json; make one with "
        "'frt models import', or name a pack with --pack or FRT_PACK",
        data, installed[0]);
}
