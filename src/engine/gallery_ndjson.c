/*
 * Import and export, a face a line: docs/formats/ndjson-v1.md.
 *
 *     bytes ─ lines (a cut one waits for its rest) ─ parse ─ a batch of faces ─ store, one transaction ─ index,
 * at the end └ a bad line is rejected and told of; the others go on
 *
 * Memory: one line (at most MAX_LINE_BYTES) and one batch.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/crypto.h"
#include "core/json_read.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"
#include "engine/gallery_state.h"
#include "simd/dot.h"

enum {
    BATCH = 1000,
    MAX_LINE_BYTES = 256 * 1024, /* 4096 numbers of 25 characters, 16 KiB of metadata, and names */
    MAX_LISTED = 1000,
    DEFAULT_PAGE = 500
};

/* A face of the batch: its texts live in one block. */
struct pending {
    uint64_t line;
    char *texts;
};

struct frt_importer {
    struct frt_gallery *gallery;
    char collection[FRT_STORE_NAME_MAX + 1], model[FRT_STORE_MODEL_MAX + 1];
    uint32_t dim;
    struct frt_buf line; /* the beginning of a line that is not complete */
    bool too_long;       /* the present line is, and is passed over */
    struct frt_store_face rows[BATCH];
    struct pending pending[BATCH];
    float *embeddings; /* f32[BATCH][dim] */
    enum frt_status refused[BATCH];
    struct frt_error reasons[BATCH];
    size_t n;
    struct frt_import_rejection *listed; /* [MAX_LISTED] */
    uint64_t line_number;                /* blank ones counted */
    struct frt_import_report report;
};

/* -------------------------------------------------------------------- life */

static bool blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    }
    return true;
}

enum frt_status frt_import_begin(struct frt_gallery *gallery, const char *collection, const char *model,
                                 uint32_t dim, struct frt_importer **out, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {0};
    struct frt_importer *importer = NULL;
    enum frt_status status = gallery_collection(gallery, collection, &page, &row, err);
    if (status != FRT_OK)
        return status;
    /* the collection's own model, when nobody says another */
    const char *name = model != NULL && model[0] != '\0' ? model : row.model;
    const uint32_t size = dim != 0 ? dim : row.dim;
    if (size == 0 || size > FRT_MAX_DIM || name[0] == '\0' || strlen(name) > FRT_STORE_MODEL_MAX)
        status = frt_fail(
            err, FRT_EINVAL,
            "collection '%.128s' has no face yet: the model and dimension of the embeddings must be said",
            collection);
    else if (row.dim != 0 && (row.dim != size || strcmp(row.model, name) != 0))
        status = frt_fail(err, FRT_EMODEL_MISMATCH,
                          "collection '%.128s' holds embeddings of %s (%u dimensions); these are of %s (%u)",
                          row.name, row.model, row.dim, name, size);
    if (status == FRT_OK) {
        importer = frt_alloc_zero(1, sizeof *importer);
        if (importer != NULL) {
            importer->embeddings = frt_alloc_array(BATCH, size * sizeof *importer->embeddings);
            importer->listed = frt_alloc_array(MAX_LISTED, sizeof *importer->listed);
        }
        if (importer == NULL || importer->embeddings == NULL || importer->listed == NULL) {
            frt_importer_free(importer);
            status = frt_fail_nomem(err, "an import");
        }
    }
    if (status == FRT_OK && importer != NULL) {
        importer->gallery = gallery;
        importer->dim = size;
        (void)snprintf(importer->collection, sizeof importer->collection, "%s", collection);
        (void)snprintf(importer->model, sizeof importer->model, "%s", name);
        frt_buf_init(&importer->line, MAX_LINE_BYTES);
        *out = importer;
    }
    frt_store_page_free(page);
    return status;
}

static void drop_batch(struct frt_importer *importer)
{
    for (size_t i = 0; i < importer->n; i++)
        frt_free(importer->pending[i].texts);
    importer->n = 0;
}

void frt_importer_free(struct frt_importer *importer)
{
    if (importer == NULL)
        return;
    drop_batch(importer);
    frt_buf_deinit(&importer->line);
    frt_free(importer->embeddings);
    frt_free(importer->listed);
    frt_free(importer);
}

