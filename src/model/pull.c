#include "model/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/mem.h"
#include "model/model_file.h"
#include "model/pack_zip.h"
#include "model/pull_files.h"

static const uint64_t MAX_MODEL_BYTES = UINT64_C(4) << 30, MAX_MANIFEST_BYTES = 4 << 20;

struct pull {
    const struct frt_pull_options *o;
    struct frt_pull_result *out;
    char work[FRT_PULL_PATH_MAX], made[FRT_PULL_PATH_MAX + 8], folder[FRT_PULL_PATH_MAX];
    char fetched[FRT_PULL_PATH_MAX]; /* an archive that a URL brought */
};

static bool is_cancelled(const struct frt_pull_options *o)
{
    return o->fetch.cancelled != NULL && o->fetch.cancelled(o->fetch.cancelled_arg);
}

/* "a/b" into out. */
static enum frt_status join(char *out, size_t room, const char *a, const char *b, struct frt_error *err)
{
    int n = snprintf(out, room, "%s/%s", a, b);
    return n >= 0 && (size_t)n < room ? FRT_OK : frt_fail(err, FRT_EINVAL, "%.200s…: path too long", a);
}

/* ------------------------------------------------------------- consent */

static enum frt_status ask(const struct frt_pull_options *o, const char *name, const char *licence,
                           const char *licence_url, bool non_commercial, struct frt_error *err)
{
    if (!non_commercial || o->licence_accepted)
        return FRT_OK;
    if (o->consent == NULL)
        return frt_fail(
            err, FRT_EINVAL,
            "%s: its licence forbids commercial use: %s%s%s%s; --accept-licence says that you have read "
            "it and accept it",
            name, licence, licence_url[0] != '\0' ? " (" : "", licence_url, licence_url[0] != '\0' ? ")" : "");
    return o->consent(o->arg, name, licence, licence_url)
               ? FRT_OK
               : frt_fail(err, FRT_EINVAL, "%s: the licence was not accepted; nothing was fetched", name);
}

/* -------------------------------------------------------------- places */

/* A name becomes folder and work folder. */
static enum frt_status choose_places(struct pull *p, const char *name, struct frt_error *err)
{
    char hidden[FRT_SPEC_NAME_MAX + 16];
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) >= FRT_SPEC_NAME_MAX)
        return frt_fail(err, FRT_EINVAL,
                        "\"%.80s\" is no name for a pack's folder: no '/', not hidden, at most %d "
                        "bytes would be right; --name gives another",
                        name, FRT_SPEC_NAME_MAX - 1);
    (void)snprintf(hidden, sizeof hidden, ".pull-%s", name);
    enum frt_status status = join(p->folder, sizeof p->folder, p->o->packs, name, err);
    if (status == FRT_OK)
        status = join(p->work, sizeof p->work, p->o->packs, hidden, err);
    if (status == FRT_OK)
        status = join(p->made, sizeof p->made, p->work, "new", err);
    (void)snprintf(p->out->name, sizeof p->out->name, "%s", name);
    (void)snprintf(p->out->folder, sizeof p->out->folder, "%s", p->folder);
    return status;
}

/* Does the folder hold just this pack? */
static bool stands_already(const char *folder, const struct frt_manifest *wanted)
{
    struct frt_manifest *there = NULL;
    bool same = frt_manifest_load(folder, &there, NULL) == FRT_OK && there->n_models == wanted->n_models &&
                strcmp(there->name, wanted->name) == 0 && strcmp(there->version, wanted->version) == 0;
    for (uint32_t i = 0; same && i < wanted->n_models; i++)
        same = strcmp(there->models[i].file, wanted->models[i].file) == 0 &&
               strcmp(there->models[i].sha256, wanted->models[i].sha256) == 0;
    same = same && frt_manifest_verify(there, folder, NULL) == FRT_OK;
    frt_manifest_free(there);
    return same;
}

static enum frt_status check_free(struct pull *p, const struct frt_manifest *wanted, struct frt_error *err)
{
    struct stat st;
    if (lstat(p->folder, &st) != 0)
        return FRT_OK;
    if (wanted != NULL && !p->o->force && stands_already(p->folder, wanted)) {
        p->out->was_there = true;
        p->out->n_models = wanted->n_models;
        return FRT_OK;
    }
    if (!p->o->force)
        return frt_fail(err, FRT_ECONFLICT, "%s is there already; --force replaces it, --name makes another",
                        p->folder);
    return S_ISDIR(st.st_mode) ? FRT_OK
                               : frt_fail(err, FRT_EINVAL, "%s is no folder and is not replaced", p->folder);
}

