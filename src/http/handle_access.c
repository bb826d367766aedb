/* /v1/auth/login, /v1/keys and the older /login. Contract: docs/api.md. */
#include <stdio.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"
#include "http/handler.h"
#include "http/login_limit.h"

/* -------------------------------------------------------------------- login */

static void too_many(struct http_request *request, struct http_response *response, uint32_t wait_s)
{
    char text[16];
    http_problem_as(response, request, 429, "too_many_requests", "Too many logins failed",
                    "too many logins from this address have failed; wait, then try again");
    (void)snprintf(text, sizeof text, "%u", wait_s);
    http_response_header(response, "Retry-After", text);
}

/* Who logs in and the token; `login` is wiped by the caller. */
static enum frt_status log_in(struct http_service *service, struct http_request *request,
                              struct frt_login *login, uint32_t *wait_s, struct frt_error *err)
{
    static const char *const names[] = {"email", "password", NULL};
    struct http_fields fields = {0};
    const char *email = NULL, *password = NULL;
    enum frt_status status = request->n_query > 0
                                 ? frt_fail(err, FRT_EBAD_REQUEST, "email and password belong in the body")
                                 : http_fields_init_json(&fields, request, names, err);
    if (status == FRT_OK)
        status = http_field_need_text(&fields, "email", FRT_EMAIL_SIZE - 1, &email, err);
    if (status == FRT_OK)
        status = http_field_need_text(&fields, "password", FRT_PASSWORD_MAX_BYTES, &password, err);
    if (status == FRT_OK) {
        *wait_s = http_login_limit_begin(service->logins, request->peer);
        if (*wait_s > 0)
            status = frt_fail(err, FRT_EOVERLOADED, "too many failed logins");
        else
            status = frt_access_login(service->access, email, password, login, err);
        if (*wait_s == 0 && status != FRT_EUNAUTHORIZED)
            http_login_limit_refund(service->logins, request->peer);
    }
    http_fields_deinit(&fields);
    if (request->body != NULL)
        frt_wipe(request->body, request->body_size);
    return status;
}

static void refuse_login(struct http_request *request, struct http_response *response, enum frt_status status,
                         uint32_t wait_s, const struct frt_error *err)
{
    if (wait_s > 0) {
        too_many(request, response, wait_s);
        return;
    }
    http_fail(response, request, status, err);
    if (status == FRT_EUNAUTHORIZED)
        http_response_header(response, "WWW-Authenticate", "Bearer realm=\"frt\"");
}

void http_handle_login(struct http_service *service, struct http_request *request,
                       struct http_response *response)
{
    struct frt_error err = {0};
    struct frt_login login = {0};
    struct frt_json_writer w;
    char expires[FRT_TIME_TEXT_SIZE];
    uint32_t wait_s = 0;
    enum frt_status status = log_in(service, request, &login, &wait_s, &err);
    if (status == FRT_OK) {
        frt_time_text(login.expires_ms, expires);
        if (request->older) {
            http_older_begin(response, &w, 200, "Logged in", "");
            frt_json_object(&w);
        } else {
            frt_json_writer_init(&w, &response->body, false);
            frt_json_object(&w);
        }
        frt_json_key(&w, "access_token");
        frt_json_string(&w, login.token);
        frt_json_key(&w, "token_type");
        frt_json_string(&w, "Bearer");
        frt_json_key(&w, "expires_at");
        frt_json_string(&w, expires);
        frt_json_key(&w, "role");
        frt_json_string(&w, frt_role_name(login.role));
        frt_json_end(&w);
        if (request->older)
            frt_json_end(&w);
        http_response_header(response, "Cache-Control", "no-store");
        http_finish(response, request);
    } else {
        refuse_login(request, response, status, wait_s, &err);
    }
    frt_wipe(&login, sizeof login);
}

/* --------------------------------------------------------------------- keys */

static void key_members(struct frt_json_writer *w, const struct frt_key_info *info)
{
    char time[FRT_TIME_TEXT_SIZE];
    frt_json_key(w, "id");
    frt_json_string(w, info->id);
    frt_json_key(w, "name");
    frt_json_string(w, info->name);
    frt_json_key(w, "role");
    frt_json_string(w, frt_role_name(info->role));
    frt_json_key(w, "created_at");
    frt_time_text(info->created_ms, time);
    frt_json_string(w, time);
    if (info->expires_ms != 0) {
        frt_json_key(w, "expires_at");
        frt_time_text(info->expires_ms, time);
        frt_json_string(w, time);
    }
}

void http_handle_key_list(struct http_service *service, struct http_request *request,
                          struct http_response *response)
{
    static const char *const names[] = {NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    struct frt_key_info *keys = NULL;
    size_t n = 0;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = frt_access_keys(service->access, &keys, &n, &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_json_key(&w, "keys");
        frt_json_array(&w);
        for (size_t i = 0; i < n; i++) {
            frt_json_object(&w);
            key_members(&w, &keys[i]);
            frt_json_end(&w);
        }
        frt_json_end(&w);
        frt_json_end(&w);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    frt_free(keys);
    http_fields_deinit(&fields);
}

void http_handle_key_add(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    static const char *const names[] = {"name", "role", "expires_in_seconds", NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    struct frt_new_key key = {.text = ""};
    const char *name = NULL, *role_text = NULL;
    enum frt_role role = FRT_ROLE_NONE;
    uint32_t seconds = 0;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = http_field_need_text(&fields, "name", FRT_KEY_NAME_SIZE - 1, &name, &err);
    if (status == FRT_OK)
        status = http_field_need_text(&fields, "role", 32, &role_text, &err);
    if (status == FRT_OK)
        status = frt_role_parse(role_text, &role, &err);
    if (status == FRT_OK)
        status = http_field_whole(&fields, "expires_in_seconds", 1, UINT32_MAX, &seconds, &err);
    if (status == FRT_OK) {
        int64_t now_ms = frt_clock_system.wall_ns(&frt_clock_system) / 1000000;
        status = frt_access_key_add(service->access, name, role,
                                    seconds == 0 ? 0 : now_ms + (int64_t)seconds * 1000, &key, &err);
    }
    if (status == FRT_OK) {
        response->status = 201;
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_json_key(&w, "key");
        frt_json_string(&w, key.text);
        key_members(&w, &key.info);
        frt_json_end(&w);
        http_response_header(response, "Cache-Control", "no-store");
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    frt_wipe(&key, sizeof key);
    http_fields_deinit(&fields);
}

void http_handle_key_delete(struct http_service *service, struct http_request *request,
                            struct http_response *response)
{
    static const char *const names[] = {NULL};
    struct frt_error err = {0};
    struct http_fields fields = {0};
    struct frt_json_writer w;
    enum frt_status status = http_fields_init_json(&fields, request, names, &err);
    if (status == FRT_OK)
        status = frt_access_key_delete(service->access, request->params[0], &err);
    if (status == FRT_OK) {
        frt_json_writer_init(&w, &response->body, false);
        frt_json_object(&w);
        frt_json_key(&w, "id");
        frt_json_string(&w, request->params[0]);
        frt_json_key(&w, "deleted");
        frt_json_bool(&w, true);
        frt_json_end(&w);
        http_finish(response, request);
    } else {
        http_fail(response, request, status, &err);
    }
    http_fields_deinit(&fields);
}
