/*
 * The older FRT surface, for clients that already speak it: bodies in JSON, images in base64, an envelope
 * around every answer (http_older_begin), distances where v1 has similarities. Contract: docs/api.md.
 *
 * What that service called an id is a subject here: one person, one photo. A distance is (1 - cosine) / 2.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"
#include "http/handler.h"

enum { NAME_MAX_BYTES = 128, ID_MAX_BYTES = 256, LIST_PAGE = 1000, FIND_TOP_K = 5 };

static const double verify_distance = 0.25; /* a verdict's default threshold */
/* Where adaptive thresholds begin. A face that came another way has the collection's or the pack's, if that is
 * the stricter one: the older service's own embedder keeps strangers farther away than the default pack's. */
static const double face_distance = 0.30;

/* What every route here has: its values, its error, its answer. */
struct call {
    struct http_service *service;
    struct http_request *request;
    struct http_response *response;
    struct http_fields fields;
    struct frt_error err;
    struct frt_json_writer w;
    int64_t start_ns;
};

static enum frt_status begin(struct call *call, const char *const *names)
{
    call->start_ns = frt_now_ns();
    return http_fields_init_json(&call->fields, call->request, names, &call->err);
}

/* A failure is answered; either way the call is over. */
static void end(struct call *call, enum frt_status status)
{
    if (status == FRT_OK)
        http_finish(call->response, call->request);
    else
        http_fail(call->response, call->request, status, &call->err);
    http_fields_deinit(&call->fields);
}

static void good(struct call *call, int code, const char *message)
{
    http_older_begin(call->response, &call->w, code, message, "");
}

static void member_text(struct frt_json_writer *w, const char *key, const char *text)
{
    frt_json_key(w, key);
    frt_json_string(w, text);
}

static void member_number(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    frt_json_fixed(w, value, 6);
}

static enum frt_status collection_of(struct call *call, const char **out)
{
    return http_field_need_text(&call->fields, "collection_name", NAME_MAX_BYTES, out, &call->err);
}

/* --------------------------------------------------------------------- ping */

void http_handle_older_ping(struct http_service *service, struct http_request *request,
                            struct http_response *response)
{
    struct frt_json_writer w;
    (void)service;
    (void)request;
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    member_text(&w, "message", "pong");
    frt_json_end(&w);
}

/* ------------------------------------------------------------ verify, detect */

/* A photo of the request. */
struct photo {
    char *owned;
    struct frt_image *image;
    struct frt_faces *faces;
};

static void photo_deinit(struct photo *photo)
{
    frt_faces_free(photo->faces);
    frt_image_free(photo->image);
    frt_free(photo->owned);
    *photo = (struct photo){0};
}

static enum frt_status open_photo(struct call *call, const char *name, struct photo *out)
{
    const char *data = NULL;
    size_t size = 0;
    if (!http_field_has(&call->fields, name))
        return frt_fail(&call->err, FRT_EBAD_REQUEST, "'%s' is missing", name);
    enum frt_status status = http_input_image(&call->fields.input, name, &data, &size, &out->owned, &call->err);
    if (status == FRT_OK)
        status = frt_image_open_memory(call->service->context, data, size, &out->image, &call->err);
    return status;
}

static enum frt_status look_at(struct call *call, const char *name, bool embed, uint32_t attributes,
                               uint32_t max_faces, struct photo *out)
{
    struct frt_detect_options options = {.max_faces = max_faces,
                                         .attributes = attributes,
                                         .deadline_ms = call->request->deadline_ms,
                                         .cancelled = call->request->cancelled,
                                         .cancelled_arg = call->request->cancelled_arg,
                                         .bulk = call->request->bulk};
    const struct frt_pack *pack = call->request->pack;
    enum frt_status status = open_photo(call, name, out);
    if (status == FRT_OK)
        status = embed ? frt_embed(pack, out->image, &options, &out->faces, &call->err)
                       : frt_detect(pack, out->image, &options, &out->faces, &call->err);
    if (status == FRT_OK) {
        struct frt_timing t = frt_faces_timing(out->faces);
        frt_metrics_stages(call->service->metrics, &t);
    }
    return status;
}

