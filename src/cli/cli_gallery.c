#include "cli/cli_gallery.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum frt_status cli_database(const struct cli_run *run, bool must_exist, char out[FRT_LOCATE_PATH_MAX],
                             struct frt_error *err)
{
    struct stat st;
    const char *said = cli_text(run, "database");
    if (said != NULL && said[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "option '--database' needs a value: FILE");
    enum frt_status status = frt_database_locate(said, out, err);
    if (status == FRT_OK && must_exist && stat(out, &st) != 0)
        status = frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO,
                          "%s: %s; the database is made by 'frt enroll', --database names another", out,
                          strerror(errno));
    return status;
}

enum frt_status cli_gallery_open(const struct cli_run *run, enum cli_gallery_use use, struct frt_gallery **out,
                                 struct frt_error *err)
{
    char path[FRT_LOCATE_PATH_MAX];
    enum frt_status status = cli_database(run, use != CLI_GALLERY_MAKE, path, err);
    if (status != FRT_OK)
        return status;
    struct frt_gallery_options options = {.path = path, .read_only = use == CLI_GALLERY_LOOK};
    status = frt_gallery_open(&options, out, err);
    if (status == FRT_EUNAVAILABLE && use == CLI_GALLERY_SEARCH) {
        options.read_only = true;
        status = frt_gallery_open(&options, out, err);
    }
    return status;
}

enum frt_status cli_collection_make(struct frt_gallery *gallery, const char *name, bool *created,
                                    struct frt_error *err)
{
    /* no settings are wanted, so that one that stands is taken as it is */
    return frt_collection_put(gallery, name, NULL, created, err);
}

enum frt_status cli_access_open(const struct cli_run *run, bool must_exist, struct frt_access **out,
                                struct frt_error *err)
{
    char path[FRT_LOCATE_PATH_MAX];
    enum frt_status status = cli_database(run, must_exist, path, err);
    if (status != FRT_OK)
        return status;
    const struct frt_access_options options = {.database = path};
    return frt_access_open(&options, out, err);
}
