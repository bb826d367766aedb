/*
 * What the log holds of a whole session: a line a request with its stages, summaries, the making of indexes;
 * and nothing that a client sent: no names, photos, embeddings, passwords, tokens, keys, file names or query
 * strings.
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
#include "engine/access.h"
#include "http_client.h"
#include "http_photos.h"

static const char *program;
static struct service service;
static struct photo one, other;
static const char password[] = "correct horse battery", email[] = "ann.secret@example.org";

/* What may stand nowhere in the log. */
struct secrets {
    char *texts[32];
    size_t n;
};

static void add_secret(struct secrets *secrets, const char *text, size_t size)
{
    assert_true(size >= 8 && secrets->n < 32);
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    copy[size] = '\0';
    secrets->texts[secrets->n++] = copy;
}

static void keep_out(const struct secrets *secrets)
{
    char *log = service_log(&service);
    for (size_t i = 0; i < secrets->n; i++)
        if (strstr(log, secrets->texts[i]) != NULL)
            fail_msg("the log holds '%s':\n%s", secrets->texts[i], log);
    free(log);
}

static struct answer ask(const char *method, const char *target, const char *token, const char *type,
                         const void *body, size_t size)
{
    char headers[5000] = "";
    if (token != NULL)
        (void)snprintf(headers, sizeof headers, "%s: %s%s\r\n", token[0] == 'e' ? "Authorization" : "X-API-Key",
                       token[0] == 'e' ? "Bearer " : "", token);
    return request_with(service.port, method, target, headers, type, body, size);
}

/* A line of the log with all these pieces, waited for: it is written after the answer. free() */
static char *line_with(const char *const *pieces)
{
    for (int64_t start = frt_now_ns(); frt_elapsed_ms(start) < WAIT_MS; (void)poll(NULL, 0, 50)) {
        char *log = service_log(&service), *rest = NULL;
        for (char *line = strtok_r(log, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
            size_t i = 0;
            while (pieces[i] != NULL && strstr(line, pieces[i]) != NULL)
                i++;
            if (pieces[i] != NULL)
                continue;
            char *found = strdup(line);
            free(log);
            return found;
        }
        free(log);
    }
    fail_msg("no line with '%s' …", pieces[0]);
    return NULL;
}
#define LINE_WITH(...) line_with((const char *const[]){__VA_ARGS__, NULL})

/* An upload as a browser sends it, with the name of a file. free() */
static char *form(const struct photo *photo, size_t *size)
{
    static const char head[] =
        "--b\r\nContent-Disposition: form-data; name=\"subject\"\r\n\r\nHedwig Geheim\r\n"
        "--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n"
        "{\"diary\":\"dear diary, today\"}\r\n"
        "--b\r\nContent-Disposition: form-data; name=\"image\"; "
        "filename=\"holiday-in-rome.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n",
                      tail[] = "\r\n--b--\r\n";
    char *text = malloc(sizeof head + photo->size + sizeof tail);
    assert_non_null(text);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + sizeof head - 1, photo->data, photo->size);
    memcpy(text + sizeof head - 1 + photo->size, tail, sizeof tail - 1);
    *size = sizeof head - 1 + photo->size + sizeof tail - 1;
    return text;
}

/* Its first bytes as base64, as they would stand in a JSON body or in a careless log. */
static void add_photo(struct secrets *secrets, const struct photo *photo)
{
    char text[200];
    frt_base64_encode(photo->data + photo->size / 2, 60, text);
    add_secret(secrets, text, 40);
}

static void add_embedding(struct secrets *secrets, const struct photo *photo, const char *token)
{
    struct answer a = ask("POST", "/v1/embed?max_faces=1", token, "image/jpeg", photo->data, photo->size);
    expect(&a, 200, NULL);
    const char *at = strstr(a.body, "\"embedding\":[");
    assert_non_null(at);
    at += strlen("\"embedding\":[");
    add_secret(secrets, at, 24);
    answer_free(&a);
}

