#include "http/image_input.h"

#include <stdio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "core/suggest.h"
#include "core/trace.h"

enum { MAX_NUMBER_TEXT = 64 };

/* Media type without parameters, any case. */
static bool is_type(const char *content_type, const char *type)
{
    size_t n = strcspn(content_type, "; \t");
    return strlen(type) == n && strncasecmp(content_type, type, n) == 0;
}

enum frt_status http_input_init_json(struct http_input *input, const struct http_request *request,
                                     struct frt_error *err)
{
    struct http_input in = {.request = request, .kind = HTTP_INPUT_JSON};
    int span = frt_trace_begin("parse");
    enum frt_status status = frt_json_parse(request->body, request->body_size, &in.json, err);
    frt_trace_end(span, NULL);
    if (status != FRT_OK)
        return status;
    if (!frt_json_is_object(frt_json_root(in.json))) {
        frt_json_free(in.json);
        return frt_fail(err, FRT_EBAD_REQUEST, "the JSON body must be an object");
    }
    *input = in;
    return FRT_OK;
}

enum frt_status http_input_init(struct http_input *input, const struct http_request *request,
                                struct frt_error *err)
{
    struct http_input in = {.request = request};
    const char *type = request->content_type;
    enum frt_status status = FRT_OK;
    if (request->body_size == 0)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "the body is empty; send an image as body, as multipart part or as "
                        "base64 in JSON");
    if (http_is_multipart(type)) {
        in.kind = HTTP_INPUT_PARTS;
        int span = frt_trace_begin("parse");
        status = http_multipart_parse(type, request->body, request->body_size, in.parts, &in.n_parts, err);
        frt_trace_end(span, NULL);
    } else if (type != NULL && is_type(type, "application/json")) {
        return http_input_init_json(input, request, err);
    } else if (type != NULL && strncasecmp(type, "image/", 6) != 0 &&
               !is_type(type, "application/octet-stream") &&
               !is_type(type, "application/x-www-form-urlencoded")) { /* what curl says of --data-binary */
        status = frt_fail(err, FRT_EUNSUPPORTED_MEDIA,
                          "Content-Type is '%.100s'; image/*, application/octet-stream, multipart/form-data or "
                          "application/json is right",
                          type);
    } else {
        in.kind = HTTP_INPUT_RAW;
    }
    if (status == FRT_OK)
        *input = in;
    return status;
}

void http_input_deinit(struct http_input *input)
{
    if (input->kind == HTTP_INPUT_JSON)
        frt_json_free(input->json);
    input->json = NULL;
}

const struct http_part *http_input_part(const struct http_input *input, const char *name)
{
    for (size_t i = 0; i < input->n_parts; i++)
        if (strcmp(input->parts[i].name, name) == 0)
            return &input->parts[i];
    return NULL;
}

const struct frt_json_value *http_input_member(const struct http_input *input, const char *name)
{
    return input->kind == HTTP_INPUT_JSON ? frt_json_get(frt_json_root(input->json), name) : NULL;
}

bool http_input_has(const struct http_input *input, const char *name)
{
    return http_input_part(input, name) != NULL || http_input_member(input, name) != NULL;
}

static enum frt_status only(const char *given, const char *what, const char *const *names,
                            struct frt_error *err)
{
    size_t n = 0;
    for (; names[n] != NULL; n++)
        if (strcmp(names[n], given) == 0)
            return FRT_OK;
    const char *near = frt_suggest(given, names, n);
    return frt_fail(err, FRT_EBAD_REQUEST, "unknown %s '%.64s'%s%s%s", what, given,
                    near == NULL ? "" : "; did you mean '", near == NULL ? "" : near, near == NULL ? "" : "'?");
}

enum frt_status http_input_only(const struct http_input *input, const char *const *names, struct frt_error *err)
{
    return http_input_only_but(input, names, NULL, err);
}

enum frt_status http_input_only_but(const struct http_input *input, const char *const *names,
                                    const char *repeated, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (size_t i = 0; status == FRT_OK && i < input->n_parts; i++) {
        status = only(input->parts[i].name, "part", names, err);
        bool again = http_input_part(input, input->parts[i].name) != &input->parts[i];
        if (status == FRT_OK && again && (repeated == NULL || strcmp(repeated, input->parts[i].name) != 0))
            status = frt_fail(err, FRT_EBAD_REQUEST, "part '%s' is given twice", input->parts[i].name);
    }
    const struct frt_json_value *root = input->kind == HTTP_INPUT_JSON ? frt_json_root(input->json) : NULL;
    for (const struct frt_json_value *v = frt_json_first(root); status == FRT_OK && v != NULL;
         v = frt_json_next(v))
        status = only(frt_json_key_of(v), "field", names, err);
    return status;
}

