/* POST /v1/models/reload. Contract: docs/api.md. */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "http/handler.h"
#include "http/reload.h"

enum { LIST_PAGE = 1000, LISTED = 100, COLLECTION_NAME_SIZE = 129 };

static void write_pack(struct frt_json_writer *w, const char *key, const struct frt_pack_names *names)
{
    frt_json_key(w, key);
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, names->name);
    frt_json_key(w, "version");
    frt_json_string(w, names->version);
    frt_json_key(w, "id");
    frt_json_string(w, names->id);
    frt_json_key(w, "embedder");
    frt_json_string(w, names->model);
    frt_json_key(w, "threshold");
    frt_json_fixed(w, (double)names->threshold, 6);
    frt_json_end(w);
}

/* Collections whose faces are another model's: searches in them answer 409 until they are migrated, or their
 * pack is back. The first LISTED by name. */
static enum frt_status write_others(struct http_service *service, struct frt_json_writer *w, const char *model,
                                    struct frt_error *err)
{
    char after[COLLECTION_NAME_SIZE] = "";
    uint64_t others = 0;
    enum frt_status status = FRT_OK;
    frt_json_key(w, "collections_of_other_models");
    frt_json_array(w);
    for (size_t n = LIST_PAGE; status == FRT_OK && n == LIST_PAGE;) {
        struct frt_collection_info *list = NULL;
        status = frt_collection_list(service->gallery, after, LIST_PAGE, &list, &n, err);
        if (status != FRT_OK)
            break;
        for (size_t i = 0; i < n; i++) {
            if (list[i].model[0] == '\0' || strcmp(list[i].model, model) == 0 || others++ >= LISTED)
                continue;
            frt_json_object(w);
            frt_json_key(w, "name");
            frt_json_string(w, list[i].name);
            frt_json_key(w, "embedder");
            frt_json_string(w, list[i].model);
            frt_json_end(w);
        }
        if (n > 0)
            (void)snprintf(after, sizeof after, "%s", list[n - 1].name);
        frt_collection_list_free(list, n);
    }
    frt_json_end(w);
    frt_json_key(w, "other_models");
    frt_json_int(w, (int64_t)others);
    return status;
}

void http_handle_models_reload(struct http_service *service, struct http_request *request,
                               struct http_response *response)
{
    static const char *const names[] = {"pack", NULL};
    struct http_fields fields = {0};
    struct frt_pack_loaded loaded;
    struct frt_error err = {0};
    struct frt_json_writer w;
    const char *pack = NULL;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = http_field_text(&fields, "pack", HTTP_PACK_NAME_MAX, &pack, &err);
    if (status == FRT_OK)
        status = http_reload(service, pack, &loaded, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        write_pack(&w, "pack", &loaded.now);
        write_pack(&w, "before", &loaded.before);
        frt_json_key(&w, "changed");
        frt_json_bool(&w, strcmp(loaded.now.id, loaded.before.id) != 0);
        frt_json_key(&w, "ms");
        frt_json_fixed(&w, loaded.ms, 3);
        status = write_others(service, &w, loaded.now.model, &err);
        frt_json_end(&w);
    }
    if (status == FRT_OK)
        http_finish(response, request);
    else
        http_fail(response, request, status, &err);
    http_fields_deinit(&fields);
}
