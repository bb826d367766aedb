/* /v1/collections/{c}/faces and …/subjects: enroll, list, rename, delete. Contract: docs/api.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "engine/answer_gallery.h"
#include "http/handler.h"

enum { MAX_IMAGES = 64, SUBJECT_MAX = 256, FACE_ID_MAX = 128, METADATA_MAX = 16 * 1024 };

/* ------------------------------------------------------------------- enroll */

static const char *const enroll_names[] = {
    "image",       "images",       "embedding",   "model",    "subject",        "face_id", "metadata",
    "on_multiple", "on_duplicate", "min_quality", "liveness", "min_confidence", NULL};

static enum frt_status read_enroll(struct http_fields *fields, struct frt_enroll_options *out,
                                   struct frt_error *err)
{
    static const char *const multiple[] = {"reject", "largest", "all", NULL};
    static const char *const duplicate[] = {"allow", "reject", NULL};
    static const char *const liveness[] = {"off", "require", NULL};
    struct frt_enroll_options o = {.deadline_ms = fields->request->deadline_ms,
                                   .cancelled = fields->request->cancelled,
                                   .cancelled_arg = fields->request->cancelled_arg,
                                   .bulk = fields->request->bulk};
    int on_multiple = FRT_MULTIPLE_REJECT, on_duplicate = FRT_DUPLICATE_ALLOW, live = 0;
    double min_quality = 0, min_confidence = 0;
    enum frt_status status = http_field_need_text(fields, "subject", SUBJECT_MAX, &o.subject, err);
    if (status == FRT_OK)
        status = http_field_text(fields, "face_id", FACE_ID_MAX, &o.face_id, err);
    if (status == FRT_OK)
        status = http_field_object(fields, "metadata", METADATA_MAX, &o.metadata, err);
    if (status == FRT_OK)
        status = http_field_word(fields, "on_multiple", multiple, &on_multiple, err);
    if (status == FRT_OK)
        status = http_field_word(fields, "on_duplicate", duplicate, &on_duplicate, err);
    if (status == FRT_OK)
        status = http_field_word(fields, "liveness", liveness, &live, err);
    if (status == FRT_OK)
        status = http_field_number(fields, "min_quality", 0, 1, &min_quality, err);
    if (status == FRT_OK)
        status = http_field_number(fields, "min_confidence", 0, 1, &min_confidence, err);
    if (status != FRT_OK)
        return status;
    o.on_multiple = (enum frt_on_multiple)on_multiple;
    o.on_duplicate = (enum frt_on_duplicate)on_duplicate;
    o.require_live = live == 1;
    o.min_quality = (float)min_quality;
    o.min_confidence = (float)min_confidence;
    *out = o;
    return FRT_OK;
}

/* Images of a request: those that open, and why the others do not. */
struct images {
    struct frt_image *opened[MAX_IMAGES];
    char *owned[MAX_IMAGES];
    size_t number[MAX_IMAGES]; /* in the request, of each opened one */
    size_t n;
    struct frt_error why[MAX_IMAGES];
    size_t unreadable[MAX_IMAGES]; /* number in the request of each `why` */
    size_t n_unreadable;
};

static void images_free(struct images *images)
{
    for (size_t i = 0; images != NULL && i < images->n; i++) {
        frt_image_free(images->opened[i]);
        frt_free(images->owned[i]);
    }
    frt_free(images);
}

/* It lies in the image, not in the request or here. */
static bool is_unreadable(enum frt_status status)
{
    return status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EBAD_IMAGE || status == FRT_EIMAGE_TOO_LARGE;
}

static enum frt_status open_image(struct http_service *service, const struct http_fields *fields, size_t i,
                                  struct images *out, struct frt_error *err)
{
    const char *data = NULL;
    char *owned = NULL;
    size_t size = 0;
    enum frt_status status =
        http_input_image_at(&fields->input, "image", "images", i, &data, &size, &owned, err);
    if (status != FRT_OK)
        return status;
    status = frt_image_open_memory(service->context, data, size, &out->opened[out->n], err);
    if (status == FRT_OK) {
        out->owned[out->n] = owned;
        out->number[out->n++] = i;
    } else {
        frt_free(owned);
    }
    return status;
}

