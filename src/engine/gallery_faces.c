#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "engine/gallery_state.h"

enum { DEFAULT_LIMIT = 100 };

void frt_gallery_faces_deinit(struct frt_gallery_faces *faces)
{
    for (size_t i = 0; i < faces->n; i++) {
        frt_free(faces->faces[i].face_id);
        frt_free(faces->faces[i].subject);
        frt_free(faces->faces[i].metadata);
        frt_free(faces->faces[i].embedding);
    }
    frt_free(faces->faces);
    *faces = (struct frt_gallery_faces){0};
}

static bool copy_face(const struct frt_store_face *row, uint32_t dim, struct frt_gallery_face *out)
{
    *out = (struct frt_gallery_face){.box = row->box,
                                     .confidence = row->confidence,
                                     .quality = row->quality,
                                     .threshold = row->threshold,
                                     .key = row->key,
                                     .seq = row->seq,
                                     .created_ms = row->created_ms,
                                     .dim = dim};
    out->face_id = frt_strdup(row->face_id);
    out->subject = frt_strdup(row->subject);
    out->metadata = frt_strdup(row->metadata[0] != '\0' ? row->metadata : "{}");
    if (row->embedding != NULL) {
        out->embedding = frt_alloc_array(dim, sizeof *out->embedding);
        if (out->embedding != NULL)
            memcpy(out->embedding, row->embedding, dim * sizeof *out->embedding);
    }
    return out->face_id != NULL && out->subject != NULL && out->metadata != NULL &&
           (row->embedding == NULL || out->embedding != NULL);
}

enum frt_status gallery_faces_copy(const struct frt_store_face *rows, size_t n, uint32_t dim,
                                   struct frt_gallery_faces *out, struct frt_error *err)
{
    struct frt_gallery_faces faces = {0};
    if (n > 0) {
        faces.faces = frt_alloc_zero(n, sizeof *faces.faces);
        if (faces.faces == NULL)
            return frt_fail_nomem(err, "faces");
    }
    for (size_t i = 0; i < n; i++) {
        faces.n = i + 1;
        if (!copy_face(&rows[i], dim, &faces.faces[i])) {
            frt_gallery_faces_deinit(&faces);
            return frt_fail_nomem(err, "faces");
        }
    }
    *out = faces;
    return FRT_OK;
}

/* The dimension of a collection's embeddings. */
static enum frt_status dim_of(struct frt_gallery *gallery, const char *collection, uint32_t *dim,
                              struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {0};
    enum frt_status status = gallery_collection(gallery, collection, &page, &row, err);
    if (status == FRT_OK)
        *dim = row.dim;
    frt_store_page_free(page);
    return status;
}

enum frt_status frt_face_list(struct frt_gallery *gallery, const char *collection,
                              const struct frt_face_list_options *options, struct frt_gallery_faces *out,
                              struct frt_error *err)
{
    static const struct frt_face_list_options defaults;
    const struct frt_face_list_options *o = options != NULL ? options : &defaults;
    struct frt_store_page *page = NULL;
    uint32_t dim = 0;
    size_t n = 0;
    enum frt_status status = dim_of(gallery, collection, &dim, err);
    if (status == FRT_OK)
        status = frt_store_faces_list(gallery->store, collection, o->subject, o->after,
                                      o->limit == 0 ? DEFAULT_LIMIT : o->limit, o->embeddings, &page, err);
    if (status == FRT_OK) {
        const struct frt_store_face *rows = frt_store_page_faces(page, &n);
        status = gallery_faces_copy(rows, n, dim, out, err);
    }
    frt_store_page_free(page);
    return status;
}

enum frt_status frt_face_get(struct frt_gallery *gallery, const char *collection, const char *face_id,
                             bool embedding, struct frt_gallery_faces *out, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    uint32_t dim = 0;
    size_t n = 0;
    enum frt_status status = dim_of(gallery, collection, &dim, err);
    if (status == FRT_OK)
        status = frt_store_face_get(gallery->store, collection, face_id, embedding, &page, err);
    if (status == FRT_OK) {
        const struct frt_store_face *rows = frt_store_page_faces(page, &n);
        status = gallery_faces_copy(rows, n, dim, out, err);
    }
    frt_store_page_free(page);
    return status;
}

