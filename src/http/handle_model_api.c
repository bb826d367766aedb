/*
 * /v2/…: the models for other programs, and for another FRT, by the Open Inference protocol (KServe v2). Off
 * unless the setting model_api is on. Contract: docs/api.md, docs/formats/kserve-v2.md.
 */
#include <stdio.h>

#include "engine/model_api.h"
#include "http/handler.h"

/* Parameters of a route: {model}, and {version} where there is one. */
static const char *version_of(const struct http_request *request)
{
    return request->params[1];
}

static bool is_on(const struct http_service *service, const struct http_request *request,
                  struct http_response *response)
{
    if (service->config->model_api)
        return true;
    http_problem(
        response, request, FRT_ENOTFOUND,
        "this service does not offer its models to others; model_api (FRT_MODEL_API=true) switches that on");
    return false;
}

/* {}: the status says it. */
static void empty(struct http_response *response)
{
    frt_buf_append_text(&response->body, "{}");
}

void http_handle_model_server(struct http_service *service, struct http_request *request,
                              struct http_response *response)
{
    struct frt_json_writer w;
    if (!is_on(service, request, response))
        return;
    frt_json_writer_init(&w, &response->body, false);
    frt_model_api_server(&w);
}

void http_handle_model_server_live(struct http_service *service, struct http_request *request,
                                   struct http_response *response)
{
    if (is_on(service, request, response))
        empty(response);
}

void http_handle_model_server_ready(struct http_service *service, struct http_request *request,
                                    struct http_response *response)
{
    if (!is_on(service, request, response))
        return;
    if (atomic_load(&service->state) != HTTP_READY)
        http_problem(response, request, FRT_EUNAVAILABLE, "the models are being loaded, or the service stops");
    else
        empty(response);
}

void http_handle_model_metadata(struct http_service *service, struct http_request *request,
                                struct http_response *response)
{
    struct frt_error err = {0};
    struct frt_json_writer w;
    if (!is_on(service, request, response))
        return;
    frt_json_writer_init(&w, &response->body, false);
    enum frt_status status =
        frt_model_api_metadata(request->pack, request->params[0], version_of(request), &w, &err);
    if (status == FRT_OK)
        http_finish(response, request);
    else
        http_fail(response, request, status, &err);
}

void http_handle_model_ready(struct http_service *service, struct http_request *request,
                             struct http_response *response)
{
    struct frt_error err = {0};
    if (!is_on(service, request, response))
        return;
    enum frt_status status = frt_model_api_find(request->pack, request->params[0], version_of(request), &err);
    if (status == FRT_OK)
        empty(response);
    else
        http_fail(response, request, status, &err);
}

void http_handle_model_infer(struct http_service *service, struct http_request *request,
                             struct http_response *response)
{
    struct frt_error err = {0};
    size_t json_size = 0;
    char length[24];
    const struct frt_stage_wait wait = {.priority =
                                            request->bulk ? FRT_PRIORITY_BULK : FRT_PRIORITY_INTERACTIVE,
                                        .deadline_ms = request->deadline_ms,
                                        .cancelled = request->cancelled,
                                        .cancelled_arg = request->cancelled_arg};
    const struct frt_model_api_call call = {.name = request->params[0],
                                            .version = version_of(request),
                                            .body = request->body,
                                            .size = request->body_size,
                                            .json_size = request->inference_length,
                                            .wait = &wait};
    if (!is_on(service, request, response))
        return;
    enum frt_status status = frt_model_api_infer(request->pack, &call, &response->body, &json_size, &err);
    if (status != FRT_OK) {
        http_fail(response, request, status, &err);
        return;
    }
    if (json_size != 0) {
        response->content_type = "application/octet-stream";
        (void)snprintf(length, sizeof length, "%zu", json_size);
        http_response_header(response, "Inference-Header-Content-Length", length);
    }
    http_finish(response, request);
}