/* One of several that cannot be read is put aside; one alone is the request's fault. */
static enum frt_status open_images(struct http_service *service, const struct http_fields *fields,
                                   struct images *out, struct frt_error *err)
{
    size_t n = http_input_image_count(&fields->input, "image", "images");
    enum frt_status status = FRT_OK;
    if (n == 0 || n > MAX_IMAGES)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "%s; 'image' (one or several parts), 'images' or 'embedding' is right",
                        n == 0 ? "there is no image" : "there are more than 64 images");
    for (size_t i = 0; status == FRT_OK && i < n; i++) {
        status = open_image(service, fields, i, out, err);
        if (n > 1 && is_unreadable(status)) {
            out->why[out->n_unreadable] = *err;
            out->unreadable[out->n_unreadable++] = i;
            status = FRT_OK;
        } else if (n > 1 && status != FRT_OK) {
            status = frt_fail_within(err, status, "image %zu", i);
        }
    }
    return status;
}

static int by_image(const void *a, const void *b)
{
    const struct frt_enroll_rejection *x = a, *y = b;
    return (x->image > y->image) - (x->image < y->image);
}

/* Rejections in the request's numbers, with the images that could not be read. */
static enum frt_status add_unreadable(const struct images *images, struct frt_enrolled *enrolled,
                                      struct frt_error *err)
{
    if (images->n_unreadable == 0)
        return FRT_OK;
    struct frt_enroll_rejection *list = frt_realloc(
        enrolled->rejected, (enrolled->n_rejected + images->n_unreadable) * sizeof *enrolled->rejected);
    if (list == NULL)
        return frt_fail_nomem(err, "an enrollment");
    enrolled->rejected = list;
    for (size_t i = 0; i < enrolled->n_rejected; i++)
        list[i].image = images->number[list[i].image];
    for (size_t i = 0; i < images->n_unreadable; i++) {
        char *text = frt_strdup(images->why[i].text);
        if (text == NULL)
            return frt_fail_nomem(err, "an enrollment");
        list[enrolled->n_rejected++] = (struct frt_enroll_rejection){
            .image = images->unreadable[i], .status = images->why[i].status, .text = text};
    }
    qsort(list, enrolled->n_rejected, sizeof *list, by_image); /* a photo's own stay together */
    return FRT_OK;
}

/* An embedding of another model than the loaded one is taken where it finds its like. */
static enum frt_status check_model(struct http_service *service, const struct frt_pack *pack,
                                   const char *collection, const char *model, struct frt_error *err)
{
    const char *ours = frt_pack_model(pack);
    struct frt_collection_info info = {0};
    if (strcmp(model, ours) == 0)
        return FRT_OK;
    enum frt_status status = frt_collection_get(service->gallery, collection, &info, err);
    if (status != FRT_OK)
        return status;
    if (strcmp(info.model, model) != 0)
        status =
            frt_fail(err, FRT_EMODEL_MISMATCH,
                     "the embedding is of the model '%.100s'; '%s' is loaded, and the collection's faces are "
                     "of '%s'",
                     model, ours, info.model[0] == '\0' ? ours : info.model);
    frt_collection_info_deinit(&info);
    return status;
}

static enum frt_status enroll_embedding(struct http_service *service, struct http_fields *fields,
                                        const struct frt_enroll_options *options, struct frt_enrolled *out,
                                        struct frt_error *err)
{
    const char *model = NULL, *collection = fields->request->params[0];
    float *embedding = NULL;
    uint32_t dim = 0;
    if (!http_field_has(fields, "model"))
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "an 'embedding' needs its 'model': {\"name\",\"version\"}, as /v1/embed says it");
    enum frt_status status = http_field_model(fields, &model, err);
    if (status == FRT_OK)
        status = check_model(service, fields->request->pack, collection, model, err);
    if (status == FRT_OK)
        status = http_field_embedding(fields, &embedding, &dim, err);
    if (status == FRT_OK)
        status = frt_enroll_embedding(service->gallery, collection, model, embedding, dim, options, out, err);
    frt_free(embedding);
    return status;
}

