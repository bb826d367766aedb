/*
 * W3C trace context over HTTP: a valid traceparent shows in traceresponse, in problems and in the log of its
 * request and of no other; whatever is malformed, doubled, endless or hostile changes nothing but that.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_client.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static const char *program;
static struct service service;

static struct answer ask(const char *target, const char *headers)
{
    return request_with(service.port, "GET", target, headers, NULL, NULL, 0);
}

/* The request's line of the log, parsed: frt_json_free. */
static struct frt_json *line_of(const char *id)
{
    char wanted[200];
    struct frt_json *json = NULL;
    (void)snprintf(wanted, sizeof wanted, "\"id\":\"%s\"", id);
    char *log = service_log_with(&service, wanted), *at = strstr(log, wanted), *begin = at;
    while (begin > log && begin[-1] != '\n')
        begin--;
    const char *end = strchr(at, '\n');
    assert_non_null(end);
    assert_int_equal(frt_json_parse(begin, (size_t)(end - begin), &json, NULL), FRT_OK);
    free(log);
    return json;
}

static const char *member(const struct frt_json *json, const char *key)
{
    return frt_json_text(frt_json_get(frt_json_root(json), key));
}

static void a_trace_is_taken(void **state)
{
    (void)state;
    struct answer a = ask("/healthz", "X-Request-Id: one\r\ntraceparent: 00-" TRACE "-" PARENT "-01\r\n"
                                      "tracestate: vendor=secret-of-theirs\r\n");
    expect(&a, 200, NULL);
    assert_string_equal(answer_header(&a, "X-Request-Id"), "one");
    const char *said = answer_header(&a, "traceresponse");
    char span[17] = "";
    assert_int_equal(sscanf(said, "00-" TRACE "-%16[0-9a-f]-01", span), 1);
    assert_int_equal(strlen(said), 55);
    assert_string_not_equal(span, PARENT);
    struct frt_json *line = line_of("one");
    assert_string_equal(member(line, "event"), "request");
    assert_string_equal(member(line, "trace_id"), TRACE);
    assert_string_equal(member(line, "span_id"), span);
    frt_json_free(line);
    answer_free(&a);
    a = ask("/nowhere", "x-request-id: two\r\nTraceParent: 00-" TRACE "-" PARENT "-00\r\n");
    expect(&a, 404, "not_found");
    assert_string_equal(member(a.json, "trace_id"), TRACE);
    assert_string_equal(member(a.json, "request_id"), "two");
    answer_free(&a);
    /* the next one has none of it, also on the same connection */
    const int fd = client_connect(service.port);
    client_send_text(fd,
                     "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: three\r\ntraceparent: 00-" TRACE
                     "-" PARENT "-01\r\n\r\n");
    a = client_read(fd, false);
    assert_string_equal(member(a.json, "trace_id"), TRACE);
    answer_free(&a);
    client_send_text(fd, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: four\r\n\r\n");
    a = client_read(fd, false);
    expect(&a, 404, "not_found");
    assert_null(member(a.json, "trace_id"));
    assert_string_equal(answer_header(&a, "traceresponse"), "");
    answer_free(&a);
    (void)close(fd);
    line = line_of("four");
    assert_null(member(line, "trace_id"));
    assert_null(member(line, "span_id"));
    frt_json_free(line);
    char *log = service_log(&service);
    assert_null(strstr(log, "secret-of-theirs"));
    free(log);
}

/* One of these headers, or several: answered as without. */
static void hostile_ones(void **state)
{
    (void)state;
    char text[16000], long_value[4000];
    memset(long_value, '1', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    static const char *const headers[] = {
        "traceparent: \r\n",
        "traceparent: 00-" TRACE "-" PARENT "\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01, 00-" TRACE "-" PARENT "-01\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01\r\ntraceparent: 00-" TRACE "-" PARENT "-01\r\n",
        "traceparent: ff-" TRACE "-" PARENT "-01\r\n",
        "traceparent: 00-00000000000000000000000000000000-" PARENT "-01\r\n",
        "traceparent: 00-" TRACE "-" PARENT "-01\"},{\"level\":\"error\r\n",
        "traceparent: \xff\xfe\x80\r\n",
        "tracestate: foo=1\r\n",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers + 1; i++) {
        if (i < sizeof headers / sizeof *headers)
            (void)snprintf(text, sizeof text, "%s", headers[i]);
        else
            (void)snprintf(text, sizeof text, "traceparent: 00-%s-" PARENT "-01\r\n", long_value);
        struct answer a = ask("/healthz", text);
        if (a.status != 200 || answer_header(&a, "traceresponse")[0] != '\0')
            fail_msg("%d '%s' to %s", a.status, answer_header(&a, "traceresponse"), text);
        answer_free(&a);
    }
    /* a state that is endless, or of 40 headers, takes nothing from the trace */
    size_t used = (size_t)snprintf(text, sizeof text, "traceparent: 00-" TRACE "-" PARENT "-01\r\n");
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "tracestate: k%d=%.60s\r\n", i, long_value);
    struct answer a = ask("/healthz", text);
    expect(&a, 200, NULL);
    assert_non_null(strstr(answer_header(&a, "traceresponse"), TRACE));
    answer_free(&a);
    (void)snprintf(text, sizeof text, "traceparent: 00-" TRACE "-" PARENT "-01\r\ntracestate: k=%s\r\n",
                   long_value);
    a = ask("/healthz", text);
    expect(&a, 200, NULL);
    assert_non_null(strstr(answer_header(&a, "traceresponse"), TRACE));
    answer_free(&a);
    assert_true(service_is_alive(&service));
}

int main(int argc, char **argv)
{
    static const char *const options[] = {"--log-json", "true", NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_is_taken),
        cmocka_unit_test(hostile_ones),
    };
    if (argc != 2 || access("data/packs/default/manifest.json", R_OK) != 0) {
        puts("SKIP: data/packs/default is not there (make pack)");
        return 77;
    }
    program = argv[1];
    service_start(&service, program, options);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    return failed != 0 || code != 0;
}
