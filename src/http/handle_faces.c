/* /v1/detect, /v1/embed, /v1/verify. Contract: docs/api.md. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/suggest.h"
#include "core/trace.h"
#include "engine/answer.h"
#include "engine/faces.h"
#include "http/image_input.h"
#include "http/service.h"

enum { MAX_FACES = 1000 };

/* ---------------------------------------------------------- query strings */

struct options {
    struct frt_detect_options detect;
    enum frt_embedding_encoding encoding;
};

static enum frt_status query_number(const struct http_param *p, double low, double high, bool whole,
                                    double *out, struct frt_error *err)
{
    char *end = NULL;
    double value = strtod(p->value, &end);
    if (end == p->value || *end != '\0' || !(value >= low && value <= high) || (whole && value != floor(value)))
        return frt_fail(err, FRT_EBAD_REQUEST, "query parameter %s is '%.64s'; a %s from %g to %g is right",
                        p->name, p->value, whole ? "whole number" : "number", low, high);
    *out = value;
    return FRT_OK;
}

static enum frt_status query_unknown(const char *name, bool embed, struct frt_error *err)
{
    static const char *const known[] = {"max_faces", "min_confidence", "min_size", "attributes", "encoding"};
    size_t n = embed ? 5 : 4;
    const char *near = frt_suggest(name, known, n);
    return frt_fail(err, FRT_EBAD_REQUEST,
                    "unknown query parameter '%.64s'%s%s%s; known: max_faces, min_confidence, "
                    "min_size, attributes%s",
                    name, near == NULL ? "" : ", did you mean '", near == NULL ? "" : near,
                    near == NULL ? "" : "'?", embed ? ", encoding" : "");
}

static enum frt_status read_query(const struct http_request *request, bool embed, struct options *out,
                                  struct frt_error *err)
{
    struct options o = {.detect = {.deadline_ms = request->deadline_ms,
                                   .cancelled = request->cancelled,
                                   .cancelled_arg = request->cancelled_arg,
                                   .bulk = request->bulk}};
    enum frt_status status = FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < request->n_query; i++) {
        const struct http_param *p = &request->query[i];
        double number = 0;
        if (strcmp(p->name, "max_faces") == 0) {
            status = query_number(p, 1, MAX_FACES, true, &number, err);
            o.detect.max_faces = (uint32_t)number;
        } else if (strcmp(p->name, "min_confidence") == 0) {
            status = query_number(p, 0, 1, false, &number, err);
            o.detect.min_confidence = (float)number;
        } else if (strcmp(p->name, "min_size") == 0) {
            status = query_number(p, 0, 100000, false, &number, err);
            o.detect.min_size_px = (float)number;
        } else if (strcmp(p->name, "attributes") == 0) {
            status = frt_attributes_parse(p->value, &o.detect.attributes, err);
        } else if (embed && strcmp(p->name, "encoding") == 0) {
            if (strcmp(p->value, "base64") == 0)
                o.encoding = FRT_ENCODING_BASE64;
            else if (strcmp(p->value, "array") != 0)
                status =
                    frt_fail(err, FRT_EBAD_REQUEST, "encoding is '%.64s'; array or base64 is right", p->value);
        } else {
            status = query_unknown(p->name, embed, err);
        }
    }
    if (status == FRT_OK)
        *out = o;
    return status;
}

/* ----------------------------------------------------------- detect, embed */

/* What a client sent and cannot be used is the client's doing, whatever the engine calls it. */
static void fail(struct http_response *response, const struct http_request *request, enum frt_status status,
                 const struct frt_error *err)
{
    http_problem(response, request, status == FRT_EINVAL ? FRT_EBAD_REQUEST : status, err->text);
}

static enum frt_status finish(struct http_response *response, struct frt_error *err)
{
    enum frt_status status = frt_buf_status(&response->body);
    return status == FRT_OK ? FRT_OK : frt_fail(err, FRT_ENOMEM, "the answer does not fit in memory");
}

/* An image that a request brought, and its faces. */
struct analysed {
    char *owned;
    struct frt_image *image;
    struct frt_faces *faces;
};

static void analysed_deinit(struct analysed *a)
{
    frt_faces_free(a->faces);
    frt_image_free(a->image);
    frt_free(a->owned);
    *a = (struct analysed){0};
}