static enum frt_status enroll_images(struct http_service *service, struct http_fields *fields,
                                     const struct frt_enroll_options *options, struct frt_enrolled *out,
                                     struct frt_error *err)
{
    struct images *images = frt_alloc_zero(1, sizeof *images);
    if (images == NULL)
        return frt_fail_nomem(err, "an enrollment");
    enum frt_status status = open_images(service, fields, images, err);
    if (status != FRT_OK)
        goto done;
    if (options->face_id != NULL && images->n + images->n_unreadable > 1)
        status = frt_fail(err, FRT_EINVAL, "a face id fits one photo; %zu were given",
                          images->n + images->n_unreadable);
    else if (images->n > 0)
        status = frt_enroll(service->gallery, fields->request->pack, fields->request->params[0],
                            (const struct frt_image *const *)images->opened, images->n, options, out, err);
    else
        status =
            frt_fail(err, images->why[0].status, "image %zu: %s", images->unreadable[0], images->why[0].text);
    if (status == FRT_OK || images->n == 0 || out->n_rejected > 0) {
        struct frt_error short_of_memory;
        /* what was taken is stored: a list that lacks something is better than an answer that denies it */
        if (add_unreadable(images, out, &short_of_memory) != FRT_OK && status != FRT_OK)
            status = frt_fail(err, FRT_ENOMEM, "%s", short_of_memory.text);
    }
done:
    images_free(images);
    return status;
}

void http_handle_enroll(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_enroll_options options;
    struct frt_enrolled enrolled = {0};
    struct frt_json_writer w;
    bool embedding = false;
    enum frt_status status = http_fields_init(&fields, request, enroll_names, "image", &err);
    if (status == FRT_OK && fields.input.request == NULL)
        status =
            frt_fail(&err, FRT_EBAD_REQUEST, "the body is empty; send an image, or several, or an embedding");
    if (status == FRT_OK) {
        embedding = http_field_has(&fields, "embedding");
        if (embedding && http_input_image_count(&fields.input, "image", "images") > 0)
            status = frt_fail(&err, FRT_EBAD_REQUEST, "both an image and 'embedding' are given; one is right");
    }
    if (status == FRT_OK)
        status = read_enroll(&fields, &options, &err);
    if (status == FRT_OK)
        status = embedding ? enroll_embedding(service, &fields, &options, &enrolled, &err)
                           : enroll_images(service, &fields, &options, &enrolled, &err);
    if (enrolled.image_timing.decode_ms > 0)
        frt_metrics_stages(service->metrics, &enrolled.image_timing);
    response->timing = enrolled.image_timing;
    if (status == FRT_OK) {
        response->status = 201;
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_answer_enrolled(&w, &enrolled);
        frt_json_end(&w);
        http_finish(response, request);
    } else if (enrolled.n_rejected > 0) { /* the problem, and which photo or face it is about */
        if (http_problem_open(response, request, status, err.text, &w)) {
            frt_answer_rejected(&w, &enrolled);
            frt_json_end(&w);
        }
    } else {
        http_fail(response, request, status, &err);
    }
    frt_enrolled_deinit(&enrolled);
    http_fields_deinit(&fields);
}

/* -------------------------------------------------------------------- faces */

static const char *const face_names[] = {"embedding", "encoding", NULL};

static enum frt_status read_embedding_wish(struct http_fields *fields, bool *wanted,
                                           enum frt_embedding_encoding *encoding, struct frt_error *err)
{
    static const char *const encodings[] = {"array", "base64", NULL};
    int word = 0;
    enum frt_status status = http_field_truth(fields, "embedding", wanted, err);
    if (status == FRT_OK)
        status = http_field_word(fields, "encoding", encodings, &word, err);
    if (status == FRT_OK)
        *encoding = word == 1 ? FRT_ENCODING_BASE64 : FRT_ENCODING_ARRAY;
    return status;
}

