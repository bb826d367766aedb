#include "model/catalogue.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json_read.h"
#include "core/mem.h"
#include "core/suggest.h"
#include "model/catalogue_data.h"
#include "model/fetch.h"
#include "model/model_file.h"

enum { MAX_CATALOGUE_BYTES = 4 << 20, FORMAT_VERSION = 1 };
static const double MAX_FILE_BYTES = 4294967296.0;

/* Where: "pack 2 (name)", for texts. */
struct where {
    char text[96];
};

static enum frt_status wrong(const struct where *where, const char *key, const char *right,
                             struct frt_error *err)
{
    return frt_fail(err, FRT_EBAD_MODEL, "catalogue, %s: \"%s\" is missing or another value; %s would be right",
                    where->text, key, right);
}

static enum frt_status only_keys(const struct frt_json_value *object, const struct where *where,
                                 const char *const *keys, size_t n, struct frt_error *err)
{
    if (!frt_json_is_object(object))
        return frt_fail(err, FRT_EBAD_MODEL, "catalogue, %s: an object would be right", where->text);
    for (const struct frt_json_value *m = frt_json_first(object); m != NULL; m = frt_json_next(m)) {
        size_t i = 0;
        while (i < n && strcmp(frt_json_key_of(m), keys[i]) != 0)
            i++;
        if (i == n)
            return frt_fail(err, FRT_EBAD_MODEL, "catalogue, %s: unknown key \"%s\"", where->text,
                            frt_json_key_of(m));
    }
    return FRT_OK;
}

/* Words that go onto a terminal. */
static bool plain_text(const char *text)
{
    for (const char *c = text; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return text != NULL && text[0] != '\0';
}

static enum frt_status read_text(const struct frt_json_value *object, const struct where *where,
                                 const char *key, const char **out, struct frt_error *err)
{
    const char *text = frt_json_text(frt_json_get(object, key));
    if (!plain_text(text))
        return wrong(where, key, "a text", err);
    *out = text;
    return FRT_OK;
}

static bool plain_name(const char *name)
{
    return plain_text(name) && strlen(name) < FRT_SPEC_PATH_MAX && strchr(name, '/') == NULL &&
           strchr(name, '\\') == NULL && name[0] != '.' && strcmp(name, "manifest.json") != 0;
}

static enum frt_status read_pin(const struct frt_json_value *object, const struct where *where, uint64_t *size,
                                char sha256[FRT_SHA256_HEX_SIZE], struct frt_error *err)
{
    const char *sum = frt_json_text(frt_json_get(object, "sha256"));
    double number = frt_json_double(frt_json_get(object, "size"), NAN);
    if (sum == NULL || strlen(sum) != 64 || strspn(sum, "0123456789abcdef") != 64)
        return wrong(where, "sha256", "the file's 64 digits of 0-9a-f", err);
    if (!(number >= 1 && number <= MAX_FILE_BYTES) || number != floor(number))
        return wrong(where, "size", "its bytes, 1 to 4294967296,", err);
    *size = (uint64_t)number;
    memcpy(sha256, sum, FRT_SHA256_HEX_SIZE);
    return FRT_OK;
}

static enum frt_status read_urls(const struct frt_json_value *list, const struct where *where,
                                 struct frt_catalogue_download *out, struct frt_error *err)
{
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v)) {
        const char *url = frt_json_text(v);
        if (out->n_urls == FRT_CATALOGUE_MAX_URLS || !plain_text(url) || !frt_fetch_is_url(url))
            return wrong(where, "urls", "1 to 4 addresses", err);
        out->urls[out->n_urls++] = url;
    }
    return frt_json_is_array(list) && out->n_urls > 0 ? FRT_OK : wrong(where, "urls", "1 to 4 addresses", err);
}