static enum frt_status analyse(struct http_service *service, const struct http_input *input, const char *name,
                               const struct frt_detect_options *options, bool embed, struct analysed *out,
                               struct frt_timing *timing, struct frt_error *err)
{
    const char *data = NULL;
    size_t size = 0;
    const struct frt_pack *pack = input->request->pack;
    enum frt_status status = http_input_image(input, name, &data, &size, &out->owned, err);
    if (status == FRT_OK)
        status = frt_image_open_memory(service->context, data, size, &out->image, err);
    if (status == FRT_OK)
        status = embed ? frt_embed(pack, out->image, options, &out->faces, err)
                       : frt_detect(pack, out->image, options, &out->faces, err);
    if (status == FRT_OK) {
        struct frt_timing t = frt_faces_timing(out->faces);
        frt_metrics_stages(service->metrics, &t);
        frt_timing_add(timing, &t);
    } else {
        analysed_deinit(out);
    }
    return status;
}

static void handle_faces(struct http_service *service, struct http_request *request,
                         struct http_response *response, bool embed)
{
    static const char *const fields[] = {"image", NULL};
    struct frt_error err = {0};
    struct options options;
    struct http_input input = {0};
    struct analysed photo = {0};
    struct frt_json_writer w;
    enum frt_status status = read_query(request, embed, &options, &err);
    if (status == FRT_OK)
        status = http_input_init(&input, request, &err);
    if (status != FRT_OK) {
        fail(response, request, status, &err);
        return;
    }
    status = http_input_only(&input, fields, &err);
    if (status == FRT_OK)
        status = analyse(service, &input, "image", &options.detect, embed, &photo, &response->timing, &err);
    if (status == FRT_OK) {
        struct frt_image_info info = frt_image_info_get(photo.image);
        int span = frt_trace_begin("write");
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_answer_faces(&w, photo.faces, &info, embed ? request->pack : NULL, options.encoding);
        frt_json_end(&w);
        frt_trace_end(span, NULL);
        status = finish(response, &err);
    }
    if (status != FRT_OK)
        fail(response, request, status, &err);
    analysed_deinit(&photo);
    http_input_deinit(&input);
}

void http_handle_detect(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    handle_faces(service, request, response, false);
}

void http_handle_embed(struct http_service *service, struct http_request *request,
                       struct http_response *response)
{
    handle_faces(service, request, response, true);
}

/* ------------------------------------------------------------------ verify */

/* Asked of both sides before either costs anything. */
static enum frt_status check_side(const struct http_input *input, const char *image_name,
                                  const char *embedding_name, struct frt_error *err)
{
    bool has_image = http_input_has(input, image_name), has_embedding = http_input_has(input, embedding_name);
    if (has_image != has_embedding)
        return FRT_OK;
    return frt_fail(err, FRT_EBAD_REQUEST, "%s '%s' %s '%s' is given; one of them is right",
                    has_image ? "both" : "neither", image_name, has_image ? "and" : "nor", embedding_name);
}

/* Which photos have to show a live face. */
enum { LIVE_OFF = 0, LIVE_BOTH, LIVE_FIRST, LIVE_SECOND };

static enum frt_status read_live(const struct http_input *input, bool live[2], struct frt_error *err)
{
    static const char *const words[] = {"off", "require", "image1", "image2", NULL};
    static const char *const images[2] = {"image1", "image2"};
    int word = LIVE_OFF;
    enum frt_status status = http_input_word(input, "liveness", words, &word, err);
    if (status != FRT_OK)
        return status;
    live[0] = word == LIVE_BOTH || word == LIVE_FIRST;
    live[1] = word == LIVE_BOTH || word == LIVE_SECOND;
    for (int i = 0; i < 2; i++)
        if (live[i] && !http_input_has(input, images[i]))
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "liveness=%s needs '%s': an embedding has no face to look at", words[word],
                            images[i]);
    return FRT_OK;
}

