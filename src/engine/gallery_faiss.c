/*
 * Import and export of the older service's folders. See gallery_faiss.h.
 *
 *     <collection>.index ─ frt_faiss_file_read ─┐
 *                                               ├─ a batch of faces ─ store, one transaction
 *     <collection>.json ── a list, item by item ┘
 *
 * The list is read item by item: as one document, the faces of a large collection would be more values than the
 * JSON reader takes. Memory: one batch.
 */
#include "engine/gallery_faiss.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json_read.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "engine/gallery_state.h"
#include "index/faiss_files.h"

enum { BATCH = 500, MAX_LISTED = 1000, MAX_ITEM = 64 * 1024, MAX_FOLDER_FILES = 100000 };
static const float older_threshold = 0.30f; /* a distance; docs/api.md */

void frt_faiss_import_report_deinit(struct frt_faiss_import_report *report)
{
    frt_free(report->rejected);
    report->rejected = NULL;
    report->n_listed = 0;
}

/* ------------------------------------------------- the list beside the file */

/* Items of a JSON array, one by one. */
struct list {
    FILE *file;
    const char *path;
    struct frt_buf item;
    uint64_t offset;
    bool begun, ended;
};

static enum frt_status list_error(const struct list *list, const char *what, struct frt_error *err)
{
    return frt_fail(err, FRT_EBAD_REQUEST,
                    "%s: %s (byte %llu); a list of {\"id\", \"collection_name\", "
                    "\"at_threshold\"} is right",
                    list->path, what, (unsigned long long)list->offset);
}

static int next_byte(struct list *list)
{
    const int c = getc_unlocked(list->file);
    list->offset += c != EOF;
    return c;
}

static int next_visible(struct list *list)
{
    int c = next_byte(list);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        c = next_byte(list);
    return c;
}

/* The text of the next item in list->item; empty at the end. Items are objects. */
static enum frt_status next_item(struct list *list, struct frt_error *err)
{
    int depth = 0;
    bool quoted = false, escaped = false;
    frt_buf_clear(&list->item);
    int c = next_visible(list);
    if (!list->begun) {
        if (c != '[')
            return list_error(list, "no list", err);
        c = next_visible(list);
    } else if (c == ',') {
        c = next_visible(list);
        if (c == ']')
            return list_error(list, "a comma without an item", err);
    } else if (c != ']') {
        return list_error(list, "no comma between two items", err);
    }
    list->begun = true;
    if (c == ']') {
        list->ended = true;
        return next_visible(list) == EOF ? FRT_OK : list_error(list, "text behind the list", err);
    }
    if (c != '{')
        return list_error(list, "an item that is no object", err);
    for (; c != EOF; c = next_byte(list)) {
        frt_buf_append_char(&list->item, (char)c);
        if (frt_buf_status(&list->item) != FRT_OK)
            return frt_buf_status(&list->item) == FRT_ENOMEM ? frt_fail_nomem(err, "a list")
                                                             : list_error(list, "an item over 64 KiB", err);
        if (quoted) {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return FRT_OK;
        }
    }
    return list_error(list, "the file is cut short", err);
}

/* ------------------------------------------------------------------ import */

struct import {
    struct frt_gallery *gallery;
    const struct frt_faiss_import_options *options;
    struct frt_faiss_import_report *report;
    const char *collection;
    struct frt_faiss_file *file;
    struct list list;
    uint32_t dim;
    uint64_t n, position; /* faces of the file; the next one's place */
    float *vectors;       /* f32[BATCH][dim] */
    struct frt_store_face rows[BATCH];
    char *ids[BATCH]; /* owned */
    uint64_t positions[BATCH];
    enum frt_status refused[BATCH];
    struct frt_error reasons[BATCH];
    size_t n_rows;
};

static void reject(struct import *import, uint64_t position, enum frt_status status, const char *text)
{
    struct frt_faiss_import_report *r = import->report;
    r->n_rejected++;
    if (r->n_listed == MAX_LISTED)
        return;
    struct frt_faiss_import_rejection *one = &r->rejected[r->n_listed++];
    one->position = position;
    one->status = status;
    (void)snprintf(one->collection, sizeof one->collection, "%s", import->collection);
    (void)snprintf(one->text, sizeof one->text, "%.*s", (int)sizeof one->text - 1, text);
}

