/* /v1/collections, their index jobs. Contract: docs/api.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/answer_gallery.h"
#include "http/handler.h"

/* threshold, target_fpir, metadata, calibration; null takes a setting back. */
static enum frt_status read_settings(struct http_fields *fields, struct frt_collection_settings *out,
                                     struct frt_error *err)
{
    double threshold = (double)NAN, fpir = (double)NAN;
    const char *metadata = NULL, *calibration = NULL;
    struct frt_collection_settings s = {0};
    enum frt_status status = http_field_number(fields, "threshold", -1, 1, &threshold, err);
    if (status == FRT_OK)
        status = http_field_number(fields, "target_fpir", 0, 1, &fpir, err);
    if (status == FRT_OK)
        status = http_field_object(fields, "metadata", 16 * 1024, &metadata, err);
    if (status == FRT_OK)
        status = http_field_object(fields, "calibration", 32 * 1024, &calibration, err);
    if (status != FRT_OK)
        return status;
    if (!isnan(threshold) || http_field_is_null(fields, "threshold"))
        s.which |= FRT_COLLECTION_THRESHOLD;
    if (!isnan(fpir) || http_field_is_null(fields, "target_fpir"))
        s.which |= FRT_COLLECTION_TARGET_FPIR;
    if (metadata != NULL || http_field_is_null(fields, "metadata"))
        s.which |= FRT_COLLECTION_METADATA;
    if (calibration != NULL || http_field_is_null(fields, "calibration"))
        s.which |= FRT_COLLECTION_CALIBRATION;
    s.threshold = (float)threshold;
    s.target_fpir = fpir;
    s.metadata = metadata;
    s.calibration = calibration;
    *out = s;
    return FRT_OK;
}

/* What its pack knows of thresholds; NULL without one. */
static const struct frt_threshold_basis *basis_of(const struct http_request *request)
{
    return request->pack != NULL ? &request->pack->thresholds : NULL;
}

static enum frt_status answer_collection(struct http_service *service, const struct http_request *request,
                                         const char *name, struct http_response *response,
                                         struct frt_error *err)
{
    struct frt_json_writer w;
    struct frt_collection_info info = {0};
    enum frt_status status = frt_collection_get(service->gallery, name, &info, err);
    if (status != FRT_OK)
        return status;
    frt_json_writer_init(&w, &response->body, false);
    frt_answer_collection(&w, &info, basis_of(request));
    frt_collection_info_deinit(&info);
    return FRT_OK;
}

static const char *const no_fields[] = {NULL}, *const setting_names[] = {"threshold", "target_fpir", "metadata",
                                                                         "calibration", NULL};

static void change(struct http_service *service, struct http_request *request, struct http_response *response,
                   bool patch)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_collection_settings settings;
    bool created = false;
    const char *name = request->params[0];
    enum frt_status status = http_fields_init_json(&fields, request, setting_names, &err);
    if (status == FRT_OK)
        status = read_settings(&fields, &settings, &err);
    if (status == FRT_OK)
        status = patch ? frt_collection_patch(service->gallery, name, &settings, &err)
                       : frt_collection_put(service->gallery, name, &settings, &created, &err);
    if (status == FRT_OK)
        status = answer_collection(service, request, name, response, &err);
    if (status == FRT_OK) {
        response->status = created ? 201 : 200;
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

void http_handle_collection_put(struct http_service *service, struct http_request *request,
                                struct http_response *response)
{
    change(service, request, response, false);
}

void http_handle_collection_patch(struct http_service *service, struct http_request *request,
                                  struct http_response *response)
{
    change(service, request, response, true);
}

void http_handle_collection_get(struct http_service *service, struct http_request *request,
                                struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    enum frt_status status = http_fields_init_json(&fields, request, no_fields, &err);
    if (status == FRT_OK)
        status = answer_collection(service, request, request->params[0], response, &err);
    if (status == FRT_OK)
        http_finish(response, request);
    else
        http_fail(response, request, status, &err);
    http_fields_deinit(&fields);
}

void http_handle_collection_list(struct http_service *service, struct http_request *request,
                                 struct http_response *response)
{
    static const char *const names[] = {"limit", "cursor", NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    struct frt_collection_info *list = NULL;
    char after[HTTP_CURSOR_SIZE];
    uint32_t limit = HTTP_LIST_DEFAULT;
    size_t n = 0;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = http_field_whole(&fields, "limit", 1, HTTP_LIST_MAX, &limit, &err);
    if (status == FRT_OK)
        status = http_cursor_read(&fields, after, &err);
    if (status == FRT_OK)
        status = frt_collection_list(service->gallery, after, limit, &list, &n, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_answer_collections(&w, list, n, basis_of(request));
        if (n == limit)
            http_cursor_write(&w, list[n - 1].name);
        frt_json_end(&w);
        frt_collection_list_free(list, n);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

void http_handle_collection_delete(struct http_service *service, struct http_request *request,
                                   struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    struct frt_collection_removed removed = {0};
    enum frt_status status = http_fields_init_json(&fields, request, no_fields, &err);
    if (status == FRT_OK)
        status = frt_collection_delete(service->gallery, request->params[0], &removed, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_json_key(&w, "name");
        frt_json_string(&w, request->params[0]);
        frt_json_key(&w, "deleted_faces");
        frt_json_int(&w, (int64_t)removed.faces);
        frt_json_end(&w);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

/* --------------------------------------------------------------------- jobs */

void http_handle_rebuild(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    struct frt_job job = {0};
    char location[64];
    enum frt_status status = http_fields_init_json(&fields, request, no_fields, &err);
    if (status == FRT_OK)
        status = frt_rebuild(service->gallery, request->params[0], &job, &err);
    if (status == FRT_OK) {
        (void)snprintf(location, sizeof location, "/v1/jobs/%s", job.id);
        response->status = 202;
        http_response_header(response, "Location", location);
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_json_key(&w, "job");
        frt_json_string(&w, job.id);
        frt_json_end(&w);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}

void http_handle_job(struct http_service *service, struct http_request *request, struct http_response *response)
{
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    struct frt_job job = {0};
    enum frt_status status = http_fields_init_json(&fields, request, no_fields, &err);
    if (status == FRT_OK)
        status = frt_job_get(service->gallery, request->params[0], &job, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_answer_job(&w, &job);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}