/* Room for what is to come, before the first byte comes. */
static enum frt_status check_room(const struct pull *p, uint64_t bytes, struct frt_error *err)
{
    struct statvfs fs;
    if (statvfs(p->work, &fs) != 0)
        return FRT_OK;
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    return bytes <= room ? FRT_OK
                         : frt_fail(err, FRT_ESTORAGE_FULL,
                                    "%s: %" PRIu64 " MB are needed, and the disk has room for %" PRIu64 " MB",
                                    p->o->packs, bytes / 1000000 + 1, room / 1000000);
}

static enum frt_status begin_work(struct pull *p, struct frt_error *err)
{
    enum frt_status status = frt_model_folder_make(p->work, err);
    frt_pull_remove_folder(p->made); /* of a call that was broken off */
    if (status == FRT_OK)
        status = frt_model_folder_make(p->made, err);
    return status;
}

/* The new pack is complete: into its place, and the work folder goes. */
static enum frt_status finish_work(struct pull *p, const struct frt_manifest *manifest, struct frt_error *err)
{
    enum frt_status status = frt_manifest_save(manifest, p->made, err);
    if (status == FRT_OK)
        status = frt_manifest_verify(manifest, p->made, err);
    if (status == FRT_OK)
        status = frt_pull_exchange(p->made, p->folder, err);
    if (status != FRT_OK)
        return status;
    frt_pull_remove_folder(p->work);
    p->out->n_models = manifest->n_models;
    return frt_model_folder_sync(p->o->packs, err);
}

/* -------------------------------------------------------- the catalogue */

static enum frt_status wrong_sum(const char *what, const char *digest, const char *wanted,
                                 struct frt_error *err)
{
    return frt_fail(
        err, FRT_EBAD_MODEL,
        "%s: SHA-256 is %s, %s is right: the file is another one or was damaged on its way; it is not used",
        what, digest, wanted);
}

static enum frt_status check_sum(const char *path, const char *what, const char *wanted, struct frt_error *err)
{
    char digest[FRT_SHA256_HEX_SIZE];
    enum frt_status status = frt_sha256_file(path, digest, err);
    if (status == FRT_OK && strcmp(digest, wanted) != 0)
        status = wrong_sum(what, digest, wanted, err);
    return status;
}

static const char *last_part(const char *url)
{
    const char *slash = strrchr(url, '/');
    return slash != NULL ? slash + 1 : url;
}

/* One address. A file that was pieced together from two calls and has the wrong sum is fetched once more. */
static enum frt_status fetch_one(struct pull *p, const char *url, const char *path, uint64_t size,
                                 const char *sha256, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (int round = 0; round < 2; round++) {
        struct frt_fetch_options fetch = p->o->fetch;
        struct frt_fetch_result result = {0};
        fetch.url = url;
        fetch.path = path;
        fetch.size = size;
        status = frt_fetch_file(&fetch, &result, err);
        if (status != FRT_OK)
            return status;
        p->out->fetched_bytes += result.size;
        p->out->resumed = p->out->resumed || result.resumed;
        status = check_sum(path, url, sha256, err);
        if (status == FRT_OK)
            return FRT_OK;
        (void)unlink(path);
        if (!result.resumed)
            break;
    }
    return status;
}

/* A file of the catalogue into `path`, wherever it can be had. */
static enum frt_status obtain(struct pull *p, const struct frt_catalogue_download *d, const char *local,
                              const char *path, struct frt_error *err)
{
    const char *mirror = p->o->mirror;
    char from[FRT_PULL_PATH_MAX];
    enum frt_status status = FRT_OK;
    if (access(path, F_OK) == 0 && check_sum(path, path, d->sha256, NULL) == FRT_OK)
        return FRT_OK; /* of an earlier call */
    (void)unlink(path);
    if (p->o->begins != NULL)
        p->o->begins(p->o->arg, last_part(d->urls[0]), d->size);
    if (local == NULL && mirror != NULL) {
        status = join(from, sizeof from, mirror, last_part(d->urls[0]), err);
        if (status != FRT_OK)
            return status;
        if (frt_fetch_is_url(mirror))
            return fetch_one(p, from, path, d->size, d->sha256, err);
        local = from;
    }
    if (local != NULL) {
        status = frt_pull_copy(local, path, d->size, p->o->fetch.cancelled, p->o->fetch.cancelled_arg, err);
        return status == FRT_OK ? check_sum(path, local, d->sha256, err) : status;
    }
    for (uint32_t i = 0; i < d->n_urls; i++) {
        status = fetch_one(p, d->urls[i], path, d->size, d->sha256, err);
        if (status == FRT_OK || status == FRT_ECANCELLED || status == FRT_ESTORAGE_FULL ||
            status == FRT_ENOMEM || status == FRT_ECONFLICT)
            break;
    }
    return status;
}