static void drop_rows(struct import *import)
{
    for (size_t i = 0; i < import->n_rows; i++)
        frt_free(import->ids[i]);
    import->n_rows = 0;
}

static enum frt_status commit(struct import *import, struct frt_error *err)
{
    const struct frt_store_add add = {.collection = import->collection,
                                      .model = import->options->model,
                                      .dim = import->dim,
                                      .faces = import->rows,
                                      .n = import->n_rows,
                                      .rejected = import->refused,
                                      .reasons = import->reasons};
    if (import->n_rows == 0)
        return FRT_OK;
    memset(import->refused, 0, sizeof import->refused);
    enum frt_status status = frt_store_faces_add(import->gallery->store, &add, NULL, NULL, NULL, err);
    for (size_t i = 0; i < import->n_rows && status == FRT_OK; i++) {
        if (import->refused[i] == FRT_OK)
            import->report->imported++;
        else if (import->refused[i] == FRT_ECONFLICT)
            import->report->already++;
        else
            reject(import, import->positions[i], import->refused[i], import->reasons[i].text);
    }
    drop_rows(import);
    return status;
}

/* Length 1, or false: nothing that has a direction. */
static bool normalise(float *vector, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)vector[i] * (double)vector[i];
    const double length = sqrt(sum);
    if (!(length > 1e-6) || !isfinite(length)) /* NaN, too */
        return false;
    for (uint32_t i = 0; i < dim; i++)
        vector[i] = (float)((double)vector[i] / length);
    return true;
}

/* The item's face joins the batch, or is rejected. vector: where its vector lies in the batch. */
static enum frt_status take_face(struct import *import, float *vector, struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_error why = {0};
    const uint64_t position = import->position++;
    import->report->faces++;
    enum frt_status status = frt_json_parse(import->list.item.data, import->list.item.size, &json, &why);
    const struct frt_json_value *root = status == FRT_OK ? frt_json_root(json) : NULL;
    const char *id = frt_json_text(frt_json_get(root, "id"));
    const char *collection = frt_json_text(frt_json_get(root, "collection_name"));
    const struct frt_json_value *threshold = frt_json_get(root, "at_threshold");
    const double distance = frt_json_double(threshold, NAN);
    if (status != FRT_OK)
        goto done;
    if (id == NULL || id[0] == '\0')
        status = frt_fail(&why, FRT_EBAD_REQUEST, "id is missing; a text is right");
    else if (collection != NULL && strcmp(collection, import->collection) != 0)
        status = frt_fail(&why, FRT_EBAD_REQUEST, "collection_name is '%.128s', the file's is '%.128s'",
                          collection, import->collection);
    else if (threshold != NULL && !frt_json_is_null(threshold) && !(distance >= 0 && distance <= 1))
        status = frt_fail(&why, FRT_EBAD_REQUEST, "at_threshold is no distance; 0 to 1 is right");
    else if (!normalise(vector, import->dim))
        status = frt_fail(&why, FRT_EBAD_REQUEST, "the vector has no direction, or is not finite");
    if (status != FRT_OK)
        goto done;
    const size_t at = import->n_rows;
    import->ids[at] = frt_strdup(id);
    if (import->ids[at] == NULL) {
        status = FRT_ENOMEM;
        goto done;
    }
    import->positions[at] = position;
    import->rows[at] = (struct frt_store_face){.face_id = import->ids[at],
                                               .subject = import->ids[at],
                                               .embedding = vector,
                                               .metadata = "",
                                               .quality = NAN,
                                               .threshold = (float)(1 - 2 * distance)};
    import->n_rows++;
done:
    frt_json_free(json);
    if (status == FRT_ENOMEM)
        return frt_fail_nomem(err, "an import");
    if (status != FRT_OK)
        reject(import, position, status, why.text);
    return FRT_OK;
}