struct frt_import_report frt_import_report_get(const struct frt_importer *importer)
{
    struct frt_import_report report = importer->report;
    report.rejected = importer->listed;
    return report;
}

/* ------------------------------------------------------------------- lines */

static void reject(struct frt_importer *importer, uint64_t line, enum frt_status status, const char *text)
{
    struct frt_import_report *r = &importer->report;
    r->n_rejected++;
    if (r->n_listed == MAX_LISTED)
        return;
    struct frt_import_rejection *one = &importer->listed[r->n_listed++];
    one->line = line;
    one->status = status;
    (void)snprintf(one->text, sizeof one->text, "%.*s", (int)sizeof one->text - 1, text);
}

static enum frt_status read_embedding(const struct frt_importer *importer, const struct frt_json_value *value,
                                      float *out, struct frt_error *err)
{
    const uint32_t dim = importer->dim;
    const char *text = frt_json_text(value);
    if (text != NULL) {
        const size_t size = strlen(text), room = size / 4 * 3 + 3;
        char *bytes = frt_alloc(room);
        size_t n = 0;
        if (bytes == NULL)
            return frt_fail_nomem(err, "an embedding");
        enum frt_status status = frt_base64_decode(text, size, bytes, room, &n, err);
        if (status == FRT_OK && n != dim * sizeof(float))
            status = frt_fail(err, FRT_EMODEL_MISMATCH, "embedding has %zu bytes; %zu (%u numbers) are right",
                              n, dim * sizeof(float), dim);
        if (status == FRT_OK)
            memcpy(out, bytes, n);
        frt_free(bytes);
        return status;
    }
    if (!frt_json_is_array(value))
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "embedding is missing; an array of %u numbers, or base64 of as many "
                        "little-endian f32, is right",
                        dim);
    if (frt_json_count(value) != dim)
        return frt_fail(err, FRT_EMODEL_MISMATCH, "embedding has %zu numbers; %u are right",
                        frt_json_count(value), dim);
    size_t i = 0;
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
        if (!frt_json_is_number(v))
            return frt_fail(err, FRT_EBAD_REQUEST, "item %zu of embedding is no number", i);
        out[i++] = (float)frt_json_double(v, 0);
    }
    return FRT_OK;
}

/* The metadata as text again. */
static void metadata_text(const struct frt_json_value *value, struct frt_json_writer *w)
{
    if (frt_json_is_object(value) || frt_json_is_array(value)) {
        const bool object = frt_json_is_object(value);
        object ? frt_json_object(w) : frt_json_array(w);
        for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
            if (object)
                frt_json_key(w, frt_json_key_of(v));
            metadata_text(v, w);
        }
        frt_json_end(w);
    } else if (frt_json_is_string(value)) {
        frt_json_string(w, frt_json_text(value));
    } else if (frt_json_is_number(value)) {
        frt_json_number(w, frt_json_double(value, 0));
    } else if (frt_json_is_bool(value)) {
        frt_json_bool(w, frt_json_truth(value, false));
    } else {
        frt_json_null(w);
    }
}

static bool too_deep(const struct frt_json_value *value, int depth)
{
    if (depth > FRT_JSON_MAX_DEPTH - 2)
        return true;
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
        if (too_deep(v, depth + 1))
            return true;
    }
    return false;
}

static float number_of(const struct frt_json_value *object, const char *key, float fallback)
{
    return (float)frt_json_double(frt_json_get(object, key), (double)fallback);
}