/* What a download brings, into the pack. */
static enum frt_status unpack(struct pull *p, const struct frt_catalogue_download *d, const char *path,
                              struct frt_error *err)
{
    struct frt_zip *zip = NULL;
    char to[FRT_PULL_PATH_MAX + FRT_SPEC_PATH_MAX];
    enum frt_status status = d->is_zip ? frt_zip_open(path, &zip, err) : FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < d->n_files; i++) {
        const struct frt_catalogue_file *file = &d->files[i];
        uint64_t size = file->size;
        status = join(to, sizeof to, p->made, file->name, err);
        if (status != FRT_OK)
            break;
        if (d->is_zip)
            status = frt_zip_extract(zip, file->member, to, file->size, p->o->fetch.cancelled,
                                     p->o->fetch.cancelled_arg, &size, err);
        else if (link(path, to) != 0) /* the download stays until the pack stands */
            status = frt_pull_copy(path, to, file->size, p->o->fetch.cancelled, p->o->fetch.cancelled_arg, err);
        if (status == FRT_OK && size != file->size)
            status = frt_fail(err, FRT_EBAD_MODEL, "%s: %s has %" PRIu64 " bytes, %" PRIu64 " are right", path,
                              file->name, size, file->size);
        if (status == FRT_OK)
            status = check_sum(to, file->name, file->sha256, err);
    }
    frt_zip_close(zip);
    return status;
}

/* local: a file that is the pack's one download; NULL = fetch. */
static enum frt_status pull_entry(struct pull *p, const struct frt_catalogue_pack *pack, const char *local,
                                  struct frt_error *err)
{
    uint64_t bytes = frt_catalogue_pack_bytes(pack);
    enum frt_status status = choose_places(p, p->o->name != NULL ? p->o->name : pack->name, err);
    if (status == FRT_OK)
        status = check_free(p, pack->manifest, err);
    if (status != FRT_OK || p->out->was_there)
        return status;
    status = ask(p->o, pack->name, pack->licence, pack->licence_url, pack->non_commercial, err);
    if (status == FRT_OK)
        status = begin_work(p, err);
    for (uint32_t i = 0; i < pack->n_downloads; i++)
        for (uint32_t k = 0; pack->downloads[i].is_zip && k < pack->downloads[i].n_files; k++)
            bytes += pack->downloads[i].files[k].size;
    if (status == FRT_OK)
        status = check_room(p, bytes - frt_pull_folder_bytes(p->work, bytes), err);
    for (uint32_t i = 0; status == FRT_OK && i < pack->n_downloads; i++) {
        char path[FRT_PULL_PATH_MAX + FRT_SHA256_HEX_SIZE];
        status = join(path, sizeof path, p->work, pack->downloads[i].sha256, err);
        if (status == FRT_OK)
            status = obtain(p, &pack->downloads[i], local, path, err);
        if (status == FRT_OK)
            status = unpack(p, &pack->downloads[i], path, err);
    }
    return status == FRT_OK ? finish_work(p, pack->manifest, err) : status;
}

/* ------------------------------------------------------ packs of others */

static const char *forbidding_licence(const struct frt_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->n_models; i++)
        if (strcasestr(manifest->models[i].licence, "non-commercial") != NULL ||
            strcasestr(manifest->models[i].licence, "noncommercial") != NULL)
            return manifest->models[i].licence;
    return NULL;
}

/* Where the models of a pack come from: a folder or an archive. */
struct origin {
    const char *folder;
    struct frt_zip *zip;
};

static enum frt_status take(struct pull *p, const struct origin *origin, const char *file, uint64_t max,
                            const char *to, struct frt_error *err)
{
    char from[FRT_PULL_PATH_MAX + FRT_SPEC_PATH_MAX];
    if (origin->zip != NULL)
        return frt_zip_extract(origin->zip, file, to, max, p->o->fetch.cancelled, p->o->fetch.cancelled_arg,
                               NULL, err);
    enum frt_status status = join(from, sizeof from, origin->folder, file, err);
    return status == FRT_OK
               ? frt_pull_copy_most(from, to, max, p->o->fetch.cancelled, p->o->fetch.cancelled_arg, err)
               : status;
}

