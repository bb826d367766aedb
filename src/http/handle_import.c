/* POST /v1/collections/{c}/import and GET …/export: NDJSON of any length, in constant memory. Contract:
 * docs/api.md; the bytes: docs/formats/ndjson-v1.md. */
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "engine/answer_gallery.h"
#include "http/handler.h"

/* Of a page: some 300 KiB, as every client that reads slowly keeps one in memory. */
enum { EXPORT_FACES = 100 };

/* ------------------------------------------------------------------- import */

static void free_importer(void *state)
{
    frt_importer_free(state); /* what was not committed yet is forgotten */
}

/* The embeddings' model: said in the query, else the loaded one. Its size: that of the loaded model, of the
 * collection's faces, or said. */
static enum frt_status read_model(struct http_service *service, struct http_fields *fields, const char **model,
                                  uint32_t *dim, struct frt_error *err)
{
    const struct frt_pack *pack = fields->request->pack;
    struct frt_collection_info info = {0};
    uint32_t said = 0;
    const char *name = frt_pack_model(pack);
    enum frt_status status = http_field_text(fields, "model", 200, &name, err);
    if (status == FRT_OK)
        status = http_field_whole(fields, "dim", 1, FRT_MAX_DIM, &said, err);
    if (status == FRT_OK)
        status = frt_collection_get(service->gallery, fields->request->params[0], &info, err);
    if (status != FRT_OK)
        return status;
    if (said == 0 && strcmp(name, frt_pack_model(pack)) == 0)
        said = frt_pack_info_get(pack)->dim;
    else if (said == 0 && strcmp(name, info.model) == 0)
        said = info.dim;
    frt_collection_info_deinit(&info);
    if (said == 0)
        return frt_fail(
            err, FRT_EBAD_REQUEST,
            "the model '%.100s' is not the loaded one; say with ?dim= how many numbers its embeddings "
            "have",
            name);
    *model = name;
    *dim = said;
    return FRT_OK;
}

static bool is_ndjson(const char *type)
{
    static const char *const taken[] = {"application/x-ndjson",     "application/ndjson",
                                        "application/jsonl",        "application/json-seq",
                                        "application/json",         "text/plain",
                                        "application/octet-stream", "application/x-www-form-urlencoded"};
    size_t n = type == NULL ? 0 : strcspn(type, "; \t");
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strlen(taken[i]) == n && strncasecmp(type, taken[i], n) == 0)
            return true;
    return type == NULL;
}

static enum frt_status begin_import(struct http_service *service, struct http_request *request,
                                    struct frt_error *err)
{
    static const char *const names[] = {"model", "dim", NULL};
    struct http_fields fields = {0};
    struct frt_importer *importer = NULL;
    const char *model = NULL;
    uint32_t dim = 0;
    struct http_request head = *request; /* the body is no field */
    head.body = NULL;
    head.body_size = 0;
    if (!is_ndjson(request->content_type))
        return frt_fail(err, FRT_EUNSUPPORTED_MEDIA, "Content-Type is '%.100s'; application/x-ndjson is right",
                        request->content_type);
    enum frt_status status = http_fields_init_json(&fields, &head, names, err);
    if (status == FRT_OK)
        status = read_model(service, &fields, &model, &dim, err);
    if (status == FRT_OK)
        status = frt_import_begin(service->gallery, request->params[0], model, dim, &importer, err);
    if (status == FRT_OK) {
        request->state = importer;
        request->state_free = free_importer;
    }
    http_fields_deinit(&fields);
    return status;
}

void http_handle_import(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    struct frt_error err = {0};
    struct frt_json_writer w;
    enum frt_status status = request->state == NULL ? begin_import(service, request, &err) : FRT_OK;
    if (status != FRT_OK) {
        http_fail(response, request, status, &err);
        return;
    }
    struct frt_importer *importer = request->state;
    if (request->body_size > 0)
        status = frt_import_feed(importer, request->body, request->body_size, &err);
    if (status == FRT_OK && request->more)
        return;
    if (status == FRT_OK)
        status = frt_import_finish(importer, &err);
    struct frt_import_report report = frt_import_report_get(importer);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_answer_import(&w, &report);
        frt_json_end(&w);
        http_finish(response, request);
    } else if (http_problem_open(response, request, status == FRT_EINVAL ? FRT_EBAD_REQUEST : status, err.text,
                                 &w)) { /* what stood before it is in */
        frt_answer_import(&w, &report);
        frt_json_end(&w);
    }
}

/* ------------------------------------------------------------------- export */

static enum frt_status export_page(struct http_service *service, struct http_request *request,
                                   struct http_response *response, struct frt_error *err)
{
    char *text = NULL;
    size_t size = 0;
    uint64_t *cursor = request->state;
    enum frt_status status =
        frt_export_page(service->gallery, request->params[0], cursor, EXPORT_FACES, &text, &size, err);
    if (status == FRT_OK)
        frt_buf_append(&response->body, text, size);
    frt_export_free(text);
    return status;
}

void http_handle_export(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    static const char *const names[] = {NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    http_fields_deinit(&fields);
    if (status == FRT_OK && request->http_1_0)
        status = frt_fail(&err, FRT_EBAD_REQUEST,
                          "an export is sent in chunks, which HTTP/1.0 does not have; ask with HTTP/1.1");
    if (status == FRT_OK && (request->state = frt_alloc_zero(1, sizeof(uint64_t))) == NULL)
        status = frt_fail_nomem(&err, "an export");
    request->state_free = frt_free;
    if (status == FRT_OK)
        status = export_page(service, request, response, &err);
    if (status != FRT_OK) {
        http_fail(response, request, status, &err);
        return;
    }
    response->content_type = "application/x-ndjson";
    response->next_page = export_page;
}
