#include "http/handler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "core/suggest.h"
#include "core/utf8.h"

enum { NUMBER_TEXT = 64, OBJECT_DEPTH = 16, MODEL_TEXT = 200 };

void http_fail(struct http_response *response, const struct http_request *request, enum frt_status status,
               const struct frt_error *err)
{
    http_problem(response, request, status == FRT_EINVAL ? FRT_EBAD_REQUEST : status, err->text);
    if (status == FRT_EINDEX_NOT_READY && err->retry_after_s > 0) {
        char seconds[16];
        (void)snprintf(seconds, sizeof seconds, "%u", err->retry_after_s);
        http_response_header(response, "Retry-After", seconds);
    }
}

void http_finish(struct http_response *response, const struct http_request *request)
{
    if (frt_buf_status(&response->body) != FRT_OK)
        http_problem(response, request, FRT_ENOMEM, "the answer does not fit in memory");
}

/* ------------------------------------------------------------------- fields */

/* Where a value stands: one of the three, or none. */
struct value {
    const struct frt_json_value *json;
    const struct http_part *part;
    const char *query;
};

static struct value find(const struct http_fields *fields, const char *name)
{
    struct value v = {0};
    if (fields->input.request != NULL) {
        v.json = http_input_member(&fields->input, name);
        v.part = http_input_part(&fields->input, name);
    }
    for (size_t i = 0; i < fields->request->n_query; i++)
        if (strcmp(fields->request->query[i].name, name) == 0)
            v.query = fields->request->query[i].value;
    return v;
}

static enum frt_status check_query(const struct http_fields *fields, const char *const *names,
                                   struct frt_error *err)
{
    const struct http_param *query = fields->request->query;
    size_t n_names = 0;
    while (names[n_names] != NULL)
        n_names++;
    for (size_t i = 0; i < fields->request->n_query; i++) {
        size_t k = 0;
        while (k < n_names && strcmp(names[k], query[i].name) != 0)
            k++;
        if (k == n_names) {
            const char *near = frt_suggest(query[i].name, names, n_names);
            return frt_fail(err, FRT_EBAD_REQUEST, "unknown query parameter '%.64s'%s%s%s", query[i].name,
                            near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                            near == NULL ? "" : "'?");
        }
        for (k = 0; k < i; k++)
            if (strcmp(query[k].name, query[i].name) == 0)
                return frt_fail(err, FRT_EBAD_REQUEST, "query parameter '%s' is given twice", query[i].name);
        struct value v = find(fields, query[i].name);
        if (v.json != NULL || v.part != NULL)
            return frt_fail(err, FRT_EBAD_REQUEST, "'%s' is given in the body and in the query", query[i].name);
    }
    return FRT_OK;
}

enum frt_status http_fields_init(struct http_fields *fields, const struct http_request *request,
                                 const char *const *names, const char *repeated, struct frt_error *err)
{
    struct http_fields f = {.request = request};
    enum frt_status status = FRT_OK;
    if (request->body_size > 0) {
        status = http_input_init(&f.input, request, err);
        if (status != FRT_OK)
            return status;
        status = http_input_only_but(&f.input, names, repeated, err);
    }
    if (status == FRT_OK)
        status = check_query(&f, names, err);
    if (status == FRT_OK)
        *fields = f;
    else
        http_fields_deinit(&f);
    return status;
}

enum frt_status http_fields_init_json(struct http_fields *fields, const struct http_request *request,
                                      const char *const *names, struct frt_error *err)
{
    struct http_fields f = {.request = request};
    enum frt_status status = FRT_OK;
    if (request->body_size > 0) {
        status = http_input_init_json(&f.input, request, err);
        if (status != FRT_OK)
            return status;
        status = http_input_only(&f.input, names, err);
    }
    if (status == FRT_OK)
        status = check_query(&f, names, err);
    if (status == FRT_OK)
        *fields = f;
    else
        http_fields_deinit(&f);
    return status;
}

void http_fields_deinit(struct http_fields *fields)
{
    if (fields->input.request != NULL)
        http_input_deinit(&fields->input);
    for (size_t i = 0; i < fields->n_owned; i++)
        frt_free(fields->owned[i]);
    *fields = (struct http_fields){0};
}

bool http_field_has(const struct http_fields *fields, const char *name)
{
    struct value v = find(fields, name);
    return (v.json != NULL && !frt_json_is_null(v.json)) || v.part != NULL || v.query != NULL;
}

bool http_field_is_null(const struct http_fields *fields, const char *name)
{
    return frt_json_is_null(find(fields, name).json);
}

/* CONSUMES text (NULL: no memory). */
static enum frt_status keep(struct http_fields *fields, char *text, const char **out, struct frt_error *err)
{
    if (text == NULL)
        return frt_fail_nomem(err, "a field");
    if (fields->n_owned == HTTP_FIELDS_OWNED) {
        frt_free(text);
        return frt_fail(err, FRT_EINTERNAL, "more than %d fields", HTTP_FIELDS_OWNED);
    }
    fields->owned[fields->n_owned++] = text;
    *out = text;
    return FRT_OK;
}

