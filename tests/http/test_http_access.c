/*
 * Who may use the service: open on loopback until there are credentials, closed to strangers from then on;
 * pages of other origins; roles of every kind of route; logins and their limit; forged and expired tokens; what
 * the log keeps.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "engine/access.h"
#include "http_client.h"
#include "http_photos.h"

static const char *program;
static struct service service;
static struct photo one;
static char admin_key[FRT_KEY_TEXT_SIZE], reader_key[FRT_KEY_TEXT_SIZE], writer_key[FRT_KEY_TEXT_SIZE];
static const char password[] = "correct horse battery";

static const struct frt_json_value *root_of(const struct answer *a)
{
    return frt_json_root(a->json);
}

static struct answer ask(const char *method, const char *target, const char *header, const char *value,
                         const char *json)
{
    char headers[5000] = "";
    if (header != NULL)
        (void)snprintf(headers, sizeof headers, "%s: %s\r\n", header, value);
    return request_with(service.port, method, target, headers, json == NULL ? NULL : "application/json", json,
                        json == NULL ? 0 : strlen(json));
}

static int status_of(const char *method, const char *target, const char *header, const char *value,
                     const char *json)
{
    struct answer a = ask(method, target, header, value, json);
    int status = a.status;
    answer_free(&a);
    return status;
}

static void expect_status(const char *method, const char *target, const char *header, const char *value,
                          const char *json, int status)
{
    int got = status_of(method, target, header, value, json);
    if (got != status)
        fail_msg("%s %s: %d instead of %d", method, target, got, status);
}

static void add_key(const char *key, const char *role, char out[FRT_KEY_TEXT_SIZE])
{
    char json[100];
    (void)snprintf(json, sizeof json, "{\"name\":\"for a %s\",\"role\":\"%s\"}", role, role);
    struct answer a = ask("POST", "/v1/keys", "X-API-Key", key, json);
    expect(&a, 201, NULL);
    assert_string_equal(answer_header(&a, "Cache-Control"), "no-store");
    (void)snprintf(out, FRT_KEY_TEXT_SIZE, "%s", frt_json_text(frt_json_get(root_of(&a), "key")));
    assert_int_equal(strlen(out), FRT_KEY_TEXT_SIZE - 1);
    answer_free(&a);
}

static void while_there_are_no_credentials(void **state)
{
    (void)state;
    char own[64];
    (void)snprintf(own, sizeof own, "http://127.0.0.1:%d", service.port);
    static const char *const foreign[] = {"http://evil.example", "https://127.0.0.1", "null",
                                          "http://127.0.0.1:1", "file://"};
    struct answer a = ask("GET", "/v1/keys", NULL, NULL, NULL);
    expect(&a, 200, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "keys")), 0);
    answer_free(&a);
    /* a page elsewhere may look at what it could not read, and change nothing */
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        a = ask("POST", "/v1/keys", "Origin", foreign[i], "{\"name\":\"x\",\"role\":\"admin\"}");
        expect(&a, 403, "forbidden");
        answer_free(&a);
        expect_status("DELETE", "/v1/keys/k_000000000000", "Origin", foreign[i], NULL, 403);
        expect_status("POST", "/v1/auth/login", "Origin", foreign[i], "{}", 403);
        expect_status("GET", "/healthz", "Origin", foreign[i], NULL, 200);
    }
    expect_status("DELETE", "/v1/keys/k_000000000000", "Origin", own, NULL, 404);
    static const char *const wrong[] = {"{}",
                                        "{\"name\":\"x\"}",
                                        "{\"name\":\"x\",\"role\":\"root\"}",
                                        "{\"name\":\"\",\"role\":\"admin\"}",
                                        "{\"name\":5,\"role\":\"admin\"}",
                                        "{\"name\":\"x\",\"role\":\"admin\",\"secret\":\"y\"}",
                                        "{\"name\":\"x\",\"role\":\"admin\",\"expires_in_seconds\":0.5}",
                                        "[]",
                                        "{"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        a = ask("POST", "/v1/keys", NULL, NULL, wrong[i]);
        expect(&a, 400, "bad_request");
        answer_free(&a);
    }
}