static enum frt_status import_faces(struct import *import, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    while (import->position < import->n && status == FRT_OK) {
        const uint64_t first = import->position;
        const size_t n = import->n - first < BATCH ? (size_t)(import->n - first) : BATCH;
        status = frt_faiss_file_read(import->file, first, n, import->vectors, err);
        for (size_t i = 0; i < n && status == FRT_OK; i++) {
            status = next_item(&import->list, err);
            if (status == FRT_OK && import->list.ended)
                status = frt_fail(err, FRT_EBAD_REQUEST, "%s lists %llu faces; the index beside it has %llu",
                                  import->list.path, (unsigned long long)import->position,
                                  (unsigned long long)import->n);
            if (status == FRT_OK)
                status = take_face(import, import->vectors + i * import->dim, err);
        }
        if (status == FRT_OK)
            status = commit(import, err);
        if (status == FRT_OK && import->options->progress != NULL &&
            !import->options->progress(import->options->arg, import->collection, import->position, import->n))
            status = frt_fail(err, FRT_ECANCELLED, "the import was cancelled");
    }
    if (status == FRT_OK)
        status = next_item(&import->list, err);
    if (status == FRT_OK && !import->list.ended)
        status = frt_fail(err, FRT_EBAD_REQUEST, "%s lists more faces than the %llu of the index beside it",
                          import->list.path, (unsigned long long)import->n);
    return status;
}

/* Does the collection take vectors like these? It is made when it is not there. */
static enum frt_status prepare_collection(struct import *import, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    bool created;
    enum frt_status status = gallery_collection(import->gallery, import->collection, &page, &row, err);
    if (status == FRT_ECOLLECTION_NOT_FOUND)
        return frt_collection_put(import->gallery, import->collection, NULL, &created, err);
    if (status == FRT_OK && row.dim != 0 &&
        (row.dim != import->dim || strcmp(row.model, import->options->model) != 0))
        status = frt_fail(err, FRT_EMODEL_MISMATCH,
                          "collection '%.128s' holds embeddings of %s (%u dimensions); these are of %s (%u)",
                          import->collection, row.model, row.dim, import->options->model, import->dim);
    frt_store_page_free(page);
    return status;
}

static enum frt_status import_collection(struct frt_gallery *gallery, const char *folder, const char *name,
                                         const struct frt_faiss_import_options *options,
                                         struct frt_faiss_import_report *report, struct frt_error *err)
{
    char path[4096];
    struct import *import = frt_alloc_zero(1, sizeof *import);
    enum frt_status status;
    if (import == NULL)
        return frt_fail_nomem(err, "an import");
    *import = (struct import){.gallery = gallery, .options = options, .report = report, .collection = name};
    frt_buf_init(&import->list.item, MAX_ITEM);
    const int size = snprintf(path, sizeof path, "%s/%s.index", folder, name);
    if (size < 0 || (size_t)size >= sizeof path) {
        status = frt_fail(err, FRT_EINVAL, "the folder's path is too long");
        goto done;
    }
    status = frt_faiss_file_open(path, &import->file, &import->dim, &import->n, err);
    if (status != FRT_OK)
        goto done;
    (void)snprintf(path, sizeof path, "%s/%s.json", folder, name);
    import->list.path = path;
    import->list.file = fopen(path, "rbe");
    if (import->list.file == NULL) {
        status =
            frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO,
                     "%s: %s; the list of the faces' ids must stand beside the index", path, strerror(errno));
        goto done;
    }
    import->vectors = frt_alloc_array((size_t)BATCH * import->dim, sizeof *import->vectors);
    if (import->vectors == NULL) {
        status = frt_fail_nomem(err, "an import");
        goto done;
    }
    status = prepare_collection(import, err);
    if (status == FRT_OK) {
        report->collections++;
        status = import_faces(import, err);
    }
done:
    drop_rows(import);
    frt_buf_deinit(&import->list.item);
    if (import->list.file != NULL)
        (void)fclose(import->list.file);
    frt_faiss_file_close(import->file);
    frt_free(import->vectors);
    frt_free(import);
    return status;
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Names of the collections of a folder, sorted. */
static enum frt_status list_folder(const char *folder, char ***out, size_t *n_out, struct frt_error *err)
{
    char **names = NULL;
    size_t n = 0, room = 0;
    enum frt_status status = FRT_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return frt_fail(err, errno == ENOENT || errno == ENOTDIR ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", folder,
                        strerror(errno));
    for (const struct dirent *e = readdir(dir); e != NULL && status == FRT_OK; e = readdir(dir)) {
        const size_t size = strlen(e->d_name);
        if (size < 7 || strcmp(e->d_name + size - 6, ".index") != 0 || e->d_name[0] == '.')
            continue;
        if (n == MAX_FOLDER_FILES) {
            status = frt_fail(err, FRT_EINVAL, "%s holds more than %d index files", folder, MAX_FOLDER_FILES);
            break;
        }
        if (n == room) {
            const size_t more = room == 0 ? 64 : room * 2;
            char **grown = frt_realloc(names, more * sizeof(char *));
            if (grown == NULL) {
                status = frt_fail_nomem(err, "a folder");
                break;
            }
            names = grown;
            room = more;
        }
        names[n] = frt_strndup(e->d_name, size - 6);
        if (names[n] == NULL)
            status = frt_fail_nomem(err, "a folder");
        else
            n++;
    }
    (void)closedir(dir);
    if (n > 0)
        qsort(names, n, sizeof *names, by_text);
    *out = names;
    *n_out = n;
    return status;
}