void http_handle_older_verify(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    static const char *const names[] = {"img1", "img2", "threshold", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct photo photos[2] = {{0}, {0}};
    struct frt_verdict verdict;
    double threshold = verify_distance;
    const struct frt_pack *pack = request->pack;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = http_field_number(&call.fields, "threshold", 0, 1, &threshold, &call.err);
    for (int i = 0; i < 2 && status == FRT_OK; i++) {
        status = look_at(&call, names[i], true, 0, 1, &photos[i]);
        if (status == FRT_OK && frt_faces_count(photos[i].faces) == 0)
            status = frt_fail(&call.err, FRT_ENO_FACE, "%s: no face found", names[i]);
    }
    if (status == FRT_OK)
        status = frt_verify(pack, frt_faces_embedding(photos[0].faces, 0),
                            frt_faces_embedding(photos[1].faces, 0), NAN, &verdict, &call.err);
    if (status == FRT_OK) {
        bool verified = (double)verdict.distance < threshold;
        good(&call, 200, verified ? "The same person" : "Different people");
        frt_json_object(&call.w);
        member_number(&call.w, "distance", (double)verdict.distance);
        member_number(&call.w, "threshold", threshold);
        frt_json_key(&call.w, "verified");
        frt_json_bool(&call.w, verified);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    photo_deinit(&photos[0]);
    photo_deinit(&photos[1]);
    end(&call, status);
}

void http_handle_older_detect(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    static const char *const names[] = {"img_base64", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct photo photo = {0};
    char message[64];
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = look_at(&call, "img_base64", false, FRT_ATTRIBUTE_LIVENESS, 0, &photo);
    if (status == FRT_OK) {
        size_t n = frt_faces_count(photo.faces);
        const struct frt_face *face = frt_faces_get(photo.faces, 0);
        if (n > 1)
            (void)snprintf(message, sizeof message, "%zu faces found; the largest is described", n);
        else
            (void)snprintf(message, sizeof message, "%s", n == 1 ? "One face found" : "No face found");
        good(&call, 200, message);
        frt_json_object(&call.w);
        frt_json_key(&call.w, "type");
        frt_json_string(&call.w, face == NULL ? NULL : face->liveness.real ? "REAL" : "SPOOF");
        frt_json_key(&call.w, "spoof_confidence");
        frt_json_fixed(&call.w, face == NULL ? (double)NAN : (double)face->liveness.spoof_confidence, 4);
        frt_json_key(&call.w, "num_faces");
        frt_json_int(&call.w, (int64_t)n);
        frt_json_key(&call.w, "face_detected");
        frt_json_bool(&call.w, n > 0);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    photo_deinit(&photo);
    end(&call, status);
}

/* -------------------------------------------------------------- collections */

void http_handle_older_create(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    static const char *const names[] = {"collection_name", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    const char *name = NULL;
    bool created = false;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    if (status == FRT_OK)
        status = frt_collection_put(service->gallery, name, NULL, &created, &call.err);
    if (status == FRT_ECONFLICT || (status == FRT_OK && !created))
        status = frt_fail(&call.err, FRT_EBAD_REQUEST, "a collection '%s' stands already", name);
    if (status == FRT_OK) {
        good(&call, 201, "Collection created");
        frt_json_object(&call.w);
        member_text(&call.w, "collection_name", name);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    end(&call, status);
}

void http_handle_older_collections(struct http_service *service, struct http_request *request,
                                   struct http_response *response)
{
    static const char *const names[] = {NULL};
    struct call call = {.service = service, .request = request, .response = response};
    char after[NAME_MAX_BYTES + 1] = "";
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK) {
        good(&call, 200, "Collections");
        frt_json_object(&call.w);
        frt_json_key(&call.w, "collections");
        frt_json_array(&call.w);
        for (size_t n = LIST_PAGE; status == FRT_OK && n == LIST_PAGE;) {
            struct frt_collection_info *list = NULL;
            status = frt_collection_list(service->gallery, after, LIST_PAGE, &list, &n, &call.err);
            if (status != FRT_OK)
                break;
            for (size_t i = 0; i < n; i++)
                frt_json_string(&call.w, list[i].name);
            if (n > 0)
                (void)snprintf(after, sizeof after, "%s", list[n - 1].name);
            frt_collection_list_free(list, n);
        }
        frt_json_end(&call.w);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    end(&call, status);
}

void http_handle_older_drop(struct http_service *service, struct http_request *request,
                            struct http_response *response)
{
    static const char *const names[] = {"collection_name", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct frt_collection_removed removed = {0};
    const char *name = NULL;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    if (status == FRT_OK)
        status = frt_collection_delete(service->gallery, name, &removed, &call.err);
    if (status == FRT_OK) {
        good(&call, 200, "Collection deleted");
        frt_json_object(&call.w);
        member_text(&call.w, "deleted_collection", name);
        frt_json_key(&call.w, "deleted_embeddings");
        frt_json_int(&call.w, (int64_t)removed.faces);
        frt_json_key(&call.w, "index_deleted");
        frt_json_bool(&call.w, true); /* whether it lay in a file or in memory only */
        frt_json_key(&call.w, "metadata_deleted");
        frt_json_bool(&call.w, true);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    end(&call, status);
}

void http_handle_older_rebuild(struct http_service *service, struct http_request *request,
                               struct http_response *response)
{
    static const char *const names[] = {"collection_name", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct frt_job job;
    const char *name = NULL;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    if (status == FRT_OK)
        status = frt_rebuild(service->gallery, name, &job, &call.err);
    if (status == FRT_OK) {
        good(&call, 200, "The index is being rebuilt");
        frt_json_string(&call.w, "");
        frt_json_end(&call.w);
    }
    end(&call, status);
}

/* ------------------------------------------------------------------- images */

/* Subjects after `after`, a page of them; writes their names. */
static enum frt_status write_page(struct call *call, struct frt_json_writer *w, const char *collection,
                                  char after[ID_MAX_BYTES + 1], size_t *n)
{
    struct frt_subjects page = {0};
    enum frt_status status =
        frt_subject_list(call->service->gallery, collection, after, LIST_PAGE, &page, &call->err);
    if (status != FRT_OK)
        return status;
    for (size_t i = 0; i < page.n; i++)
        frt_json_string(w, page.subjects[i].name);
    if (page.n > 0)
        (void)snprintf(after, ID_MAX_BYTES + 1, "%s", page.subjects[page.n - 1].name);
    *n = page.n;
    frt_subjects_deinit(&page);
    return FRT_OK;
}

void http_handle_older_images(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    static const char *const names[] = {"collection_name", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct frt_json_writer w;
    struct frt_buf ids;
    const char *name = NULL;
    char after[ID_MAX_BYTES + 1] = "";
    size_t total = 0;
    frt_buf_init(&ids, response->body.max);
    frt_json_writer_init(&w, &ids, false);
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    frt_json_array(&w);
    for (size_t n = LIST_PAGE; status == FRT_OK && n == LIST_PAGE; total += status == FRT_OK ? n : 0)
        status = write_page(&call, &w, name, after, &n);
    frt_json_end(&w);
    if (status == FRT_OK && frt_buf_status(&ids) != FRT_OK)
        status = frt_fail_nomem(&call.err, "the list of identities");
    if (status == FRT_OK) {
        good(&call, 200, "Identities");
        frt_json_object(&call.w);
        member_text(&call.w, "collection", name);
        frt_json_key(&call.w, "number_of_identities");
        frt_json_int(&call.w, (int64_t)total);
        frt_json_key(&call.w, "identities");
        frt_json_raw(&call.w, ids.data, ids.size);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    frt_buf_deinit(&ids);
    end(&call, status);
}

/* Member "timing", in seconds. */
static void timing(struct call *call, double embed_ms, double store_ms, double search_ms, double index_ms,
                   bool indexed)
{
    struct frt_json_writer *w = &call->w;
    frt_json_key(w, "timing");
    frt_json_object(w);
    member_number(w, "embedding_time", embed_ms / 1000);
    member_number(w, "DB_retrieval_time", store_ms / 1000);
    member_number(w, "search_time", search_ms / 1000);
    if (indexed)
        member_number(w, "index_update_time", index_ms / 1000);
    member_number(w, "total_time", frt_elapsed_ms(call->start_ns) / 1000);
    frt_json_end(w);
}

static double distance_or(float threshold, double fallback)
{
    return isnan(threshold) ? fallback : (double)frt_distance(threshold);
}

void http_handle_older_add(struct http_service *service, struct http_request *request,
                           struct http_response *response)
{
    static const char *const names[] = {"collection_name", "id", "base64_code", "force", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct photo photo = {0};
    struct frt_enrolled enrolled = {0};
    struct frt_enroll_options options = {.on_multiple = FRT_MULTIPLE_LARGEST,
                                         .older_rules = true,
                                         .deadline_ms = request->deadline_ms,
                                         .cancelled = request->cancelled,
                                         .cancelled_arg = request->cancelled_arg,
                                         .bulk = request->bulk};
    const char *name = NULL;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    if (status == FRT_OK)
        status = http_field_need_text(&call.fields, "id", ID_MAX_BYTES, &options.subject, &call.err);
    if (status == FRT_OK)
        status = http_field_truth(&call.fields, "force", &options.force, &call.err);
    if (status == FRT_OK)
        status = open_photo(&call, "base64_code", &photo);
    if (status == FRT_OK) {
        const struct frt_image *image = photo.image;
        status = frt_enroll(service->gallery, request->pack, name, &image, 1, &options, &enrolled, &call.err);
        frt_metrics_stages(service->metrics, &enrolled.image_timing);
        response->timing = enrolled.image_timing;
    }
    if (status == FRT_OK) {
        good(&call, 200, "Image added");
        frt_json_object(&call.w);
        member_text(&call.w, "id", options.subject);
        member_text(&call.w, "collection_name", name);
        member_number(&call.w, "threshold", distance_or(enrolled.faces.faces[0].threshold, face_distance));
        timing(&call, enrolled.timing.embed_ms, enrolled.timing.store_ms, enrolled.timing.search_ms,
               enrolled.timing.index_ms, true);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    frt_enrolled_deinit(&enrolled);
    photo_deinit(&photo);
    end(&call, status);
}

void http_handle_older_remove(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    static const char *const names[] = {"collection_name", "id", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    const char *name = NULL, *id = NULL;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    if (status == FRT_OK)
        status = http_field_need_text(&call.fields, "id", ID_MAX_BYTES, &id, &call.err);
    if (status == FRT_OK)
        status = frt_subject_delete(service->gallery, name, id, NULL, &call.err);
    if (status == FRT_OK) {
        good(&call, 200, "Image deleted");
        frt_json_object(&call.w);
        member_text(&call.w, "id", id);
        member_text(&call.w, "collection_name", name);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    end(&call, status);
}

/* The contract's rule is strict: a face passes when its distance is less than its threshold. */
static bool passes(const struct frt_match *match)
{
    return match->distance < frt_distance(match->threshold);
}

void http_handle_older_find(struct http_service *service, struct http_request *request,
                            struct http_response *response)
{
    static const char *const names[] = {"collection_name", "img_base64", NULL};
    struct call call = {.service = service, .request = request, .response = response};
    struct photo photo = {0};
    struct frt_identified found = {0};
    struct frt_identify_options options = {.top_k = FIND_TOP_K,
                                           .least_default = (float)(1 - 2 * face_distance),
                                           .deadline_ms = request->deadline_ms,
                                           .cancelled = request->cancelled,
                                           .cancelled_arg = request->cancelled_arg,
                                           .bulk = request->bulk};
    const char *name = NULL;
    size_t n_passing = 0;
    enum frt_status status = begin(&call, names);
    if (status == FRT_OK)
        status = collection_of(&call, &name);
    if (status == FRT_OK)
        status = open_photo(&call, "img_base64", &photo);
    if (status == FRT_OK)
        status = frt_identify(service->gallery, request->pack, name, photo.image, &options, &found, &call.err);
    if (status == FRT_OK && found.n == 0)
        status = frt_fail(&call.err, FRT_ENO_FACE, "no face found");
    for (size_t i = 0; status == FRT_OK && i < found.faces[0].n_matches; i++)
        n_passing += passes(&found.faces[0].matches[i]);
    if (status == FRT_OK && n_passing == 0)
        status = frt_fail(&call.err, FRT_EBAD_REQUEST, "nobody in the collection '%s' is near enough", name);
    if (status == FRT_OK) {
        const struct frt_timing *t = &found.image_timing;
        frt_metrics_stages(service->metrics, t);
        response->timing = *t;
        good(&call, 200, "Found");
        frt_json_object(&call.w);
        frt_json_key(&call.w, "response");
        frt_json_array(&call.w);
        frt_json_object(&call.w);
        frt_json_key(&call.w, "query");
        frt_json_int(&call.w, 0);
        frt_json_key(&call.w, "results");
        frt_json_array(&call.w);
        for (size_t i = 0; i < found.faces[0].n_matches; i++) {
            const struct frt_match *match = &found.faces[0].matches[i];
            if (!passes(match))
                continue;
            frt_json_object(&call.w);
            member_text(&call.w, "id", match->subject);
            member_number(&call.w, "distance", (double)match->distance);
            member_number(&call.w, "threshold", (double)frt_distance(match->threshold));
            frt_json_end(&call.w);
        }
        frt_json_end(&call.w);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
        timing(&call, t->decode_ms + t->detect_ms + t->align_ms + t->embed_ms, found.load_ms, found.search_ms,
               0, false);
        frt_json_end(&call.w);
        frt_json_end(&call.w);
    }
    frt_identified_deinit(&found);
    photo_deinit(&photo);
    end(&call, status);
}