/* subject \0 face id \0 metadata \0 */
static enum frt_status keep_texts(const struct frt_json_value *root, struct frt_store_face *row, char **texts,
                                  struct frt_error *err)
{
    const char *subject = frt_json_text(frt_json_get(root, "subject"));
    const char *face_id = frt_json_text(frt_json_get(root, "face_id"));
    const struct frt_json_value *metadata = frt_json_get(root, "metadata");
    struct frt_buf text;
    struct frt_json_writer w;
    size_t size = 0;
    if (subject == NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "subject is missing; a text is right");
    if (face_id == NULL && frt_json_get(root, "face_id") != NULL &&
        !frt_json_is_null(frt_json_get(root, "face_id")))
        return frt_fail(err, FRT_EBAD_REQUEST, "face_id is no text");
    if (metadata != NULL && !frt_json_is_null(metadata) &&
        (!frt_json_is_object(metadata) || too_deep(metadata, 0)))
        return frt_fail(err, FRT_EBAD_REQUEST, "metadata is no JSON object, or too deep");
    frt_buf_init(&text, MAX_LINE_BYTES);
    frt_buf_append(&text, subject, strlen(subject) + 1);
    frt_buf_append(&text, face_id != NULL ? face_id : "", face_id != NULL ? strlen(face_id) + 1 : 1);
    if (frt_json_is_object(metadata) && frt_json_count(metadata) > 0) {
        frt_json_writer_init(&w, &text, false);
        metadata_text(metadata, &w);
    }
    frt_buf_append(&text, "", 1);
    enum frt_status status = frt_buf_status(&text);
    if (status == FRT_OK) {
        *texts = frt_buf_take(&text, &size);
        row->subject = *texts;
        row->face_id = row->subject + strlen(row->subject) + 1;
        row->metadata = row->face_id + strlen(row->face_id) + 1;
    }
    frt_buf_deinit(&text);
    return status == FRT_OK ? FRT_OK : frt_fail_nomem(err, "a line");
}

static enum frt_status read_face(struct frt_importer *importer, const struct frt_json_value *root,
                                 struct frt_store_face *row, float *embedding, char **texts,
                                 struct frt_error *err)
{
    const struct frt_json_value *box = frt_json_get(root, "box"), *model = frt_json_get(root, "model");
    if (!frt_json_is_object(root))
        return frt_fail(err, FRT_EBAD_REQUEST, "the line is no JSON object");
    if (frt_json_text(model) != NULL && strcmp(frt_json_text(model), importer->model) != 0)
        return frt_fail(err, FRT_EMODEL_MISMATCH, "model is '%.80s'; this import is of '%.80s'",
                        frt_json_text(model), importer->model);
    enum frt_status status = read_embedding(importer, frt_json_get(root, "embedding"), embedding, err);
    if (status != FRT_OK)
        return status;
    *row = (struct frt_store_face){.embedding = embedding,
                                   .box = {number_of(box, "x", 0), number_of(box, "y", 0),
                                           number_of(box, "width", 0), number_of(box, "height", 0)},
                                   .confidence = number_of(root, "confidence", 0),
                                   .quality = number_of(root, "quality", NAN),
                                   .threshold = number_of(root, "threshold", NAN)};
    return keep_texts(root, row, texts, err);
}

static enum frt_status commit(struct frt_importer *importer, struct frt_error *err)
{
    const struct frt_store_add add = {.collection = importer->collection,
                                      .model = importer->model,
                                      .dim = importer->dim,
                                      .faces = importer->rows,
                                      .n = importer->n,
                                      .rejected = importer->refused,
                                      .reasons = importer->reasons};
    if (importer->n == 0)
        return FRT_OK;
    enum frt_status status = frt_store_faces_add(importer->gallery->store, &add, NULL, NULL, NULL, err);
    for (size_t i = 0; i < importer->n && status == FRT_OK; i++) {
        if (importer->refused[i] == FRT_OK)
            importer->report.imported++;
        else
            reject(importer, importer->pending[i].line, importer->refused[i], importer->reasons[i].text);
    }
    if (status == FRT_OK)
        drop_batch(importer);
    return status;
}

static enum frt_status take_line(struct frt_importer *importer, const char *text, size_t size,
                                 struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_error why = {0};
    const uint64_t line = ++importer->line_number;
    const size_t at = importer->n;
    if (blank(text, size))
        return FRT_OK;
    importer->report.lines++;
    importer->pending[at].texts = NULL;
    enum frt_status status = frt_json_parse(text, size, &json, &why);
    if (status == FRT_OK)
        status = read_face(importer, frt_json_root(json), &importer->rows[at],
                           importer->embeddings + at * importer->dim, &importer->pending[at].texts, &why);
    frt_json_free(json);
    if (status == FRT_ENOMEM)
        return frt_fail_nomem(err, "an import");
    if (status != FRT_OK) {
        reject(importer, line, status, why.text);
        return FRT_OK;
    }
    importer->pending[at].line = line;
    importer->n++;
    return importer->n == BATCH ? commit(importer, err) : FRT_OK;
}

