#include "http/request.h"

#include <assert.h>
#include <stdio.h>

#include "core/json_write.h"

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
    assert(response->n_headers < HTTP_MAX_HEADERS_OUT);
    response->headers[response->n_headers].name = name;
    (void)snprintf(response->headers[response->n_headers].value, sizeof response->headers[0].value, "%s",
                   value);
    response->n_headers++;
}

void http_problem_as(struct http_response *response, const struct http_request *request, int http_status,
                     const char *code, const char *title, const char *detail)
{
    struct frt_json_writer w;
    char type[128];
    (void)snprintf(type, sizeof type, "urn:frt:problem:%s", code);
    frt_buf_clear(&response->body);
    response->fixed = NULL;
    response->status = http_status;
    response->content_type = "application/problem+json";
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_json_key(&w, "type");
    frt_json_string(&w, type);
    frt_json_key(&w, "title");
    frt_json_string(&w, title);
    frt_json_key(&w, "status");
    frt_json_int(&w, http_status);
    frt_json_key(&w, "detail");
    frt_json_string(&w, detail);
    frt_json_key(&w, "code");
    frt_json_string(&w, code);
    frt_json_key(&w, "request_id");
    frt_json_string(&w, request->id);
    frt_json_end(&w);
    if (http_status == 503 || http_status == 429)
        http_response_header(response, "Retry-After", "1");
}

void http_problem(struct http_response *response, const struct http_request *request, enum frt_status status,
                  const char *detail)
{
    response->rejected = status == FRT_EOVERLOADED;
    http_problem_as(response, request, frt_status_http(status), frt_status_code(status),
                    frt_status_title(status), detail);
}