static enum frt_status read_members(const struct frt_json_value *list, const struct where *where,
                                    struct frt_catalogue_download *out, struct frt_error *err)
{
    static const char *const keys[] = {"member", "file", "size", "sha256"};
    enum frt_status status = FRT_OK;
    for (const struct frt_json_value *v = frt_json_first(list); status == FRT_OK && v != NULL;
         v = frt_json_next(v)) {
        if (out->n_files == FRT_CATALOGUE_MAX_FILES)
            return wrong(where, "members", "1 to 16 files", err);
        struct frt_catalogue_file *file = &out->files[out->n_files++];
        const char *member = "", *name = frt_json_text(frt_json_get(v, "file"));
        status = only_keys(v, where, keys, sizeof keys / sizeof *keys, err);
        if (status == FRT_OK)
            status = read_text(v, where, "member", &member, err);
        if (status == FRT_OK && (!plain_name(name) || strlen(member) >= sizeof file->member))
            status = wrong(where, "file", "a file name", err);
        if (status == FRT_OK)
            status = read_pin(v, where, &file->size, file->sha256, err);
        if (status == FRT_OK) {
            (void)snprintf(file->name, sizeof file->name, "%s", name);
            (void)snprintf(file->member, sizeof file->member, "%s", member);
        }
    }
    if (status == FRT_OK && out->n_files == 0)
        status = wrong(where, "members", "1 to 16 files", err);
    return status;
}

static enum frt_status read_download(const struct frt_json_value *v, const struct where *where,
                                     struct frt_catalogue_download *out, struct frt_error *err)
{
    static const char *const keys[] = {"urls", "size", "sha256", "file", "archive", "members"};
    enum frt_status status = only_keys(v, where, keys, sizeof keys / sizeof *keys, err);
    if (status == FRT_OK)
        status = read_urls(frt_json_get(v, "urls"), where, out, err);
    if (status == FRT_OK)
        status = read_pin(v, where, &out->size, out->sha256, err);
    if (status != FRT_OK)
        return status;
    const char *archive = frt_json_text(frt_json_get(v, "archive"));
    const char *name = frt_json_text(frt_json_get(v, "file"));
    out->is_zip = archive != NULL;
    if (out->is_zip)
        return strcmp(archive, "zip") == 0 && name == NULL
                   ? read_members(frt_json_get(v, "members"), where, out, err)
                   : wrong(where, "archive", "\"zip\" with \"members\" and without \"file\"", err);
    if (!plain_name(name) || frt_json_get(v, "members") != NULL)
        return wrong(where, "file", "a file name", err);
    struct frt_catalogue_file *file = &out->files[out->n_files++];
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    file->size = out->size;
    memcpy(file->sha256, out->sha256, sizeof file->sha256);
    return FRT_OK;
}

static const struct frt_catalogue_file *file_named(const struct frt_catalogue_pack *pack, const char *name,
                                                   uint32_t *count)
{
    const struct frt_catalogue_file *found = NULL;
    *count = 0;
    for (uint32_t i = 0; i < pack->n_downloads; i++)
        for (uint32_t k = 0; k < pack->downloads[i].n_files; k++)
            if (strcmp(pack->downloads[i].files[k].name, name) == 0) {
                found = &pack->downloads[i].files[k];
                ++*count;
            }
    return found;
}

/* Manifest and files speak of the same: each model's file is fetched, once, and pinned to the sum of the
 * fetched. */