static void a_session(void **state)
{
    (void)state;
    struct secrets secrets = {0};
    char body[400];
    size_t size = 0;
    static const char *const plain[] = {"Hedwig",     "Geheim",       "dear diary", "holiday-in-rome",
                                        "ann.secret", password,       "battery",    "SELECT ",
                                        "top_k=3",    "secret-query", "filename"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        secrets.texts[secrets.n] = strdup(plain[i]);
        secrets.n++;
    }
    (void)snprintf(body, sizeof body, "{\"email\":\"%s\",\"password\":\"%s\"}", email, password);
    struct answer a = ask("POST", "/v1/auth/login", NULL, "application/json", body, strlen(body));
    expect(&a, 200, NULL);
    char *token = strdup(frt_json_text(frt_json_get(frt_json_root(a.json), "access_token")));
    assert_true(token[0] == 'e'); /* a JWT */
    add_secret(&secrets, token, 20);
    answer_free(&a);
    (void)snprintf(body, sizeof body, "{\"email\":\"%s\",\"password\":\"wrong %s\"}", email, password);
    a = ask("POST", "/login", NULL, "application/json", body, strlen(body));
    assert_int_equal(a.status, 401);
    answer_free(&a);
    static const char wanted[] = "{\"name\":\"Hedwig's\",\"role\":\"writer\"}";
    a = ask("POST", "/v1/keys", token, "application/json", wanted, sizeof wanted - 1);
    expect(&a, 201, NULL);
    char *key = strdup(frt_json_text(frt_json_get(frt_json_root(a.json), "key")));
    add_secret(&secrets, key + strlen(key) - 16, 16);
    answer_free(&a);
    a = ask("PUT", "/v1/collections/people", token, NULL, NULL, 0);
    expect(&a, 201, NULL);
    answer_free(&a);
    char *upload = form(&one, &size);
    a = ask("POST", "/v1/collections/people/faces", key, "multipart/form-data; boundary=b", upload, size);
    expect(&a, 201, NULL);
    free(upload);
    answer_free(&a);
    for (int i = 0; i < 3; i++) {
        a = ask("POST", "/v1/collections/people/search?top_k=3", key, "image/jpeg", one.data, one.size);
        expect(&a, 200, NULL);
        assert_non_null(strstr(a.body, "Hedwig Geheim"));
        answer_free(&a);
    }
    a = ask("GET", "/v1/collections/people/faces?secret-query=1", key, NULL, NULL, 0);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = ask("GET", "/v1/collections/people/faces?subject=Hedwig%20Geheim", key, NULL, NULL, 0);
    expect(&a, 200, NULL);
    answer_free(&a);
    a = ask("DELETE", "/v1/collections/people/subjects/Hedwig%20Geheim", key, NULL, NULL, 0);
    expect(&a, 200, NULL);
    answer_free(&a);
    a = ask("GET", "/Hedwig/holiday-in-rome.jpg", NULL, NULL, NULL, 0);
    assert_int_equal(a.status, 404);
    answer_free(&a);
    add_photo(&secrets, &one);
    add_photo(&secrets, &other);
    add_embedding(&secrets, &one, key);
    add_embedding(&secrets, &other, key);
    free(LINE_WITH("event=request", "route=\"DELETE /v1/collections/{c}/subjects/{s}\"", "status=200"));
    free(LINE_WITH("event=request", "route=-", "status=404"));
    keep_out(&secrets);
    for (size_t i = 0; i < secrets.n; i++)
        free(secrets.texts[i]);
    free(token);
    free(key);
}

static void requests_tell_their_stages(void **state)
{
    (void)state;
    char *line = LINE_WITH("event=request", "route=\"POST /v1/collections/{c}/search\"", "cache=embedding",
                           " search_ms=");
    assert_non_null(strstr(line, " id="));
    assert_null(strstr(line, "decode_ms"));
    free(line);
    line = LINE_WITH("event=request", "route=\"POST /v1/embed\"", "cache=miss",
                     " decode_ms=", " detect_ms=", " embed_ms=", " inference_ms=", "level=info");
    free(line);
    free(LINE_WITH("event=\"index built\"", "from=store", "faces=1", " ms="));
}