static enum frt_status take_models(struct pull *p, const struct origin *origin, struct frt_manifest *manifest,
                                   struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < manifest->n_models; i++) {
        struct frt_model_spec *spec = &manifest->models[i];
        char to[FRT_PULL_PATH_MAX + FRT_SPEC_PATH_MAX];
        status = join(to, sizeof to, p->made, spec->file, err);
        if (status != FRT_OK || access(to, F_OK) == 0)
            continue; /* two models of one file */
        char *slash = strrchr(to, '/'), digest[FRT_SHA256_HEX_SIZE];
        *slash = '\0';
        status = frt_model_folder_make(to, err);
        *slash = '/';
        if (status == FRT_OK)
            status = take(p, origin, spec->file, MAX_MODEL_BYTES, to, err);
        if (status == FRT_OK)
            status = frt_sha256_file(to, digest, err);
        if (status == FRT_OK && spec->sha256[0] != '\0' && strcmp(spec->sha256, digest) != 0)
            status = wrong_sum(spec->file, digest, spec->sha256, err);
        else if (status == FRT_OK)
            memcpy(spec->sha256, digest, sizeof spec->sha256); /* from now on it is pinned */
    }
    return status;
}

static enum frt_status pull_pack(struct pull *p, const struct origin *origin, struct frt_error *err)
{
    struct frt_manifest *manifest = NULL;
    char scratch[FRT_PULL_PATH_MAX], path[FRT_PULL_PATH_MAX + 16];
    enum frt_status status = frt_model_folder_make(p->o->packs, err);
    if (status == FRT_OK)
        status = join(scratch, sizeof scratch, p->o->packs, ".pull-XXXXXX", err);
    if (status == FRT_OK && mkdtemp(scratch) == NULL)
        status =
            frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", scratch, strerror(errno));
    if (status != FRT_OK)
        return status;
    (void)snprintf(path, sizeof path, "%s/manifest.json", scratch);
    status = take(p, origin, "manifest.json", MAX_MANIFEST_BYTES, path, err);
    if (status == FRT_ENOTFOUND)
        status = frt_fail(
            err, FRT_EBAD_MODEL,
            "%s: holds no manifest.json, so it is no pack; 'frt models import' makes one of ONNX files",
            p->o->source);
    if (status == FRT_OK)
        status = frt_manifest_load(scratch, &manifest, err);
    frt_pull_remove_folder(scratch);
    if (status == FRT_OK)
        status = choose_places(p, p->o->name != NULL ? p->o->name : manifest->name, err);
    if (status == FRT_OK)
        status = check_free(p, NULL, err);
    if (status == FRT_OK) {
        const char *licence = forbidding_licence(manifest);
        status = ask(p->o, manifest->name, licence != NULL ? licence : "", "", licence != NULL, err);
    }
    if (status == FRT_OK)
        status = begin_work(p, err);
    if (status == FRT_OK)
        status = take_models(p, origin, manifest, err);
    if (status == FRT_OK)
        status = finish_work(p, manifest, err);
    frt_manifest_free(manifest);
    return status;
}

static enum frt_status pull_zip(struct pull *p, const char *path, struct frt_error *err)
{
    struct origin origin = {0};
    enum frt_status status = frt_zip_open(path, &origin.zip, err);
    if (status == FRT_OK)
        status = pull_pack(p, &origin, err);
    frt_zip_close(origin.zip);
    return status;
}

/* --------------------------------------------------------- what is meant */

/* The catalogue's pack whose one download has this sum. */
static const struct frt_catalogue_pack *pack_of_sum(const struct frt_catalogue *catalogue, const char *digest)
{
    for (uint32_t i = 0; i < catalogue->n_packs; i++)
        if (catalogue->packs[i].n_downloads == 1 &&
            strcmp(catalogue->packs[i].downloads[0].sha256, digest) == 0)
            return &catalogue->packs[i];
    return NULL;
}

static const struct frt_catalogue_pack *pack_of_url(const struct frt_catalogue *catalogue, const char *url)
{
    for (uint32_t i = 0; i < catalogue->n_packs; i++)
        for (uint32_t k = 0;
             catalogue->packs[i].n_downloads == 1 && k < catalogue->packs[i].downloads[0].n_urls; k++)
            if (strcmp(catalogue->packs[i].downloads[0].urls[k], url) == 0)
                return &catalogue->packs[i];
    return NULL;
}