static enum frt_status end_line(struct frt_importer *importer, const char *rest, size_t size,
                                struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (!importer->too_long && importer->line.size == 0 && size <= MAX_LINE_BYTES)
        return take_line(importer, rest, size, err); /* whole in what was handed over: no copy */
    if (!importer->too_long)
        frt_buf_append(&importer->line, rest, size);
    status = importer->too_long ? FRT_EBODY_TOO_LARGE : frt_buf_status(&importer->line);
    if (status == FRT_OK)
        status = take_line(importer, importer->line.data, importer->line.size, err);
    else if (status == FRT_EBODY_TOO_LARGE) {
        importer->report.lines++;
        reject(importer, ++importer->line_number, status, "the line is longer than 256 KiB");
        status = FRT_OK;
    }
    frt_buf_clear(&importer->line);
    importer->too_long = false;
    return status;
}

enum frt_status frt_import_feed(struct frt_importer *importer, const void *bytes, size_t size,
                                struct frt_error *err)
{
    const char *at = bytes, *end = at + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL) {
            if (!importer->too_long)
                frt_buf_append(&importer->line, at, (size_t)(end - at));
            const enum frt_status kept = frt_buf_status(&importer->line);
            if (kept == FRT_EBODY_TOO_LARGE) {
                importer->too_long = true;
                frt_buf_clear(&importer->line);
            } else if (kept != FRT_OK) {
                return frt_fail_nomem(err, "an import");
            }
            break;
        }
        enum frt_status status = end_line(importer, at, (size_t)(newline - at), err);
        if (status != FRT_OK)
            return status;
        at = newline + 1;
    }
    return FRT_OK;
}

enum frt_status frt_import_finish(struct frt_importer *importer, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (importer->line.size > 0 || importer->too_long)
        status = end_line(importer, "", 0, err);
    if (status == FRT_OK)
        status = commit(importer, err);
    if (status == FRT_OK) { /* so that its number is known */
        struct frt_store_page *page = NULL;
        struct frt_store_collection row;
        (void)!gallery_collection(importer->gallery, importer->collection, &page, &row, NULL);
        frt_store_page_free(page);
    }
    return status;
}

/* ------------------------------------------------------------------ export */

enum frt_status frt_export_page(struct frt_gallery *gallery, const char *collection, uint64_t *cursor,
                                size_t limit, char **text, size_t *size, struct frt_error *err)
{
    const struct frt_face_list_options options = {
        .after = *cursor, .limit = limit == 0 ? DEFAULT_PAGE : limit, .embeddings = true};
    struct frt_gallery_faces faces = {0};
    struct frt_buf out;
    struct frt_json_writer w;
    enum frt_status status = frt_face_list(gallery, collection, &options, &faces, err);
    if (status != FRT_OK)
        return status;
    frt_buf_init(&out, (size_t)FRT_STORE_PAGE_MAX * MAX_LINE_BYTES);
    for (size_t i = 0; i < faces.n; i++) {
        frt_json_writer_init(&w, &out, false);
        frt_answer_gallery_face(&w, &faces.faces[i], FRT_ENCODING_BASE64);
        frt_buf_append_char(&out, '\n');
    }
    status = frt_buf_status(&out);
    if (status == FRT_OK) {
        if (faces.n > 0)
            *cursor = faces.faces[faces.n - 1].key;
        *text = frt_buf_take(&out, size);
        if (faces.n == 0)
            *size = 0;
    } else {
        status = frt_fail_nomem(err, "an export");
    }
    frt_buf_deinit(&out);
    frt_gallery_faces_deinit(&faces);
    return status;
}

void frt_export_free(char *text)
{
    frt_free(text);
}
