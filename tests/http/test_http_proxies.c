/*
 * Behind proxies: the limit of logins counts the client that a trusted proxy names, and nobody can be another
 * by writing the header himself.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/access.h"
#include "http_client.h"
#include "http_photos.h"

enum { FAILURES = 10 };

static const char *program;

/* A login that fails, with these header lines. */
static int fail_to_log_in(const struct service *service, const char *headers)
{
    static const char json[] = "{\"email\":\"ann@example.org\",\"password\":\"hunter2hunter2\"}";
    struct answer a = request_with(service->port, "POST", "/v1/auth/login", headers, "application/json", json,
                                   sizeof json - 1);
    const int status = a.status;
    answer_free(&a);
    return status;
}

static void start(struct service *service, const char *proxies)
{
    const char *const options[] = {"--trusted-proxies", proxies, NULL};
    struct frt_access *access = NULL;
    service_folder(service);
    const struct frt_access_options o = {.database = service->database};
    assert_int_equal(frt_access_open(&o, &access, NULL), FRT_OK);
    assert_int_equal(
        frt_access_user_add(access, "ann@example.org", "correct horse battery", FRT_ROLE_ADMIN, NULL), FRT_OK);
    frt_access_close(access);
    service_start(service, program, options);
}

static void a_trusted_proxy_names_the_client(void **state)
{
    static const char spoofed[] = "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n",
                      in_two_lines[] = "X-Forwarded-For: 198.51.100.2\r\nX-Forwarded-For: 203.0.113.9\r\n",
                      another[] = "X-Forwarded-For: 203.0.113.9, 203.0.113.10\r\n";
    struct service service = {0};
    (void)state;
    start(&service, "127.0.0.0/8");
    for (int i = 0; i < FAILURES; i++)
        assert_int_equal(fail_to_log_in(&service, "X-Forwarded-For: 203.0.113.9\r\n"), 401);
    assert_int_equal(fail_to_log_in(&service, "X-Forwarded-For: 203.0.113.9\r\n"), 429);
    assert_int_equal(fail_to_log_in(&service, spoofed), 429);
    assert_int_equal(fail_to_log_in(&service, in_two_lines), 429);
    assert_int_equal(fail_to_log_in(&service, another), 401);
    assert_int_equal(fail_to_log_in(&service, ""), 401);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

static void others_do_not(void **state)
{
    char header[64];
    struct service service = {0};
    (void)state;
    start(&service, "10.0.0.0/8");
    for (int i = 0; i < FAILURES; i++) {
        (void)snprintf(header, sizeof header, "X-Forwarded-For: 203.0.113.%d\r\n", i);
        assert_int_equal(fail_to_log_in(&service, header), 401);
    }
    assert_int_equal(fail_to_log_in(&service, "X-Forwarded-For: 203.0.113.200\r\n"), 429);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trusted_proxy_names_the_client),
        cmocka_unit_test(others_do_not),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