static void summaries(void **state)
{
    (void)state;
    /* --summary-interval 300ms: the session is spread over several lines, the index was built in one of them */
    char *line = LINE_WITH("event=summary", " index_builds=1", " index_build_ms=");
    static const char *const members[] = {
        " seconds=",     " requests=",  " per_second=", " in_flight=", " errors=", " rejected=",
        " avg_ms=",      " p50_ms=",    " p95_ms=",     " p99_ms=",    " max_ms=", " store_ms=",
        " cpu_percent=", " rss_bytes=", " threads=",    " open_files="};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strstr(line, members[i]) == NULL)
            fail_msg("no%s in %s", members[i], line);
    free(line);
    free(LINE_WITH("event=summary", " embedding_hit_rate=", " detect_ms=", " recognize_ms=", " image_ms="));
    /* and one without requests, after --summary-idle-interval 1s */
    line = LINE_WITH("event=summary", " requests=0 ", " rss_bytes=");
    assert_null(strstr(line, "p50_ms"));
    free(line);
}

static void again_with(const char *const *options)
{
    assert_int_equal(service_stop(&service, SIGTERM), 0);
    memset(&service, 0, sizeof service);
    service_start(&service, program, options);
}

static void as_json(void **state)
{
    (void)state;
    static const char *const options[] = {"--log-json", "true", "--summary-interval", "100ms", NULL};
    struct frt_json *json = NULL;
    again_with(options);
    struct answer a = get(service.port, "/version");
    expect(&a, 200, NULL);
    answer_free(&a);
    char *line = LINE_WITH("\"event\":\"summary\"", "\"p99_ms\":");
    assert_int_equal(frt_json_parse(line, strlen(line), &json, NULL), FRT_OK);
    assert_true(frt_json_double(frt_json_get(frt_json_root(json), "requests"), 0) >= 1);
    assert_true(frt_json_double(frt_json_get(frt_json_root(json), "rss_bytes"), 0) > 1e6);
    frt_json_free(json);
    free(line);
}

static void none_when_not_wanted(void **state)
{
    (void)state;
    static const char *const options[] = {"--summary-interval", "0", "--summary-idle-interval", "0", NULL};
    again_with(options);
    struct answer a = get(service.port, "/version");
    expect(&a, 200, NULL);
    answer_free(&a);
    free(LINE_WITH("event=request", "route=\"GET /version\""));
    (void)poll(NULL, 0, 1200); /* two ticks */
    assert_int_equal(service_pause(&service, SIGTERM), 0);
    char *log = service_log(&service);
    assert_null(strstr(log, "event=summary"));
    free(log);
    service_start(&service, program, NULL);
}

/* The last one is written when the service stops. */
static void at_the_end(void **state)
{
    (void)state;
    static const char *const options[] = {"--summary-interval", "1h", NULL};
    again_with(options);
    struct answer a = get(service.port, "/version");
    expect(&a, 200, NULL);
    answer_free(&a);
    assert_int_equal(service_pause(&service, SIGTERM), 0);
    free(LINE_WITH("event=summary", " p50_ms="));
    service_start(&service, program, NULL);
}

int main(int argc, char **argv)
{
    static const char *const options[] = {"--summary-interval", "300ms", "--summary-idle-interval", "1s", NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session), cmocka_unit_test(requests_tell_their_stages), cmocka_unit_test(summaries),
        cmocka_unit_test(as_json),   cmocka_unit_test(none_when_not_wanted),       cmocka_unit_test(at_the_end),
    };
    struct frt_access *access = NULL;
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    one = photo_of(1);
    other = photo_of(2);
    service_folder(&service);
    const struct frt_access_options where = {.database = service.database};
    if (frt_access_open(&where, &access, NULL) != FRT_OK ||
        frt_access_user_add(access, email, password, FRT_ROLE_ADMIN, NULL) != FRT_OK)
        return 1;
    frt_access_close(access);
    service_start(&service, program, options);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    free(one.data);
    free(other.data);
    return failed != 0 || code != 0;
}