static enum frt_status pull_file(struct pull *p, const char *path, struct frt_error *err)
{
    struct stat st;
    char digest[FRT_SHA256_HEX_SIZE];
    if (stat(path, &st) != 0)
        return frt_fail(err, FRT_ENOTFOUND, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        const struct origin origin = {.folder = path};
        return p->o->sha256 == NULL
                   ? pull_pack(p, &origin, err)
                   : frt_fail(err, FRT_EINVAL, "--sha256 is of a file, and %s is a folder", path);
    }
    enum frt_status status = frt_sha256_file(path, digest, err);
    if (status == FRT_OK && p->o->sha256 != NULL && strcmp(digest, p->o->sha256) != 0)
        status = wrong_sum(path, digest, p->o->sha256, err);
    if (status != FRT_OK)
        return status;
    const struct frt_catalogue_pack *pack = pack_of_sum(p->o->catalogue, digest);
    if (pack != NULL)
        return pull_entry(p, pack, path, err);
    if (!frt_zip_is(path))
        return frt_fail(
            err, FRT_EBAD_MODEL,
            "%s: no zip archive, and no file of the catalogue (its SHA-256 is %s); for an ONNX file "
            "'frt models import %s' is right",
            path, digest, path);
    return pull_zip(p, path, err);
}

static enum frt_status pull_url(struct pull *p, const char *url, struct frt_error *err)
{
    const struct frt_catalogue_pack *pack = pack_of_url(p->o->catalogue, url);
    const char *sum = p->o->sha256;
    char hidden[FRT_SHA256_HEX_SIZE + 16], path[FRT_PULL_PATH_MAX + 16];
    if (pack != NULL)
        return sum == NULL || strcmp(pack->downloads[0].sha256, sum) == 0
                   ? pull_entry(p, pack, NULL, err)
                   : frt_fail(err, FRT_EINVAL, "%s: the catalogue says SHA-256 %s", url,
                              pack->downloads[0].sha256);
    if (sum == NULL)
        return frt_fail(
            err, FRT_EINVAL,
            "%s is not in the catalogue: say with --sha256 which bytes you expect there; whoever made the "
            "pack can tell ('sha256sum FILE')",
            url);
    pack = pack_of_sum(p->o->catalogue, sum);
    (void)snprintf(hidden, sizeof hidden, ".pull-%.16s", sum);
    enum frt_status status = join(p->fetched, sizeof p->fetched, p->o->packs, hidden, err);
    if (status == FRT_OK && pack != NULL)
        status = ask(p->o, pack->name, pack->licence, pack->licence_url, pack->non_commercial, err);
    if (status == FRT_OK)
        status = frt_model_folder_make(p->fetched, err);
    if (status != FRT_OK)
        return status;
    (void)snprintf(path, sizeof path, "%s/file", p->fetched);
    if (p->o->begins != NULL)
        p->o->begins(p->o->arg, last_part(url), pack != NULL ? pack->downloads[0].size : 0);
    if (check_sum(path, path, sum, NULL) != FRT_OK)
        status = fetch_one(p, url, path, pack != NULL ? pack->downloads[0].size : 0, sum, err);
    if (status == FRT_OK)
        status = pull_file(p, path, err);
    if (status == FRT_OK)
        frt_pull_remove_folder(p->fetched);
    return status;
}

enum frt_status frt_pull(const struct frt_pull_options *options, struct frt_pull_result *out,
                         struct frt_error *err)
{
    const struct frt_catalogue_pack *pack = NULL;
    struct stat st;
    const char *source = options->source;
    if (options->sha256 != NULL &&
        (strlen(options->sha256) != 64 || strspn(options->sha256, "0123456789abcdef") != 64))
        return frt_fail(err, FRT_EINVAL, "--sha256 would be right with 64 digits of 0-9a-f");
    struct pull *p = frt_alloc_zero(1, sizeof *p);
    if (p == NULL)
        return frt_fail_nomem(err, "a download");
    p->o = options;
    p->out = out;
    *out = (struct frt_pull_result){0};
    enum frt_status status;
    if (frt_fetch_is_url(source))
        status = pull_url(p, source, err);
    else if (strchr(source, '/') != NULL)
        status = pull_file(p, source, err);
    else if (frt_catalogue_find(options->catalogue, source, &pack, NULL) == FRT_OK)
        status = options->sha256 == NULL
                     ? pull_entry(p, pack, NULL, err)
                     : frt_fail(err, FRT_EINVAL,
                                "--sha256 is of a file or an address; the catalogue knows %s's", source);
    else if (stat(source, &st) == 0)
        status = pull_file(p, source, err);
    else
        status = frt_catalogue_find(options->catalogue, source, &pack, err);
    if (status != FRT_OK && status != FRT_ECANCELLED && is_cancelled(options))
        status = frt_fail(err, FRT_ECANCELLED, "cancelled; the same command goes on with it");
    frt_free(p);
    return status;
}
