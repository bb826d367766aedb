#include "http/request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BODY_BYTES = 64 << 20 }; /* of an answer: a thousand faces with 4,096-number embeddings */

void http_response_init(struct http_response *response)
{
    *response = (struct http_response){.status = 200, .content_type = "application/json"};
    frt_buf_init(&response->body, MAX_BODY_BYTES);
}

void http_response_deinit(struct http_response *response)
{
    frt_buf_deinit(&response->body);
}

void http_response_header(struct http_response *response, const char *name, const char *value)
{
    size_t i = 0;
    while (i < response->n_headers && strcmp(response->headers[i].name, name) != 0)
        i++;
    assert(i < HTTP_MAX_HEADERS_OUT);
    response->headers[i].name = name;
    (void)snprintf(response->headers[i].value, sizeof response->headers[i].value, "%s", value);
    if (i == response->n_headers)
        response->n_headers++;
}

void http_older_begin(struct http_response *response, struct frt_json_writer *w, int http_status,
                      const char *message, const char *error)
{
    frt_buf_clear(&response->body);
    response->fixed = NULL;
    response->status = http_status;
    response->content_type = "application/json";
    frt_json_writer_init(w, &response->body, false);
    frt_json_object(w);
    frt_json_key(w, "status");
    frt_json_bool(w, http_status < 400);
    frt_json_key(w, "code");
    frt_json_int(w, http_status);
    frt_json_key(w, "message");
    frt_json_string(w, message);
    frt_json_key(w, "errorMessage");
    frt_json_string(w, error);
    frt_json_key(w, "data");
}

static bool open_problem(struct http_response *response, const struct http_request *request, int http_status,
                         const char *code, const char *title, const char *detail, struct frt_json_writer *w)
{
    char type[128];
    if (http_status == 503 || http_status == 429)
        http_response_header(response, "Retry-After", "1");
    if (request->older) {
        http_older_begin(response, w, http_status, title, detail);
        frt_json_null(w);
        frt_json_end(w);
        return false;
    }
    (void)snprintf(type, sizeof type, "urn:frt:problem:%s", code);
    frt_buf_clear(&response->body);
    response->fixed = NULL;
    response->status = http_status;
    response->content_type = "application/problem+json";
    frt_json_writer_init(w, &response->body, false);
    frt_json_object(w);
    frt_json_key(w, "type");
    frt_json_string(w, type);
    frt_json_key(w, "title");
    frt_json_string(w, title);
    frt_json_key(w, "status");
    frt_json_int(w, http_status);
    frt_json_key(w, "detail");
    frt_json_string(w, detail);
    if (request->path.n > 0 &&
        strcmp(request->path.segments[0], "v2") == 0) { /* the Open Inference protocol's own */
        frt_json_key(w, "error");
        frt_json_string(w, detail);
    }
    frt_json_key(w, "code");
    frt_json_string(w, code);
    frt_json_key(w, "request_id");
    frt_json_string(w, request->id);
    if (request->trace.trace_id[0] != '\0') {
        frt_json_key(w, "trace_id");
        frt_json_string(w, request->trace.trace_id);
    }
    return true;
}

void http_problem_as(struct http_response *response, const struct http_request *request, int http_status,
                     const char *code, const char *title, const char *detail)
{
    struct frt_json_writer w;
    if (open_problem(response, request, http_status, code, title, detail, &w))
        frt_json_end(&w);
}

bool http_problem_open(struct http_response *response, const struct http_request *request,
                       enum frt_status status, const char *detail, struct frt_json_writer *w)
{
    response->rejected = status == FRT_EOVERLOADED;
    return open_problem(response, request, frt_status_http(status), frt_status_code(status),
                        frt_status_title(status), detail, w);
}

void http_problem(struct http_response *response, const struct http_request *request, enum frt_status status,
                  const char *detail)
{
    struct frt_json_writer w;
    if (http_problem_open(response, request, status, detail, &w))
        frt_json_end(&w);
}