/* The first credential closes the door at once. */
static void the_first_key_closes_the_door(void **state)
{
    (void)state;
    add_key("", "admin", admin_key);
    struct answer a = ask("GET", "/v1/keys", NULL, NULL, NULL);
    expect(&a, 401, "unauthorized");
    assert_non_null(strstr(answer_header(&a, "WWW-Authenticate"), "Bearer"));
    answer_free(&a);
    add_key(admin_key, "reader", reader_key);
    add_key(admin_key, "writer", writer_key);
    static const char *const open[] = {"/healthz", "/readyz", "/version", "/openapi.json", "/", "/console.js"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        expect_status("GET", open[i], NULL, NULL, NULL, 200);
    /* with credentials any Host will do: another page cannot have the key */
    int fd = client_connect(service.port);
    char text[200];
    (void)snprintf(text, sizeof text, "GET /metrics HTTP/1.1\r\nHost: faces.example\r\nX-API-Key: %s\r\n\r\n",
                   reader_key);
    (void)client_send_text(fd, text);
    a = client_read(fd, false);
    expect(&a, 200, NULL);
    answer_free(&a);
    (void)close(fd);
    expect_status("GET", "/metrics", NULL, NULL, NULL, 401);
    expect_status("GET", "/v1/nothing", NULL, NULL, NULL, 404);
    expect_status("PUT", "/v1/detect", NULL, NULL, NULL, 405);
}

static void roles(void **state)
{
    (void)state;
    expect_status("GET", "/metrics", "X-API-Key", reader_key, NULL, 200);
    struct answer a = ask("GET", "/v1/keys", "X-API-Key", reader_key, NULL);
    expect(&a, 403, "forbidden");
    assert_non_null(strstr(a.body, "admin"));
    answer_free(&a);
    expect_status("GET", "/v1/keys", "X-API-Key", writer_key, NULL, 403);
    expect_status("GET", "/v1/keys", "X-API-Key", admin_key, NULL, 200);
    /* refused before the body is looked at: nobody need send 20 MiB to hear no */
    a = request(service.port, "POST", "/v1/detect", "image/jpeg", one.data, one.size);
    expect(&a, 401, "unauthorized");
    answer_free(&a);
    char headers[200];
    (void)snprintf(headers, sizeof headers, "X-API-Key: %s\r\n", reader_key);
    a = request_with(service.port, "POST", "/v1/detect", headers, "image/jpeg", one.data, one.size);
    expect(&a, 200, NULL);
    answer_free(&a);
}

static void wrong_keys(void **state)
{
    (void)state;
    char changed[FRT_KEY_TEXT_SIZE];
    memcpy(changed, admin_key, sizeof changed);
    changed[FRT_KEY_TEXT_SIZE - 2] = changed[FRT_KEY_TEXT_SIZE - 2] == '0' ? '1' : '0';
    const char *const keys[] = {"", "x", changed, "frt_k_000000000000_", "frt_k_", "' OR 1=1 --"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct answer a = ask("GET", "/metrics", "X-API-Key", keys[i], NULL);
        expect(&a, 401, "unauthorized");
        assert_null(keys[i][0] == '\0' || strlen(keys[i]) < 3 ? NULL : strstr(a.body, keys[i]));
        answer_free(&a);
    }
    char bearer[FRT_KEY_TEXT_SIZE + 8];
    (void)snprintf(bearer, sizeof bearer, "Bearer %s", admin_key); /* a key may stand where scrapers put it */
    expect_status("GET", "/metrics", "Authorization", bearer, NULL, 200);
    (void)snprintf(bearer, sizeof bearer, "Bearer %s", changed);
    expect_status("GET", "/metrics", "Authorization", bearer, NULL, 401);
    expect_status("GET", "/metrics", "Authorization", "Bearer frt_k_", NULL, 401);
    expect_status("GET", "/metrics", "Authorization", "Basic YWRtaW46YWRtaW4=", NULL, 401);
    /* a key that is deleted */
    struct answer a =
        ask("POST", "/v1/keys", "X-API-Key", admin_key, "{\"name\":\"brief\",\"role\":\"reader\"}");
    expect(&a, 201, NULL);
    char key[FRT_KEY_TEXT_SIZE], target[64];
    (void)snprintf(key, sizeof key, "%s", frt_json_text(frt_json_get(root_of(&a), "key")));
    (void)snprintf(target, sizeof target, "/v1/keys/%s", frt_json_text(frt_json_get(root_of(&a), "id")));
    answer_free(&a);
    expect_status("GET", "/metrics", "X-API-Key", key, NULL, 200);
    expect_status("DELETE", target, "X-API-Key", admin_key, NULL, 200);
    expect_status("GET", "/metrics", "X-API-Key", key, NULL, 401);
    expect_status("DELETE", target, "X-API-Key", admin_key, NULL, 404);
}

static void log_in(char bearer[FRT_JWT_MAX_BYTES + 8])
{
    char json[200];
    (void)snprintf(json, sizeof json, "{\"email\":\"ann@example.org\",\"password\":\"%s\"}", password);
    struct answer a = ask("POST", "/v1/auth/login", NULL, NULL, json);
    expect(&a, 200, NULL);
    assert_string_equal(frt_json_text(frt_json_get(root_of(&a), "token_type")), "Bearer");
    assert_int_equal(strlen(frt_json_text(frt_json_get(root_of(&a), "expires_at"))), 24);
    (void)snprintf(bearer, FRT_JWT_MAX_BYTES + 8, "Bearer %s",
                   frt_json_text(frt_json_get(root_of(&a), "access_token")));
    answer_free(&a);
}

static struct frt_access *open_access(void)
{
    struct frt_access *access = NULL;
    const struct frt_access_options options = {.database = service.database};
    assert_int_equal(frt_access_open(&options, &access, NULL), FRT_OK);
    return access;
}

static void tokens(void **state)
{
    (void)state;
    static char bearer[FRT_JWT_MAX_BYTES + 8], text[FRT_JWT_MAX_BYTES + 8];
    struct frt_access *access = open_access(); /* as 'frt user' does beside the running service */
    assert_int_equal(frt_access_user_add(access, "ann@example.org", password, FRT_ROLE_READER, NULL), FRT_OK);
    log_in(bearer);
    expect_status("GET", "/metrics", "Authorization", bearer, NULL, 200);
    expect_status("GET", "/v1/keys", "Authorization", bearer, NULL, 403);
    (void)snprintf(text, sizeof text, "bearer   %s", bearer + 7);
    expect_status("GET", "/metrics", "Authorization", text, NULL, 200);
    /* cut short, changed, without a signature, of another service */
    size_t n = strlen(bearer);
    for (size_t cut = 1; cut < n - 7; cut += 37) {
        (void)snprintf(text, sizeof text, "%.*s", (int)(n - cut), bearer);
        expect_status("GET", "/metrics", "Authorization", text, NULL, 401);
    }
    for (size_t i = 7; i < n; i += 11) {
        memcpy(text, bearer, n + 1);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        expect_status("GET", "/metrics", "Authorization", text, NULL, 401);
    }
    const char *claims = strchr(bearer, '.') + 1;
    (void)snprintf(text, sizeof text, "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.%.*s.",
                   (int)(strrchr(bearer, '.') - claims), claims);
    struct answer a = ask("GET", "/metrics", "Authorization", text, NULL);
    expect(&a, 401, "unauthorized");
    assert_non_null(strstr(answer_header(&a, "WWW-Authenticate"), "invalid_token"));
    answer_free(&a);
    struct frt_jwt_claims forged = {.subject = "ann@example.org", .role = "admin", .version = 1};
    struct frt_buf token;
    forged.issued_s = frt_clock_system.wall_ns(&frt_clock_system) / 1000000000;
    forged.expires_s = forged.issued_s + 1000;
    frt_buf_init(&token, sizeof text);
    assert_int_equal(frt_jwt_sign("0123456789abcdef0123456789abcdef", 32, &forged, &token, NULL), FRT_OK);
    (void)snprintf(text, sizeof text, "Bearer %s", token.data);
    frt_buf_deinit(&token);
    expect_status("GET", "/metrics", "Authorization", text, NULL, 401);
    /* two kinds at once: the token counts, a good key beside a bad one does not help */
    char headers[FRT_JWT_MAX_BYTES + 200];
    (void)snprintf(headers, sizeof headers, "Authorization: %s\r\nX-API-Key: %s\r\n", text, admin_key);
    a = request_with(service.port, "GET", "/metrics", headers, NULL, NULL, 0);
    expect(&a, 401, "unauthorized");
    answer_free(&a);
    /* a new password, then no user any more */
    assert_int_equal(frt_access_user_change(access, "ann@example.org", "another password", FRT_ROLE_NONE, NULL),
                     FRT_OK);
    expect_status("GET", "/metrics", "Authorization", bearer, NULL, 401);
    assert_int_equal(frt_access_user_change(access, "ann@example.org", password, FRT_ROLE_NONE, NULL), FRT_OK);
    log_in(bearer);
    expect_status("GET", "/metrics", "Authorization", bearer, NULL, 200);
    assert_int_equal(frt_access_user_delete(access, "ann@example.org", NULL), FRT_OK);
    expect_status("GET", "/metrics", "Authorization", bearer, NULL, 401);
    assert_int_equal(frt_access_user_add(access, "ann@example.org", password, FRT_ROLE_READER, NULL), FRT_OK);
    frt_access_close(access);
}

static void failed_logins(void **state)
{
    (void)state;
    static const char *const malformed[] = {"{}", "{\"email\":\"a@b\"}", "{\"email\":1,\"password\":2}", "x"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        expect_status("POST", "/v1/auth/login", NULL, NULL, malformed[i], 400);
    expect_status("POST", "/v1/auth/login?email=a@b&password=x", NULL, NULL, "{}", 400);
    /* unknown and wrong are the same answer */
    char first[600] = "";
    int refused = 0;
    for (int i = 0; i < 12; i++) {
        struct answer a = ask("POST", "/v1/auth/login", NULL, NULL,
                              i % 2 == 0 ? "{\"email\":\"ann@example.org\",\"password\":\"hunter2hunter2\"}"
                                         : "{\"email\":\"eve@example.org\",\"password\":\"hunter2hunter2\"}");
        if (i < 10) {
            expect(&a, 401, "unauthorized");
            const char *detail = frt_json_text(frt_json_get(root_of(&a), "detail"));
            if (i == 0)
                (void)snprintf(first, sizeof first, "%s", detail);
            assert_string_equal(detail, first);
        } else {
            expect(&a, 429, "too_many_requests");
            long wait = strtol(answer_header(&a, "Retry-After"), NULL, 10);
            assert_true(wait >= 1 && wait <= 60);
            refused++;
        }
        answer_free(&a);
    }
    assert_int_equal(refused, 2);
    char json[200]; /* even the right one waits now; who is in stays in */
    (void)snprintf(json, sizeof json, "{\"email\":\"ann@example.org\",\"password\":\"%s\"}", password);
    expect_status("POST", "/v1/auth/login", NULL, NULL, json, 429);
    expect_status("GET", "/metrics", "X-API-Key", reader_key, NULL, 200);
}

static void the_log_keeps_secrets(void **state)
{
    (void)state;
    char *log = service_log_with(&service, "DELETE /v1/keys/{id}");
    assert_non_null(strstr(log, "POST /v1/auth/login"));
    const char *const secrets[] = {password,        "hunter2", admin_key + 20,
                                   reader_key + 20, "eyJ",     "k_000000000000"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        assert_null(strstr(log, secrets[i]));
    free(log);
}

static void elsewhere_with_credentials_and_brief_tokens(void **state)
{
    static const char *const options[] = {"--listen", "0.0.0.0:0", "--token-lifetime", "100ms", NULL};
    static char bearer[FRT_JWT_MAX_BYTES + 8];
    (void)state;
    assert_int_equal(service_pause(&service, SIGTERM), 0);
    service_start(&service, program, options);
    expect_status("GET", "/metrics", NULL, NULL, NULL, 401);
    expect_status("GET", "/metrics", "X-API-Key", reader_key, NULL, 200);
    log_in(bearer);
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 100)) { /* whole seconds */
        int status = status_of("GET", "/metrics", "Authorization", bearer, NULL);
        if (status == 401)
            break;
        assert_int_equal(status, 200);
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    }
    /* the last credential goes: nobody is let in from outside, and the service says why */
    struct frt_access *access = open_access();
    struct frt_key_info *keys = NULL;
    size_t n = 0;
    assert_int_equal(frt_access_user_delete(access, "ann@example.org", NULL), FRT_OK);
    assert_int_equal(frt_access_keys(access, &keys, &n, NULL), FRT_OK);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(frt_access_key_delete(access, keys[i].id, NULL), FRT_OK);
    frt_free(keys);
    frt_access_close(access);
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 100)) { /* remembered for a second */
        struct answer a = ask("GET", "/healthz", NULL, NULL, NULL);
        int status = a.status;
        if (status == 403)
            assert_non_null(strstr(a.body, "frt user add"));
        answer_free(&a);
        if (status == 403)
            break;
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_there_are_no_credentials),
        cmocka_unit_test(the_first_key_closes_the_door),
        cmocka_unit_test(roles),
        cmocka_unit_test(wrong_keys),
        cmocka_unit_test(tokens),
        cmocka_unit_test(failed_logins),
        cmocka_unit_test(the_log_keeps_secrets),
        cmocka_unit_test(elsewhere_with_credentials_and_brief_tokens),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    one = photo_of(1);
    service_start(&service, program, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    free(one.data);
    return failed != 0 || code != 0;
}
