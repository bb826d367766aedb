#include "cli/cli_gallery.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/output.h"

enum frt_status cli_database(const struct cli_run *run, bool must_exist, char out[FRT_LOCATE_PATH_MAX],
                             struct frt_error *err)
{
    struct stat st;
    const char *said = cli_text(run, "database"), *store = cli_text(run, "store");
    if (said != NULL && said[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "option '--database' needs a value: FILE");
    if (store != NULL && store[0] == '\0')
        return frt_fail(err, FRT_EINVAL, "option '--store' needs a value: ADDRESS");
    if (said != NULL && store != NULL)
        return frt_fail(err, FRT_EINVAL, "--store and --database both say where the store is; give one");
    enum frt_status status = frt_database_locate(store != NULL ? store : said, out, err);
    if (status == FRT_OK && must_exist && frt_database_is_absent(out) && stat(out, &st) != 0)
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
    if (status == FRT_EUNAVAILABLE &&
        use == CLI_GALLERY_LOOK) { /* of an older version: it is brought up to date */
        struct frt_error why;
        options.read_only = false;
        if (frt_gallery_open(&options, out, &why) == FRT_OK)
            status = FRT_OK;
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

static enum frt_status copy_model(const char *name, char model[CLI_MODEL_SIZE], struct frt_error *err)
{
    size_t size = strlen(name) + 1;
    if (size > CLI_MODEL_SIZE)
        return frt_fail(err, FRT_EINVAL, "the model's name is longer than %d bytes", CLI_MODEL_SIZE - 1);
    memcpy(model, name, size);
    return FRT_OK;
}

enum frt_status cli_model_find(const struct cli_run *run, struct frt_gallery *gallery, const char *collection,
                               char model[CLI_MODEL_SIZE], uint32_t *dim, struct frt_error *err)
{
    struct frt_collection_info info;
    struct cli_models models = {0};
    const char *said = cli_text(run, "model");
    long long size = 0;
    enum frt_status status = cli_whole(run, "dim", 1, FRT_MAX_DIM, 0, &size, err);
    if (status == FRT_OK && collection != NULL && (said != NULL) != (size != 0))
        status = frt_fail(err, FRT_EINVAL, "--model and --dim go together");
    if (status != FRT_OK)
        return status;
    *dim = (uint32_t)size;
    if (said != NULL)
        return copy_model(said, model, err);
    if (collection != NULL) {
        status = frt_collection_get(gallery, collection, &info, err);
        if (status != FRT_OK)
            return status;
        status = copy_model(info.model, model, err);
        *dim = info.dim;
        frt_collection_info_deinit(&info);
        if (status != FRT_OK || *dim != 0)
            return status;
    }
    status = cli_models_open(run, 1, &models, err);
    if (status != FRT_OK)
        return status;
    *dim = frt_pack_info_get(models.pack)->dim;
    status = copy_model(frt_pack_model(models.pack), model, err);
    cli_models_close(&models);
    return status;
}
