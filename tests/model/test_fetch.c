/* Downloads, against a server that does all that goes wrong (mirror_server.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/sha256.h"
#include "model/fetch.h"
#include "model/mirror_server.h"
#include "model/pull_files.h"

enum { FILE_BYTES = 300000, SKIP = 77 };

static char folder[64], sum[FRT_SHA256_HEX_SIZE], ca_file[96];
static struct mirror_server *server, *secure;

static const char *here(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *url_of(const struct mirror_server *s, const char *word)
{
    static char url[128];
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u/%s/model.onnx", s == secure ? "https" : "http",
                   mirror_port(s), word);
    return url;
}

static long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

static enum frt_status get_from(const struct mirror_server *s, const char *word, uint64_t size,
                                struct frt_fetch_result *result, struct frt_error *err)
{
    const struct frt_fetch_options options = {.url = url_of(s, word),
                                              .path = here("out"),
                                              .size = size,
                                              .max_bytes = 2 * FILE_BYTES,
                                              .ca_file = s == secure ? ca_file : NULL,
                                              .stall_timeout_s = 1,
                                              .tries = 3,
                                              .first_pause_ms = 1};
    *result = (struct frt_fetch_result){0};
    return frt_fetch_file(&options, result, err);
}

static int fresh(void **state)
{
    (void)state;
    (void)unlink(here("out"));
    (void)unlink(here("out.part"));
    (void)unlink(here("out.part.from"));
    mirror_reset(server);
    mirror_reset(secure);
    return 0;
}

static void expect_whole(void)
{
    char digest[FRT_SHA256_HEX_SIZE];
    assert_int_equal(frt_sha256_file(here("out"), digest, NULL), FRT_OK);
    assert_string_equal(digest, sum);
    assert_int_equal(size_of(here("out.part")), -1);
    assert_int_equal(size_of(here("out.part.from")), -1);
}

static void whole_file(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "ok", FILE_BYTES, &r, &err), FRT_OK);
    assert_int_equal(r.size, FILE_BYTES);
    assert_false(r.resumed);
    expect_whole();
    assert_int_equal(mirror_requests(server), 1);
}

static void size_not_known(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "ok", 0, &r, &err), FRT_OK);
    expect_whole();
}

static void cut_line_is_taken_up(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "drop", FILE_BYTES, &r, &err), FRT_OK);
    assert_true(r.resumed);
    expect_whole();
    assert_int_equal(mirror_requests(server), 2);
    assert_int_equal(mirror_bytes(server), FILE_BYTES); /* no byte twice */
}

static void a_later_call_takes_it_up(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "cut", FILE_BYTES, &r, &err), FRT_EUNAVAILABLE);
    assert_int_equal(size_of(here("out")), -1);
    assert_int_equal(size_of(here("out.part")), FILE_BYTES / 2);
    /* the same URL must serve it: another one's bytes are not mixed in unless the tag is the same */
    mirror_reset(server);
    assert_int_equal(get_from(server, "ok", FILE_BYTES, &r, &err), FRT_OK);
    expect_whole();
}

static void changed_file_starts_anew(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    char digest[FRT_SHA256_HEX_SIZE];
    (void)state;
    assert_int_equal(get_from(server, "changing", FILE_BYTES, &r, &err), FRT_OK);
    assert_false(r.resumed && mirror_bytes(server) == FILE_BYTES);
    assert_int_equal(size_of(here("out")), FILE_BYTES);
    assert_int_equal(frt_sha256_file(here("out"), digest, NULL), FRT_OK);
    /* all of the second file, none of the first: its sum is that of every byte plus one */
    uint8_t *bytes = malloc(FILE_BYTES);
    FILE *f = fopen(here("out"), "re");
    assert_non_null(bytes);
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, FILE_BYTES, f), FILE_BYTES);
    (void)fclose(f);
    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i]--;
    frt_sha256_hex(bytes, FILE_BYTES, digest);
    free(bytes);
    assert_string_equal(digest, sum);
}

static void without_ranges_it_starts_anew(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "cut", FILE_BYTES, &r, &err), FRT_EUNAVAILABLE);
    assert_int_equal(size_of(here("out.part")), FILE_BYTES / 2);
    assert_int_equal(get_from(server, "norange", FILE_BYTES, &r, &err), FRT_OK);
    assert_false(r.resumed);
    expect_whole();
}

static void wrong_sizes(void **state)
{
    static const char *const words[] = {"longer", "shorter", "endless"};
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        (void)fresh(NULL);
        assert_int_equal(get_from(server, words[i], FILE_BYTES, &r, &err), FRT_EBAD_MODEL);
        assert_non_null(strstr(err.text, "300000"));
        assert_int_equal(size_of(here("out")), -1);
        assert_true(size_of(here("out.part")) <= 0); /* nothing to go on with */
        if (i < 2)
            assert_int_equal(mirror_requests(server), 1); /* the declared size was enough, and no second try */
    }
}

static void endless_is_ended(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "endless", 0, &r, &err), FRT_EBODY_TOO_LARGE);
    assert_true(mirror_bytes(server) < 8 * FILE_BYTES);
}