static enum frt_status match_files(struct frt_catalogue_pack *pack, const struct where *where,
                                   struct frt_error *err)
{
    uint32_t count;
    for (uint32_t i = 0; i < pack->manifest->n_models; i++) {
        struct frt_model_spec *spec = &pack->manifest->models[i];
        const struct frt_catalogue_file *file = file_named(pack, spec->file, &count);
        if (file == NULL)
            return frt_fail(err, FRT_EBAD_MODEL, "catalogue, %s: no download brings %s", where->text,
                            spec->file);
        if (spec->sha256[0] != '\0' && strcmp(spec->sha256, file->sha256) != 0)
            return frt_fail(err, FRT_EBAD_MODEL, "catalogue, %s: two sums for %s", where->text, spec->file);
        memcpy(spec->sha256, file->sha256, sizeof spec->sha256);
    }
    for (uint32_t i = 0; i < pack->n_downloads; i++)
        for (uint32_t k = 0; k < pack->downloads[i].n_files; k++)
            if (file_named(pack, pack->downloads[i].files[k].name, &count) != NULL && count > 1)
                return frt_fail(err, FRT_EBAD_MODEL, "catalogue, %s: two files named %s", where->text,
                                pack->downloads[i].files[k].name);
    return FRT_OK;
}

static enum frt_status read_pack(const struct frt_json_value *v, uint32_t number,
                                 struct frt_catalogue_pack *out, struct frt_error *err)
{
    static const char *const keys[] = {"name",           "summary",   "licence", "licence_url",
                                       "non_commercial", "downloads", "manifest"};
    const struct frt_json_value *downloads = frt_json_get(v, "downloads"),
                                *non_commercial = frt_json_get(v, "non_commercial");
    struct where where;
    (void)snprintf(where.text, sizeof where.text, "pack %u", number);
    enum frt_status status = only_keys(v, &where, keys, sizeof keys / sizeof *keys, err);
    if (status == FRT_OK)
        status = read_text(v, &where, "name", &out->name, err);
    if (status == FRT_OK && (!plain_name(out->name) || strlen(out->name) >= FRT_SPEC_NAME_MAX))
        status = wrong(&where, "name", "a plain word", err);
    if (status != FRT_OK)
        return status;
    (void)snprintf(where.text, sizeof where.text, "pack %u (%.60s)", number, out->name);
    status = read_text(v, &where, "summary", &out->summary, err);
    if (status == FRT_OK)
        status = read_text(v, &where, "licence", &out->licence, err);
    if (status == FRT_OK)
        status = read_text(v, &where, "licence_url", &out->licence_url, err);
    if (status == FRT_OK && !frt_json_is_bool(non_commercial))
        status = wrong(&where, "non_commercial", "true or false", err);
    out->non_commercial = frt_json_truth(non_commercial, true);
    size_t n = frt_json_count(downloads);
    if (status == FRT_OK && (!frt_json_is_array(downloads) || n < 1 || n > FRT_CATALOGUE_MAX_FILES))
        status = wrong(&where, "downloads", "1 to 16 downloads", err);
    if (status != FRT_OK)
        return status;
    out->downloads = frt_alloc_zero(n, sizeof *out->downloads);
    if (out->downloads == NULL)
        return frt_fail_nomem(err, "a catalogue");
    for (const struct frt_json_value *d = frt_json_first(downloads); status == FRT_OK && d != NULL;
         d = frt_json_next(d))
        status = read_download(d, &where, &out->downloads[out->n_downloads++], err);
    if (status == FRT_OK) {
        status = frt_manifest_from_json(frt_json_get(v, "manifest"), &out->manifest, err);
        if (status != FRT_OK)
            status = frt_fail_within(err, status, "catalogue, %s", where.text);
    }
    if (status == FRT_OK)
        status = match_files(out, &where, err);
    return status;
}