/* What was deleted is not found any more by whoever searches from now on: a search reads the collection's
 * number first and follows up to it. An index that is loaded follows at once, so that it forgets also when
 * nobody searches. */
static void follow_quietly(struct frt_gallery *gallery, const char *collection)
{
    struct frt_store_page *page = NULL;
    struct frt_store_collection row = {0};
    if (gallery_collection(gallery, collection, &page, &row, NULL) != FRT_OK)
        return;
    gallery_index_follow(gallery, row.key, row.seq);
    frt_store_page_free(page);
}

enum frt_status frt_face_delete(struct frt_gallery *gallery, const char *collection, const char *face_id,
                                struct frt_error *err)
{
    uint64_t seq = 0;
    enum frt_status status = frt_store_face_delete(gallery->store, collection, face_id, &seq, err);
    if (status == FRT_OK) {
        gallery_note_seq(gallery, seq);
        follow_quietly(gallery, collection);
    }
    return status;
}

void frt_subjects_deinit(struct frt_subjects *subjects)
{
    for (size_t i = 0; i < subjects->n; i++)
        frt_free(subjects->subjects[i].name);
    frt_free(subjects->subjects);
    *subjects = (struct frt_subjects){0};
}

enum frt_status frt_subject_list(struct frt_gallery *gallery, const char *collection, const char *after,
                                 size_t limit, struct frt_subjects *out, struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    const struct frt_store_subject *rows = NULL;
    struct frt_subjects subjects = {0};
    size_t n = 0;
    enum frt_status status = frt_store_subject_list(gallery->store, collection, after != NULL ? after : "",
                                                    limit == 0 ? DEFAULT_LIMIT : limit, &page, &rows, &n, err);
    if (status == FRT_OK && n > 0) {
        subjects.subjects = frt_alloc_zero(n, sizeof *subjects.subjects);
        if (subjects.subjects == NULL)
            status = frt_fail_nomem(err, "subjects");
    }
    for (size_t i = 0; i < n && status == FRT_OK && subjects.subjects != NULL; i++) {
        subjects.subjects[i] =
            (struct frt_subject_info){frt_strdup(rows[i].name), rows[i].faces, rows[i].created_ms};
        subjects.n = i + 1;
        if (subjects.subjects[i].name == NULL)
            status = frt_fail_nomem(err, "subjects");
    }
    frt_store_page_free(page);
    if (status != FRT_OK) {
        frt_subjects_deinit(&subjects);
        return status;
    }
    *out = subjects;
    return FRT_OK;
}

enum frt_status frt_subject_rename(struct frt_gallery *gallery, const char *collection, const char *from,
                                   const char *to, struct frt_error *err)
{
    enum frt_status status = frt_store_subject_rename(gallery->store, collection, from, to, err);
    if (status == FRT_OK)
        follow_quietly(gallery, collection);
    return status;
}

enum frt_status frt_subject_delete(struct frt_gallery *gallery, const char *collection, const char *subject,
                                   uint64_t *faces, struct frt_error *err)
{
    enum frt_status status = frt_store_subject_delete(gallery->store, collection, subject, faces, err);
    if (status == FRT_OK)
        follow_quietly(gallery, collection);
    return status;
}

enum frt_status gallery_mismatch(const struct frt_store_collection *row, const char *model, uint32_t dim,
                                 struct frt_error *err)
{
    return frt_fail(err, FRT_EMODEL_MISMATCH,
                    "collection '%.128s' holds embeddings of %s (%u dimensions); these are of %s (%u). 'frt "
                    "migrate' brings its faces to another pack; with its own pack loaded it answers again",
                    row->name, row->model, row->dim, model != NULL ? model : "a model that was not named", dim);
}