void http_handle_face_list(struct http_service *service, struct http_request *request,
                           struct http_response *response)
{
    static const char *const names[] = {"subject", "limit", "cursor", "embedding", "encoding", NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_gallery_faces faces = {0};
    struct frt_face_list_options options = {0};
    enum frt_embedding_encoding encoding = FRT_ENCODING_ARRAY;
    struct frt_json_writer w;
    char after[HTTP_CURSOR_SIZE], *end = NULL, last[24];
    uint32_t limit = HTTP_LIST_DEFAULT;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = http_field_text(&fields, "subject", SUBJECT_MAX, &options.subject, &err);
    if (status == FRT_OK)
        status = http_field_whole(&fields, "limit", 1, HTTP_LIST_MAX, &limit, &err);
    if (status == FRT_OK)
        status = read_embedding_wish(&fields, &options.embeddings, &encoding, &err);
    if (status == FRT_OK)
        status = http_cursor_read(&fields, after, &err);
    if (status == FRT_OK && after[0] != '\0') {
        options.after = strtoull(after, &end, 10);
        if (*end != '\0' || strspn(after, "0123456789") != strlen(after))
            status = frt_fail(&err, FRT_EBAD_REQUEST, "'cursor' is not one that this list made");
    }
    options.limit = limit;
    if (status == FRT_OK)
        status = frt_face_list(service->gallery, request->params[0], &options, &faces, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_answer_gallery_faces(&w, &faces, encoding);
        if (faces.n == limit) {
            (void)snprintf(last, sizeof last, "%llu", (unsigned long long)faces.faces[faces.n - 1].key);
            http_cursor_write(&w, last);
        }
        frt_json_end(&w);
        frt_gallery_faces_deinit(&faces);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

void http_handle_face_get(struct http_service *service, struct http_request *request,
                          struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_gallery_faces faces = {0};
    enum frt_embedding_encoding encoding = FRT_ENCODING_ARRAY;
    struct frt_json_writer w;
    bool embedding = false;
    enum frt_status status = http_fields_init_json(&fields, request, face_names, &err);
    if (status == FRT_OK)
        status = read_embedding_wish(&fields, &embedding, &encoding, &err);
    if (status == FRT_OK)
        status =
            frt_face_get(service->gallery, request->params[0], request->params[1], embedding, &faces, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_answer_gallery_face(&w, &faces.faces[0], encoding);
        frt_gallery_faces_deinit(&faces);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

/* {"<key>": value, "deleted_faces": n} */
static void answer_deleted(struct http_request *request, struct http_response *response, const char *key,
                           const char *value, uint64_t faces)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_json_key(&w, key);
    frt_json_string(&w, value);
    frt_json_key(&w, "deleted_faces");
    frt_json_int(&w, (int64_t)faces);
    frt_json_end(&w);
    http_finish(response, request);
}

static const char *const no_fields[] = {NULL};

void http_handle_face_delete(struct http_service *service, struct http_request *request,
                             struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    enum frt_status status = http_fields_init_json(&fields, request, no_fields, &err);
    if (status == FRT_OK)
        status = frt_face_delete(service->gallery, request->params[0], request->params[1], &err);
    if (status == FRT_OK)
        answer_deleted(request, response, "face_id", request->params[1], 1);
    else
        http_fail(response, request, status, &err);
    http_fields_deinit(&fields);
}

/* ----------------------------------------------------------------- subjects */

void http_handle_subject_list(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    static const char *const names[] = {"limit", "cursor", NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_subjects subjects = {0};
    struct frt_json_writer w;
    char after[HTTP_CURSOR_SIZE];
    uint32_t limit = HTTP_LIST_DEFAULT;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = http_field_whole(&fields, "limit", 1, HTTP_LIST_MAX, &limit, &err);
    if (status == FRT_OK)
        status = http_cursor_read(&fields, after, &err);
    if (status == FRT_OK)
        status = frt_subject_list(service->gallery, request->params[0], after, limit, &subjects, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_answer_subjects(&w, &subjects);
        if (subjects.n == limit)
            http_cursor_write(&w, subjects.subjects[subjects.n - 1].name);
        frt_json_end(&w);
        frt_subjects_deinit(&subjects);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

void http_handle_subject_patch(struct http_service *service, struct http_request *request,
                               struct http_response *response)
{
    static const char *const names[] = {"subject", NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    const char *to = NULL;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = http_field_need_text(&fields, "subject", SUBJECT_MAX, &to, &err);
    if (status == FRT_OK)
        status = frt_subject_rename(service->gallery, request->params[0], request->params[1], to, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_json_key(&w, "subject");
        frt_json_string(&w, to);
        frt_json_end(&w);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

void http_handle_subject_delete(struct http_service *service, struct http_request *request,
                                struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    uint64_t faces = 0;
    enum frt_status status = http_fields_init_json(&fields, request, no_fields, &err);
    if (status == FRT_OK)
        status = frt_subject_delete(service->gallery, request->params[0], request->params[1], &faces, &err);
    if (status == FRT_OK)
        answer_deleted(request, response, "subject", request->params[1], faces);
    else
        http_fail(response, request, status, &err);
    http_fields_deinit(&fields);
}