static enum frt_status read_catalogue(const struct frt_json_value *root, struct frt_catalogue *out,
                                      struct frt_error *err)
{
    static const char *const keys[] = {"format", "format_version", "packs"};
    const struct where top = {"top level"};
    const char *format = frt_json_text(frt_json_get(root, "format"));
    enum frt_status status = only_keys(root, &top, keys, sizeof keys / sizeof *keys, err);
    if (status == FRT_OK && (format == NULL || strcmp(format, "frt-catalogue") != 0))
        status = wrong(&top, "format", "\"frt-catalogue\"", err);
    if (status == FRT_OK && frt_json_double(frt_json_get(root, "format_version"), 0) != FORMAT_VERSION)
        status = wrong(&top, "format_version", "1", err);
    if (status == FRT_OK && !frt_json_is_array(frt_json_get(root, "packs")))
        status = wrong(&top, "packs", "a list of packs", err);
    for (const struct frt_json_value *v = frt_json_first(frt_json_get(root, "packs"));
         status == FRT_OK && v != NULL; v = frt_json_next(v)) {
        if (out->n_packs == FRT_CATALOGUE_MAX_PACKS)
            return wrong(&top, "packs", "at most 64 packs", err);
        struct frt_catalogue_pack *pack = &out->packs[out->n_packs++]; /* counted first: freed on failure */
        status = read_pack(v, out->n_packs, pack, err);
        for (uint32_t i = 0; status == FRT_OK && i + 1 < out->n_packs; i++)
            if (strcmp(out->packs[i].name, pack->name) == 0)
                status = frt_fail(err, FRT_EBAD_MODEL, "catalogue: two packs are named \"%s\"", pack->name);
    }
    return status;
}

enum frt_status frt_catalogue_parse(const void *bytes, size_t size, struct frt_catalogue **out,
                                    struct frt_error *err)
{
    struct frt_catalogue *catalogue = frt_alloc_zero(1, sizeof *catalogue);
    if (catalogue == NULL)
        return frt_fail_nomem(err, "a catalogue");
    enum frt_status status = frt_json_parse(bytes, size, &catalogue->json, err);
    if (status == FRT_EBAD_REQUEST)
        status = frt_fail_within(err, FRT_EBAD_MODEL, "catalogue");
    if (status == FRT_OK)
        status = read_catalogue(frt_json_root(catalogue->json), catalogue, err);
    if (status == FRT_OK)
        *out = catalogue;
    else
        frt_catalogue_free(catalogue);
    return status;
}

enum frt_status frt_catalogue_load(const char *path, struct frt_catalogue **out, struct frt_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (path == NULL)
        return frt_catalogue_parse(asset_catalogue_json, asset_catalogue_json_size, out, err);
    enum frt_status status = frt_model_file_read(path, MAX_CATALOGUE_BYTES, &bytes, &size, err);
    if (status == FRT_OK)
        status = frt_catalogue_parse(bytes, size, out, err);
    frt_free(bytes);
    return status;
}

void frt_catalogue_free(struct frt_catalogue *catalogue)
{
    if (catalogue == NULL)
        return;
    for (uint32_t i = 0; i < catalogue->n_packs; i++) {
        frt_free(catalogue->packs[i].downloads);
        frt_manifest_free(catalogue->packs[i].manifest);
    }
    frt_json_free(catalogue->json);
    frt_free(catalogue);
}

enum frt_status frt_catalogue_find(const struct frt_catalogue *catalogue, const char *name,
                                   const struct frt_catalogue_pack **out, struct frt_error *err)
{
    const char *names[FRT_CATALOGUE_MAX_PACKS];
    char list[400] = "";
    for (uint32_t i = 0; i < catalogue->n_packs; i++) {
        names[i] = catalogue->packs[i].name;
        if (strcmp(names[i], name) == 0) {
            *out = &catalogue->packs[i];
            return FRT_OK;
        }
        size_t at = strlen(list);
        (void)snprintf(list + at, sizeof list - at, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const char *meant = frt_suggest(name, names, catalogue->n_packs);
    return meant != NULL
               ? frt_fail(err, FRT_ENOTFOUND, "no pack named \"%s\"; did you mean \"%s\"?", name, meant)
               : frt_fail(err, FRT_ENOTFOUND, "no pack named \"%s\"; there are: %s", name, list);
}

uint64_t frt_catalogue_pack_bytes(const struct frt_catalogue_pack *pack)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pack->n_downloads; i++)
        bytes += pack->downloads[i].size;
    return bytes;
}