enum frt_status frt_gallery_import_faiss(struct frt_gallery *gallery, const char *folder,
                                         const struct frt_faiss_import_options *options,
                                         struct frt_faiss_import_report *report, struct frt_error *err)
{
    char **names = NULL;
    size_t n = 0;
    bool found = false;
    enum frt_status status = FRT_OK;
    *report = (struct frt_faiss_import_report){0};
    if (options->model == NULL || options->model[0] == '\0' || strlen(options->model) > FRT_STORE_MODEL_MAX)
        return frt_fail(err, FRT_EINVAL,
                        "the model that made the vectors must be said: a FAISS file does not know it");
    report->rejected = frt_alloc_array(MAX_LISTED, sizeof *report->rejected);
    if (report->rejected == NULL)
        return frt_fail_nomem(err, "an import");
    status = list_folder(folder, &names, &n, err);
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        if (options->collection != NULL && strcmp(options->collection, names[i]) != 0)
            continue;
        found = true;
        status = import_collection(gallery, folder, names[i], options, report, err);
    }
    if (status == FRT_OK && !found)
        status = frt_fail(err, FRT_ENOTFOUND, "%s holds no %.128s.index", folder,
                          options->collection != NULL ? options->collection : "<collection>");
    for (size_t i = 0; i < n; i++)
        frt_free(names[i]);
    frt_free(names);
    return status;
}

/* ------------------------------------------------------------------ export */

struct export
{
    struct frt_faiss_writer *writer;
    FILE *list;
    char index_path[4096], list_path[4096], temporary[4200];
};

static enum frt_status put_item(struct export *export, const struct frt_store_face *face, bool first_of_subject,
                                bool first, const char *collection, struct frt_error *err)
{
    struct frt_buf text;
    struct frt_json_writer w;
    char id[FRT_STORE_SUBJECT_MAX + FRT_STORE_FACE_ID_MAX + 2];
    (void)snprintf(id, sizeof id, "%s%s%s", face->subject, first_of_subject ? "" : "#",
                   first_of_subject ? "" : face->face_id);
    frt_buf_init(&text, MAX_ITEM);
    frt_json_writer_init(&w, &text, false);
    frt_json_object(&w);
    frt_json_key(&w, "id");
    frt_json_string(&w, id);
    frt_json_key(&w, "collection_name");
    frt_json_string(&w, collection);
    frt_json_key(&w, "at_threshold");
    /* to six decimals: 0.2 comes back as 0.2, not as a little less */
    frt_json_fixed(&w, isnan(face->threshold) ? (double)older_threshold : (1 - (double)face->threshold) / 2, 6);
    frt_json_end(&w);
    enum frt_status status = frt_buf_status(&text);
    if (status != FRT_OK)
        status = frt_fail_nomem(err, "an export");
    else if (fputs(first ? "[" : ",", export->list) < 0 ||
             fwrite(text.data, 1, text.size, export->list) != text.size)
        status = frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", export->list_path,
                          strerror(errno));
    frt_buf_deinit(&text);
    return status;
}

/* Which faces are the first of their subject: a set of subject keys, by open addressing. */
struct seen {
    uint64_t *slots;
    size_t room, n;
};

static bool first_time(struct seen *seen, uint64_t key)
{
    size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15)) & (seen->room - 1);
    while (seen->slots[at] != 0 && seen->slots[at] != key)
        at = (at + 1) & (seen->room - 1);
    if (seen->slots[at] == key)
        return false;
    seen->slots[at] = key;
    seen->n++;
    return true;
}