/* Base64, or a data URL that holds base64. */
static enum frt_status decode_text(const char *name, const char *text, const char **data, size_t *size,
                                   char **owned, struct frt_error *err)
{
    if (strncasecmp(text, "data:", 5) == 0) {
        const char *comma = strchr(text, ',');
        if (comma == NULL || comma - text < 12 || strncasecmp(comma - 7, ";base64", 7) != 0)
            return frt_fail(err, FRT_EBAD_REQUEST, "'%s' is a data URL without ';base64,'", name);
        text = comma + 1;
    } else if (strncasecmp(text, "http:", 5) == 0 || strncasecmp(text, "https:", 6) == 0 ||
               strncasecmp(text, "file:", 5) == 0 || strncasecmp(text, "ftp:", 4) == 0) {
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "'%s' is a URL; URLs and paths are never fetched: send the image's bytes as base64",
                        name);
    }
    size_t length = strlen(text), capacity = length / 4 * 3 + 3;
    char *bytes = frt_alloc(capacity);
    if (bytes == NULL)
        return frt_fail_nomem(err, "an image");
    enum frt_status status = frt_base64_decode(text, length, bytes, capacity, size, err);
    if (status != FRT_OK) {
        frt_free(bytes);
        return frt_fail_within(err, status, "'%s'", name);
    }
    *data = *owned = bytes;
    return FRT_OK;
}

enum frt_status http_input_image(const struct http_input *input, const char *name, const char **data,
                                 size_t *size, char **owned, struct frt_error *err)
{
    *owned = NULL;
    if (input->kind == HTTP_INPUT_RAW) {
        *data = input->request->body;
        *size = input->request->body_size;
        return FRT_OK;
    }
    const struct http_part *p = http_input_part(input, name);
    if (p != NULL) {
        *data = p->data;
        *size = p->size;
        return FRT_OK;
    }
    const char *text = frt_json_text(http_input_member(input, name));
    if (text != NULL) {
        int span = frt_trace_begin("base64");
        enum frt_status status = decode_text(name, text, data, size, owned, err);
        frt_trace_end(span, NULL);
        return status;
    }
    if (http_input_member(input, name) != NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be a base64 string", name);
    return frt_fail(err, FRT_EBAD_REQUEST, "%s '%s' with an image is missing",
                    input->kind == HTTP_INPUT_PARTS ? "the part" : "the field", name);
}

size_t http_input_image_count(const struct http_input *input, const char *name, const char *list)
{
    size_t n = 0;
    if (input->kind == HTTP_INPUT_RAW)
        return 1;
    for (size_t i = 0; i < input->n_parts; i++)
        n += strcmp(input->parts[i].name, name) == 0;
    if (http_input_member(input, name) != NULL)
        n++;
    const struct frt_json_value *array = http_input_member(input, list);
    return n + (frt_json_is_array(array) ? frt_json_count(array) : 0);
}

enum frt_status http_input_image_at(const struct http_input *input, const char *name, const char *list,
                                    size_t i, const char **data, size_t *size, char **owned,
                                    struct frt_error *err)
{
    *owned = NULL;
    for (size_t k = 0, n = 0; k < input->n_parts; k++) {
        if (strcmp(input->parts[k].name, name) != 0 || n++ != i)
            continue;
        *data = input->parts[k].data;
        *size = input->parts[k].size;
        return FRT_OK;
    }
    if (input->kind != HTTP_INPUT_JSON || (i == 0 && http_input_member(input, name) != NULL))
        return http_input_image(input, name, data, size, owned, err);
    const struct frt_json_value *v = frt_json_first(http_input_member(input, list));
    for (size_t n = http_input_member(input, name) != NULL; v != NULL && n < i; n++)
        v = frt_json_next(v);
    if (!frt_json_is_string(v))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s'[%zu] must be a base64 string", list, i);
    return decode_text(list, frt_json_text(v), data, size, owned, err);
}

/* ------------------------------------------------------------ embeddings */

size_t http_input_embedding_size(const struct http_input *input, const char *name)
{
    const struct http_part *p = http_input_part(input, name);
    const struct frt_json_value *value = http_input_member(input, name);
    const char *text = frt_json_text(value);
    size_t n = 0, letters = 0;
    if (p != NULL && p->size > 0 && p->data[0] == '[') {
        for (size_t i = 0; i < p->size; i++)
            n += p->data[i] == ',';
        return n + 1;
    }
    if (frt_json_is_array(value))
        return frt_json_count(value);
    if (p == NULL && text == NULL)
        return 0;
    const char *from = p != NULL ? p->data : text;
    size_t size = p != NULL ? p->size : strlen(text);
    for (size_t i = 0; i < size; i++) /* what is no base64 is refused when it is decoded */
        letters += from[i] > ' ' && from[i] != '=';
    return letters * 3 / 4 / sizeof(float);
}

static enum frt_status from_numbers(const struct frt_json_value *array, const char *name, float *out,
                                    size_t dim, struct frt_error *err)
{
    size_t n = 0;
    for (const struct frt_json_value *v = frt_json_first(array); v != NULL; v = frt_json_next(v), n++) {
        if (!frt_json_is_number(v))
            return frt_fail(err, FRT_EBAD_REQUEST, "'%s'[%zu] is not a number", name, n);
        if (n < dim)
            out[n] = (float)frt_json_double(v, 0);
    }
    if (n != dim)
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' has %zu numbers; the loaded model's embeddings have %zu",
                        name, n, dim);
    return FRT_OK;
}