/* Text of a form's part or of the query, or of a JSON string; *out NULL: absent, or JSON of another kind. */
static enum frt_status plain_text(struct http_fields *fields, const char *name, const char **out,
                                  struct frt_error *err)
{
    struct value v = find(fields, name);
    *out = v.query != NULL ? v.query : frt_json_text(v.json);
    if (v.query != NULL && !frt_utf8_valid(v.query, strlen(v.query)))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' is not UTF-8", name);
    if (v.part == NULL)
        return FRT_OK;
    if (memchr(v.part->data, '\0', v.part->size) != NULL || !frt_utf8_valid(v.part->data, v.part->size))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' is not text in UTF-8", name);
    return keep(fields, frt_strndup(v.part->data, v.part->size), out, err);
}

enum frt_status http_field_text(struct http_fields *fields, const char *name, size_t max, const char **out,
                                struct frt_error *err)
{
    const char *text = NULL;
    if (!http_field_has(fields, name))
        return FRT_OK;
    enum frt_status status = plain_text(fields, name, &text, err);
    if (status != FRT_OK)
        return status;
    if (text == NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be a text", name);
    size_t n = strlen(text);
    if (n == 0 || n > max)
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' has %zu bytes; 1 to %zu are right", name, n, max);
    *out = text;
    return FRT_OK;
}

enum frt_status http_field_need_text(struct http_fields *fields, const char *name, size_t max, const char **out,
                                     struct frt_error *err)
{
    if (!http_field_has(fields, name))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' is missing", name);
    return http_field_text(fields, name, max, out, err);
}

enum frt_status http_field_number(struct http_fields *fields, const char *name, double low, double high,
                                  double *out, struct frt_error *err)
{
    struct value v = find(fields, name);
    const char *text = NULL;
    double number = 0;
    bool good = false;
    if (!http_field_has(fields, name))
        return FRT_OK;
    if (v.json != NULL) {
        good = frt_json_is_number(v.json);
        number = frt_json_double(v.json, 0);
    } else {
        char *end = NULL;
        enum frt_status status = plain_text(fields, name, &text, err);
        if (status != FRT_OK)
            return status;
        number = text == NULL ? 0 : strtod(text, &end);
        good = text != NULL && text[0] != '\0' && strlen(text) < NUMBER_TEXT && *end == '\0';
    }
    if (!good || !(number >= low && number <= high))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be a number from %g to %g", name, low, high);
    *out = number;
    return FRT_OK;
}

enum frt_status http_field_whole(struct http_fields *fields, const char *name, uint32_t low, uint32_t high,
                                 uint32_t *out, struct frt_error *err)
{
    double number = NAN;
    enum frt_status status = http_field_number(fields, name, low, high, &number, err);
    if (status != FRT_OK || isnan(number))
        return status;
    if (number != floor(number))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be a whole number from %u to %u", name, low, high);
    *out = (uint32_t)number;
    return FRT_OK;
}

enum frt_status http_field_truth(struct http_fields *fields, const char *name, bool *out, struct frt_error *err)
{
    struct value v = find(fields, name);
    const char *text = NULL;
    if (!http_field_has(fields, name))
        return FRT_OK;
    if (frt_json_is_bool(v.json)) {
        *out = frt_json_truth(v.json, false);
        return FRT_OK;
    }
    enum frt_status status = v.json != NULL ? FRT_OK : plain_text(fields, name, &text, err);
    if (status != FRT_OK)
        return status;
    if (text == NULL || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
        return frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be true or false", name);
    *out = text[0] == 't';
    return FRT_OK;
}

enum frt_status http_field_word(struct http_fields *fields, const char *name, const char *const *words,
                                int *out, struct frt_error *err)
{
    char list[200] = "";
    size_t used = 0;
    const char *text = NULL;
    if (!http_field_has(fields, name))
        return FRT_OK;
    enum frt_status status = plain_text(fields, name, &text, err);
    if (status != FRT_OK)
        return status;
    for (int i = 0; words[i] != NULL; i++) {
        if (text != NULL && strcmp(text, words[i]) == 0) {
            *out = i;
            return FRT_OK;
        }
        int n = snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", words[i]);
        used += n > 0 && (size_t)n < sizeof list - used ? (size_t)n : 0;
    }
    return frt_fail(err, FRT_EBAD_REQUEST, "'%s' is '%.64s'; one of %s is right", name,
                    text == NULL ? "no text" : text, list);
}

/* A value of a document as text again. False: nested too deep. */
static bool write_value(struct frt_json_writer *w, const struct frt_json_value *value, int depth)
{
    bool object = frt_json_is_object(value);
    if (depth > OBJECT_DEPTH)
        return false;
    if (object || frt_json_is_array(value)) {
        if (object)
            frt_json_object(w);
        else
            frt_json_array(w);
        for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v)) {
            if (object)
                frt_json_key(w, frt_json_key_of(v));
            if (!write_value(w, v, depth + 1))
                return false;
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
    return true;
}

enum frt_status http_field_object(struct http_fields *fields, const char *name, size_t max, const char **out,
                                  struct frt_error *err)
{
    struct frt_json *parsed = NULL;
    struct frt_json_writer w;
    struct frt_buf text;
    size_t size = 0;
    const char *given = NULL;
    const struct frt_json_value *value = find(fields, name).json;
    enum frt_status status = FRT_OK;
    if (!http_field_has(fields, name))
        return FRT_OK;
    if (value == NULL) { /* a part or parameter that holds JSON */
        status = plain_text(fields, name, &given, err);
        if (status == FRT_OK)
            status = frt_json_parse(given, strlen(given), &parsed, err);
        if (status != FRT_OK)
            return frt_fail_within(err, status, "'%s'", name);
        value = frt_json_root(parsed);
    }
    frt_buf_init(&text, max);
    frt_json_writer_init(&w, &text, false);
    if (!frt_json_is_object(value))
        status = frt_fail(err, FRT_EBAD_REQUEST, "'%s' must be a JSON object", name);
    else if (!write_value(&w, value, 0))
        status = frt_fail(err, FRT_EBAD_REQUEST, "'%s' is nested deeper than %d", name, OBJECT_DEPTH);
    else if (frt_buf_status(&text) == FRT_EBODY_TOO_LARGE)
        status = frt_fail(err, FRT_EBAD_REQUEST, "'%s' is longer than %zu bytes", name, max);
    else if (frt_buf_status(&text) != FRT_OK)
        status = frt_fail_nomem(err, "a field");
    else
        status = keep(fields, frt_buf_take(&text, &size), out, err);
    frt_buf_deinit(&text);
    frt_json_free(parsed);
    return status;
}

enum frt_status http_field_model(struct http_fields *fields, const char **out, struct frt_error *err)
{
    char text[2 * MODEL_TEXT + 2];
    const struct frt_json_value *value = find(fields, "model").json;
    if (!frt_json_is_object(value))
        return http_field_text(fields, "model", MODEL_TEXT, out, err);
    const char *name = frt_json_text(frt_json_get(value, "name")),
               *version = frt_json_text(frt_json_get(value, "version"));
    if (name == NULL || version == NULL || name[0] == '\0' || strlen(name) + strlen(version) + 1 > MODEL_TEXT)
        return frt_fail(err, FRT_EBAD_REQUEST, "'model' must hold the texts \"name\" and \"version\"");
    (void)snprintf(text, sizeof text, "%s %s", name, version);
    return keep(fields, frt_strdup(text), out, err);
}

enum frt_status http_field_embedding(struct http_fields *fields, float **out, uint32_t *dim,
                                     struct frt_error *err)
{
    size_t n = http_input_embedding_size(&fields->input, "embedding");
    if (n == 0 || n > FRT_MAX_DIM)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "'embedding' must be an array of 1 to %d numbers or base64 of little-endian f32",
                        FRT_MAX_DIM);
    float *values = frt_alloc_array(n, sizeof *values);
    if (values == NULL)
        return frt_fail_nomem(err, "an embedding");
    enum frt_status status = http_input_embedding(&fields->input, "embedding", values, n, err);
    if (status != FRT_OK) {
        frt_free(values);
        return status;
    }
    *out = values;
    *dim = (uint32_t)n;
    return FRT_OK;
}

/* -------------------------------------------------------------------- lists */

enum frt_status http_cursor_read(struct http_fields *fields, char after[HTTP_CURSOR_SIZE],
                                 struct frt_error *err)
{
    const char *text = NULL;
    char decoded[HTTP_CURSOR_SIZE + 3];
    size_t n = 0;
    after[0] = '\0';
    enum frt_status status = http_field_text(fields, "cursor", HTTP_CURSOR_SIZE - 1, &text, err);
    if (status != FRT_OK || text == NULL)
        return status;
    if (frt_base64_decode(text, strlen(text), decoded, sizeof decoded, &n, NULL) != FRT_OK || n == 0 ||
        n >= HTTP_CURSOR_SIZE || memchr(decoded, '\0', n) != NULL || !frt_utf8_valid(decoded, n))
        return frt_fail(err, FRT_EBAD_REQUEST, "'cursor' is not one that this service made");
    memcpy(after, decoded, n);
    after[n] = '\0';
    return FRT_OK;
}

void http_cursor_write(struct frt_json_writer *w, const char *last)
{
    char text[2 * HTTP_CURSOR_SIZE];
    size_t n = strlen(last);
    if (frt_base64url_encoded_size(n) > sizeof text)
        return; /* names are far shorter */
    frt_base64url_encode(last, n, text);
    frt_json_key(w, "next_cursor");
    frt_json_string(w, text);
}