static void other_answers(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "away", FILE_BYTES, &r, &err), FRT_ENOTFOUND);
    assert_int_equal(mirror_requests(server), 1);
    assert_int_equal(get_from(server, "empty", FILE_BYTES, &r, &err), FRT_EBAD_MODEL);
    assert_int_equal(get_from(server, "hop", FILE_BYTES, &r, &err), FRT_OK);
    expect_whole();
    (void)fresh(NULL);
    assert_int_equal(get_from(server, "loop", FILE_BYTES, &r, &err), FRT_EUNAVAILABLE);
    assert_non_null(strstr(err.text, "one address to the next"));
    assert_int_equal(mirror_requests(server), 6); /* five redirects, one round */
    (void)fresh(NULL);
    assert_int_equal(get_from(server, "busy", FILE_BYTES, &r, &err), FRT_OK);
    assert_int_equal(mirror_requests(server), 3);
    expect_whole();
}

static void stalled_line_is_given_up(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(server, "stall", FILE_BYTES, &r, &err), FRT_ETIMEOUT);
}

static void nobody_listens(void **state)
{
    const struct frt_fetch_options options = {.url = "http://127.0.0.1:1/ok/model.onnx",
                                              .path = here("out"),
                                              .size = FILE_BYTES,
                                              .tries = 2,
                                              .first_pause_ms = 1};
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(frt_fetch_file(&options, NULL, &err), FRT_EUNAVAILABLE);
}

static void no_url(void **state)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/x", "model.onnx", "", "http:/x"};
    struct frt_error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        const struct frt_fetch_options options = {.url = urls[i], .path = here("out"), .size = 1};
        assert_int_equal(frt_fetch_file(&options, NULL, &err), FRT_EINVAL);
    }
}

static bool after_some(void *arg)
{
    (void)arg;
    return size_of(here("out.part")) > 0;
}

static void cancelled(void **state)
{
    const struct frt_fetch_options options = {
        .url = url_of(server, "stall"), .path = here("out"), .size = FILE_BYTES, .cancelled = after_some};
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(frt_fetch_file(&options, NULL, &err), FRT_ECANCELLED);
    assert_int_equal(size_of(here("out.part")), 10);
}

static void certificates(void **state)
{
    struct frt_fetch_result r;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(get_from(secure, "drop", FILE_BYTES, &r, &err), FRT_OK);
    expect_whole();
    const struct frt_fetch_options stranger = {
        .url = url_of(secure, "ok"), .path = here("out"), .size = FILE_BYTES, .tries = 1};
    (void)fresh(NULL);
    assert_int_equal(frt_fetch_file(&stranger, NULL, &err), FRT_EUNAVAILABLE);
    assert_non_null(strstr(err.text, "certificate"));
    assert_int_equal(mirror_requests(secure), 0);
    /* and from HTTPS no way leads to HTTP */
    assert_int_equal(get_from(secure, "plain", FILE_BYTES, &r, &err), FRT_EINVAL);
    assert_int_equal(mirror_requests(server), 0);
}

static void through_a_proxy(void **state)
{
    char proxy[64];
    const struct frt_fetch_options options = {
        .url = "http://models.invalid/ok/model.onnx", .path = here("out"), .size = FILE_BYTES, .tries = 1};
    struct frt_error err = {0};
    (void)state;
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", mirror_port(server));
    (void)setenv("http_proxy", proxy, 1);
    enum frt_status status = frt_fetch_file(&options, NULL, &err);
    (void)unsetenv("http_proxy");
    assert_int_equal(status, FRT_OK); /* the name leads nowhere: only the proxy can have answered */
    expect_whole();
}

int main(void)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"};
    struct frt_error err = {0};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        (void)unsetenv(proxies[i]);
    if (frt_fetch_available(NULL, &err) != FRT_OK) {
        (void)printf("SKIP: %s\n", err.text);
        return SKIP;
    }
    (void)strcpy(folder, "/tmp/frt_test_fetch_XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    uint8_t *bytes = malloc(FILE_BYTES);
    FILE *f = fopen(here("model.onnx"), "we");
    if (bytes == NULL || f == NULL)
        return 1;
    for (uint32_t i = 0, x = 1; i < FILE_BYTES; i++, x = x * 1664525 + 1013904223)
        bytes[i] = (uint8_t)(x >> 24);
    if (fwrite(bytes, 1, FILE_BYTES, f) != FILE_BYTES || fclose(f) != 0)
        return 1;
    frt_sha256_hex(bytes, FILE_BYTES, sum);
    free(bytes);
    (void)snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    server = mirror_start(folder, false, NULL);
    secure = mirror_start(folder, true, ca_file);
    if (server == NULL || secure == NULL) {
        (void)printf("SKIP: no server could be started on the loopback address\n");
        return SKIP;
    }
    mirror_set_plain_port(secure, mirror_port(server));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole_file, fresh),
        cmocka_unit_test_setup(size_not_known, fresh),
        cmocka_unit_test_setup(cut_line_is_taken_up, fresh),
        cmocka_unit_test_setup(a_later_call_takes_it_up, fresh),
        cmocka_unit_test_setup(changed_file_starts_anew, fresh),
        cmocka_unit_test_setup(without_ranges_it_starts_anew, fresh),
        cmocka_unit_test_setup(wrong_sizes, fresh),
        cmocka_unit_test_setup(endless_is_ended, fresh),
        cmocka_unit_test_setup(other_answers, fresh),
        cmocka_unit_test_setup(stalled_line_is_given_up, fresh),
        cmocka_unit_test_setup(nobody_listens, fresh),
        cmocka_unit_test_setup(no_url, fresh),
        cmocka_unit_test_setup(cancelled, fresh),
        cmocka_unit_test_setup(certificates, fresh),
        cmocka_unit_test_setup(through_a_proxy, fresh),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mirror_stop(server);
    mirror_stop(secure);
    frt_pull_remove_folder(folder);
    return failed;
}