/* dim little-endian f32. */
static void read_floats(const char *bytes, float *out, size_t dim)
{
    for (size_t i = 0; i < dim; i++) {
        const uint8_t *p = (const uint8_t *)bytes + 4 * i;
        uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static enum frt_status from_base64(const char *text, const char *name, float *out, size_t dim,
                                   struct frt_error *err)
{
    const char *data = NULL;
    char *owned = NULL;
    size_t size = 0;
    enum frt_status status = decode_text(name, text, &data, &size, &owned, err);
    if (status != FRT_OK)
        return status;
    if (owned == NULL || size != dim * sizeof(float))
        status = frt_fail(err, FRT_EBAD_REQUEST, "'%s' holds %zu bytes; %zu (%zu little-endian f32) are right",
                          name, size, dim * sizeof(float), dim);
    else
        read_floats(owned, out, dim);
    frt_free(owned);
    return status;
}

enum frt_status http_input_embedding(const struct http_input *input, const char *name, float *out, size_t dim,
                                     struct frt_error *err)
{
    const struct http_part *p = http_input_part(input, name);
    const struct frt_json_value *value = http_input_member(input, name);
    struct frt_json *parsed = NULL;
    enum frt_status status;
    if (p != NULL) { /* a part holds what the JSON field would: an array, or base64 text */
        if (p->size > 0 && p->data[0] == '[') {
            status = frt_json_parse(p->data, p->size, &parsed, err);
            if (status == FRT_OK)
                status = from_numbers(frt_json_root(parsed), name, out, dim, err);
            frt_json_free(parsed);
            return status;
        }
        char *text = frt_strndup(p->data, p->size);
        if (text == NULL)
            return frt_fail_nomem(err, "an embedding");
        status = from_base64(text, name, out, dim, err);
        frt_free(text);
        return status;
    }
    if (frt_json_is_array(value))
        return from_numbers(value, name, out, dim, err);
    if (frt_json_is_string(value))
        return from_base64(frt_json_text(value), name, out, dim, err);
    return frt_fail(err, FRT_EBAD_REQUEST,
                    "'%s' must be an array of %zu numbers or base64 of little-endian f32", name, dim);
}

enum frt_status http_input_number(const struct http_input *input, const char *name, double low, double high,
                                  double *out, struct frt_error *err)
{
    const struct http_part *p = http_input_part(input, name);
    const struct frt_json_value *value = http_input_member(input, name);
    char text[MAX_NUMBER_TEXT] = "";
    double number = 0;
    bool good;
    if (p != NULL) {
        char *end = NULL;
        size_t n = p->size < sizeof text - 1 ? p->size : sizeof text - 1;
        memcpy(text, p->data, n);
        text[n] = '\0';
        number = strtod(text, &end);
        good = n > 0 && p->size < sizeof text && *end == '\0';
    } else if (value == NULL || frt_json_is_null(value)) {
        return FRT_OK;
    } else {
        good = frt_json_is_number(value);
        number = frt_json_double(value, 0);
    }
    if (!good || !(number >= low && number <= high))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be a number from %g to %g", name, low, high);
    *out = number;
    return FRT_OK;
}

enum frt_status http_input_word(const struct http_input *input, const char *name, const char *const *words,
                                int *out, struct frt_error *err)
{
    const struct http_part *p = http_input_part(input, name);
    const struct frt_json_value *value = http_input_member(input, name);
    char list[200] = "";
    size_t used = 0;
    if (p == NULL && (value == NULL || frt_json_is_null(value)))
        return FRT_OK;
    const char *text = p != NULL ? p->data : frt_json_text(value);
    const size_t size = p != NULL ? p->size : text != NULL ? strlen(text) : 0;
    for (int i = 0; words[i] != NULL; i++) {
        if (text != NULL && size == strlen(words[i]) && memcmp(text, words[i], size) == 0) {
            *out = i;
            return FRT_OK;
        }
        int n = snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", words[i]);
        used += n > 0 && (size_t)n < sizeof list - used ? (size_t)n : 0;
    }
    return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be one of %s", name, list);
}