static enum frt_status side(struct http_service *service, const struct http_input *input,
                            const char *image_name, const char *embedding_name, bool live,
                            struct analysed *photo, float *embedding, struct frt_timing *timing,
                            struct frt_error *err)
{
    struct frt_detect_options options = {.max_faces = 1,
                                         .attributes = live ? (uint32_t)FRT_ATTRIBUTE_LIVENESS : 0u,
                                         .deadline_ms = input->request->deadline_ms,
                                         .cancelled = input->request->cancelled,
                                         .cancelled_arg = input->request->cancelled_arg,
                                         .bulk = input->request->bulk};
    uint32_t dim = frt_pack_info_get(input->request->pack)->dim;
    if (http_input_has(input, embedding_name))
        return http_input_embedding(input, embedding_name, embedding, dim, err);
    enum frt_status status = analyse(service, input, image_name, &options, true, photo, timing, err);
    if (status != FRT_OK)
        return frt_fail_within(err, status, "%s", image_name);
    const float *found = frt_faces_embedding(photo->faces, 0);
    if (found == NULL)
        return frt_fail(err, FRT_ENO_FACE, "%s: no face found", image_name);
    status = live ? frt_face_check_live(frt_faces_get(photo->faces, 0), err) : FRT_OK;
    if (status != FRT_OK)
        return frt_fail_within(err, status, "%s", image_name);
    memcpy(embedding, found, dim * sizeof *embedding);
    return FRT_OK;
}

static void verdict_json(struct http_response *response, const struct frt_verdict *verdict,
                         const struct analysed photos[2])
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_answer_verdict(&w, verdict);
    frt_json_key(&w, "faces");
    frt_json_array(&w);
    for (int i = 0; i < 2; i++) {
        if (photos[i].faces != NULL)
            frt_answer_face(&w, frt_faces_get(photos[i].faces, 0), NULL, 0, FRT_ENCODING_ARRAY);
        else
            frt_json_null(&w); /* this side came as an embedding */
    }
    frt_json_end(&w);
    frt_answer_timing(&w, &response->timing);
    frt_json_end(&w);
}

void http_handle_verify(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    static const char *const fields[] = {"image1",    "image2",   "embedding1", "embedding2",
                                         "threshold", "liveness", NULL};
    struct frt_error err = {0};
    struct http_input input = {0};
    struct analysed photos[2] = {{0}, {0}};
    struct frt_verdict verdict;
    double threshold = (double)NAN;
    bool live[2] = {false, false};
    const struct frt_pack *pack = request->pack;
    size_t dim = frt_pack_info_get(pack)->dim;
    int64_t start = frt_now_ns();
    float *embeddings = NULL;
    enum frt_status status = FRT_OK;

    if (request->n_query > 0)
        status = frt_fail(&err, FRT_EBAD_REQUEST, "unknown query parameter '%.64s'; verify takes none",
                          request->query[0].name);
    if (status == FRT_OK)
        status = http_input_init(&input, request, &err);
    if (status != FRT_OK) {
        fail(response, request, status, &err);
        return;
    }
    if (input.kind == HTTP_INPUT_RAW)
        status = frt_fail(&err, FRT_EUNSUPPORTED_MEDIA,
                          "verify takes two images: send multipart/form-data or JSON with "
                          "image1 and image2");
    if (status == FRT_OK)
        status = http_input_only(&input, fields, &err);
    if (status == FRT_OK)
        status = http_input_number(&input, "threshold", -1, 1, &threshold, &err);
    if (status == FRT_OK)
        status = check_side(&input, "image1", "embedding1", &err);
    if (status == FRT_OK)
        status = check_side(&input, "image2", "embedding2", &err);
    if (status == FRT_OK)
        status = read_live(&input, live, &err);
    if (status != FRT_OK)
        goto done;
    embeddings = frt_alloc_array(2 * dim, sizeof *embeddings);
    if (embeddings == NULL) {
        status = frt_fail_nomem(&err, "embeddings");
        goto done;
    }
    status =
        side(service, &input, "image1", "embedding1", live[0], &photos[0], embeddings, &response->timing, &err);
    if (status == FRT_OK)
        status = side(service, &input, "image2", "embedding2", live[1], &photos[1], embeddings + dim,
                      &response->timing, &err);
    if (status == FRT_OK)
        status = frt_verify(pack, embeddings, embeddings + dim, (float)threshold, &verdict, &err);
    if (status == FRT_OK) {
        response->timing.total_ms = frt_elapsed_ms(start);
        int span = frt_trace_begin("write");
        verdict_json(response, &verdict, photos);
        frt_trace_end(span, NULL);
        status = finish(response, &err);
    }
done:
    if (status != FRT_OK)
        fail(response, request, status, &err);
    analysed_deinit(&photos[0]);
    analysed_deinit(&photos[1]);
    frt_free(embeddings);
    http_input_deinit(&input);
}
