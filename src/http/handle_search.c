/* POST /v1/collections/{c}/search. Contract: docs/api.md. */
#include <math.h>

#include "core/mem.h"
#include "core/trace.h"
#include "engine/answer_gallery.h"
#include "engine/at_hand.h"
#include "http/handler.h"

enum { MAX_TOP_K = 1000, MAX_FACES = 1000 };

static const char *const names[] = {"image",           "embedding", "model",      "top_k",          "threshold",
                                    "unique_subjects", "max_faces", "candidates", "min_confidence", "score",
                                    "probability",     "liveness",  NULL};

static enum frt_status read_options(struct http_fields *fields, struct frt_identify_options *out,
                                    struct frt_error *err)
{
    static const char *const scores[] = {"default", "best", "fused", NULL};
    static const char *const liveness[] = {"off", "require", NULL};
    struct frt_identify_options o = {.deadline_ms = fields->request->deadline_ms,
                                     .cancelled = fields->request->cancelled,
                                     .cancelled_arg = fields->request->cancelled_arg,
                                     .bulk = fields->request->bulk};
    double threshold = (double)NAN, confidence = 0;
    bool unique = true;
    int score = 0, live = 0;
    enum frt_status status = http_field_whole(fields, "top_k", 1, MAX_TOP_K, &o.top_k, err);
    if (status == FRT_OK)
        status = http_field_whole(fields, "max_faces", 1, MAX_FACES, &o.max_faces, err);
    if (status == FRT_OK)
        status = http_field_number(fields, "threshold", -1, 1, &threshold, err);
    if (status == FRT_OK)
        status = http_field_number(fields, "min_confidence", 0, 1, &confidence, err);
    if (status == FRT_OK)
        status = http_field_truth(fields, "unique_subjects", &unique, err);
    if (status == FRT_OK)
        status = http_field_truth(fields, "candidates", &o.candidates, err);
    if (status == FRT_OK)
        status = http_field_truth(fields, "probability", &o.probability, err);
    if (status == FRT_OK)
        status = http_field_word(fields, "score", scores, &score, err);
    if (status == FRT_OK)
        status = http_field_word(fields, "liveness", liveness, &live, err);
    if (status != FRT_OK)
        return status;
    o.threshold_set = !isnan(threshold);
    o.threshold = o.threshold_set ? (float)threshold : 0;
    o.min_confidence = (float)confidence;
    o.every_face = !unique;
    o.require_live = live == 1;
    o.score = (enum frt_subject_score)score;
    *out = o;
    return FRT_OK;
}

static enum frt_status by_embedding(struct http_service *service, struct http_fields *fields,
                                    const struct frt_identify_options *options, struct frt_identified *out,
                                    struct frt_error *err)
{
    const char *model = NULL;
    float *embedding = NULL;
    uint32_t dim = 0;
    struct frt_identify_options own = *options;
    own.pack = fields->request->pack;
    enum frt_status status = FRT_OK;
    if (http_field_has(fields, "model"))
        status = http_field_model(fields, &model, err);
    if (status == FRT_OK)
        status = http_field_embedding(fields, &embedding, &dim, err);
    if (status == FRT_OK)
        status = frt_identify_embeddings(service->gallery, fields->request->params[0], model, embedding, 1, dim,
                                         0, &own, out, err);
    frt_free(embedding);
    return status;
}

static enum frt_status by_image(struct http_service *service, struct http_fields *fields,
                                const struct frt_identify_options *options, struct frt_identified *out,
                                struct frt_error *err)
{
    const char *data = NULL;
    char *owned = NULL;
    size_t size = 0;
    struct frt_image *image = NULL;
    enum frt_status status = http_input_image(&fields->input, "image", &data, &size, &owned, err);
    if (status == FRT_OK)
        status = frt_image_open_memory(service->context, data, size, &image, err);
    if (status == FRT_OK)
        status = frt_identify(service->gallery, fields->request->pack, fields->request->params[0], image,
                              options, out, err);
    frt_image_free(image);
    frt_free(owned);
    return status;
}

/* What is asked, and that it makes sense. *embedding: by one, not by a photo. */
static enum frt_status read_asked(const struct http_request *request, struct http_fields *fields,
                                  struct frt_identify_options *options, bool *embedding, struct frt_error *err)
{
    enum frt_status status = http_fields_init(fields, request, names, NULL, err);
    if (status == FRT_OK && fields->input.request == NULL)
        status = frt_fail(err, FRT_EBAD_REQUEST, "the body is empty; send an image or an embedding");
    if (status == FRT_OK) {
        *embedding = http_field_has(fields, "embedding");
        if (*embedding && (fields->input.kind == HTTP_INPUT_RAW || http_input_has(&fields->input, "image")))
            status = frt_fail(err, FRT_EBAD_REQUEST, "both 'image' and 'embedding' are given; one is right");
    }
    if (status == FRT_OK)
        status = read_options(fields, options, err);
    if (status == FRT_OK && *embedding && options->require_live)
        status = frt_fail(err, FRT_EBAD_REQUEST,
                          "liveness=require needs an image: an embedding has no face to look at");
    return status;
}

/* CONSUMES identified. */
static void write_answer(struct http_service *service, const struct http_request *request,
                         struct http_response *response, const struct frt_identify_options *options,
                         bool embedding, struct frt_identified *identified)
{
    struct frt_json_writer w;
    if (!embedding)
        frt_metrics_stages(service->metrics, &identified->image_timing);
    response->timing = identified->image_timing;
    response->search_ms = identified->search_ms;
    response->index_ms = identified->load_ms;
    int span = frt_trace_begin("write");
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_answer_identified(&w, identified, options->candidates);
    frt_json_end(&w);
    frt_trace_end(span, NULL);
    frt_identified_deinit(identified);
    http_finish(response, request);
}

void http_handle_search(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_identify_options options;
    struct frt_identified identified = {0};
    bool embedding = false;
    enum frt_status status = read_asked(request, &fields, &options, &embedding, &err);
    if (status == FRT_OK)
        status = embedding ? by_embedding(service, &fields, &options, &identified, &err)
                           : by_image(service, &fields, &options, &identified, &err);
    if (status == FRT_OK)
        write_answer(service, request, response, &options, embedding, &identified);
    else
        http_fail(response, request, status, &err);
    http_fields_deinit(&fields);
}

bool http_search_at_once(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    struct frt_error why = {0}; /* http_handle_search tells of it */
    struct http_fields fields = {0};
    struct frt_identify_options options;
    struct frt_identified identified = {0};
    const char *data = NULL;
    char *owned = NULL;
    size_t size = 0;
    bool embedding = false, done = false;
    if (request->body_size > HTTP_AT_ONCE_BYTES)
        return false;
    const int span = frt_trace_begin("at-hand");
    if (read_asked(request, &fields, &options, &embedding, &why) == FRT_OK && !embedding &&
        http_input_image(&fields.input, "image", &data, &size, &owned, &why) == FRT_OK)
        done = frt_identify_at_hand(service->gallery, request->pack, request->params[0], data, size, &options,
                                    &identified);
    if (done)
        write_answer(service, request, response, &options, false, &identified);
    frt_trace_end(span, done ? "hit" : "miss");
    frt_free(owned);
    http_fields_deinit(&fields);
    return done;
}