static enum frt_status seen_grow(struct seen *seen, struct frt_error *err)
{
    struct seen larger = {.room = seen->room == 0 ? 4096 : seen->room * 2};
    if (seen->n * 2 + BATCH < seen->room)
        return FRT_OK;
    larger.slots = frt_alloc_zero(larger.room, sizeof *larger.slots);
    if (larger.slots == NULL)
        return frt_fail_nomem(err, "an export");
    for (size_t i = 0; i < seen->room; i++) {
        if (seen->slots[i] != 0)
            (void)first_time(&larger, seen->slots[i]);
    }
    frt_free(seen->slots);
    *seen = larger;
    return FRT_OK;
}

static enum frt_status put_faces(struct frt_gallery *gallery, struct export *export, const char *collection,
                                 uint64_t *faces, struct frt_error *err)
{
    struct seen seen = {0};
    uint64_t after = 0, count = 0;
    enum frt_status status = FRT_OK;
    for (bool more = true; more && status == FRT_OK;) {
        struct frt_store_page *page = NULL;
        size_t n = 0;
        status = seen_grow(&seen, err);
        if (status == FRT_OK)
            status = frt_store_faces_list(gallery->store, collection, NULL, after, BATCH, true, &page, err);
        const struct frt_store_face *rows = status == FRT_OK ? frt_store_page_faces(page, &n) : NULL;
        for (size_t i = 0; i < n && status == FRT_OK; i++) {
            status =
                put_item(export, &rows[i], first_time(&seen, rows[i].subject_key), count == 0, collection, err);
            if (status == FRT_OK)
                status = frt_faiss_writer_add(export->writer, 1, rows[i].embedding, err);
            after = rows[i].key;
            count++;
        }
        more = n == BATCH;
        frt_store_page_free(page);
    }
    frt_free(seen.slots);
    if (status == FRT_OK)
        *faces = count;
    return status;
}

enum frt_status frt_gallery_export_faiss(struct frt_gallery *gallery, const char *collection,
                                         const char *folder, uint64_t *faces, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    struct export export = {0};
    uint64_t count = 0;
    enum frt_status status = gallery_collection(gallery, collection, &page, &row, err);
    if (status != FRT_OK)
        return status;
    if (row.dim == 0 || row.faces == 0) {
        status = frt_fail(err, FRT_EINVAL, "collection '%.128s' has no face to export", collection);
        goto done;
    }
    const int size = snprintf(export.list_path, sizeof export.list_path, "%s/%s.json", folder, row.name);
    if (size < 0 || (size_t)size >= sizeof export.list_path - 8) {
        status = frt_fail(err, FRT_EINVAL, "the folder's path is too long");
        goto done;
    }
    (void)snprintf(export.index_path, sizeof export.index_path, "%s/%s.index", folder, row.name);
    (void)snprintf(export.temporary, sizeof export.temporary, "%s.XXXXXX", export.list_path);
    status = frt_faiss_writer_open(export.index_path, row.dim, &export.writer, err);
    if (status != FRT_OK)
        goto done;
    const int fd = mkstemp(export.temporary);
    export.list = fd < 0 ? NULL : fdopen(fd, "wb");
    if (export.list == NULL) {
        if (fd >= 0)
            (void)close(fd);
        else
            export.temporary[0] = '\0';
        status = frt_fail(err, FRT_EIO, "%s: %s", export.list_path, strerror(errno));
        goto done;
    }
    status = put_faces(gallery, &export, row.name, &count, err);
    if (status == FRT_OK && count == 0)
        status = frt_fail(err, FRT_EINVAL, "collection '%.128s' has no face to export", collection);
    if (status == FRT_OK &&
        (fputs("]\n", export.list) < 0 || fflush(export.list) != 0 || fsync(fileno(export.list)) != 0))
        status = frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", export.list_path,
                          strerror(errno));
    if (status == FRT_OK)
        status = frt_faiss_writer_finish(export.writer, err);
    if (status == FRT_OK && rename(export.temporary, export.list_path) != 0)
        status = frt_fail(err, FRT_EIO, "%s: %s", export.list_path, strerror(errno));
    else if (status == FRT_OK)
        export.temporary[0] = '\0';
    if (status == FRT_OK && faces != NULL)
        *faces = count;
done:
    if (export.list != NULL) {
        (void)fclose(export.list);
        if (export.temporary[0] != '\0')
            (void)unlink(export.temporary);
    }
    frt_faiss_writer_free(export.writer);
    frt_store_page_free(page);
    return status;
}
