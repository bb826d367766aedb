/* The remote backend against a server that misbehaves as it is told: tests/support/model_peer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/trace_context.h"
#include "infer/failover.h"
#include "infer/infer_fake.h"
#include "infer/remote.h"
#include "infer/remote_protocol.h"
#include "net/http_call.h"
#include "support/model_peer.h"

/* ------------------------------------------------------- the model here */

static _Atomic double local_weights;

static enum frt_status toy(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                           struct frt_fake_output *outputs, struct frt_error *err)
{
    (void)arg;
    (void)n_inputs;
    const int64_t rows = inputs[0].dims[0], y_dims[] = {rows, PEER_Y}, z_dims[] = {rows, 2, 2};
    float *y = frt_fake_output_alloc(&outputs[0], y_dims, 2),
          *z = frt_fake_output_alloc(&outputs[1], z_dims, 3);
    if (y == NULL || z == NULL)
        return frt_fail_nomem(err, "the answer");
    for (int64_t i = 0; i < rows; i++)
        peer_toy(inputs[0].data + i * PEER_X, atomic_load(&local_weights), y + i * PEER_Y, z + i * PEER_Z);
    return FRT_OK;
}

static const struct frt_fake_model models[] = {
    {.file = "toy.onnx",
     .info = {.n_inputs = 1,
              .n_outputs = 2,
              .inputs = {{"x", {-1, 3, 4}, 3, true}},
              .outputs = {{"y", {-1, PEER_Y}, 2, true}, {"z", {-1, 2, 2}, 3, true}}},
     .run = toy}};

static struct frt_backend *fake;
static struct frt_session *reference;

/* ------------------------------------------------------------- a client */

struct client {
    struct peer *peer;
    struct frt_backend *backend;
    struct frt_session *session;
    struct frt_error err;
    enum frt_status opened;
};

static struct frt_remote_options options_for(const char *address)
{
    return (struct frt_remote_options){.address = address,
                                       .timeout_ms = 5000,
                                       .connect_timeout_ms = 2000,
                                       .retries = UINT32_MAX,
                                       .breaker = {.in_a_row = 1000, .of_span = 1000}};
}

static enum frt_status open_toy(struct frt_backend *backend, struct frt_session **out, struct frt_error *err)
{
    const struct frt_model_source source = {
        .path = "toy.onnx", .name = "toy", .version = "1", .reference = reference};
    return frt_session_open_source(backend, &source, out, err);
}

static struct client connect_with(struct peer *peer, struct frt_remote_options options, const char *protocol,
                                  const char *host)
{
    char address[128];
    struct client c = {.peer = peer};
    assert_non_null(peer);
    (void)snprintf(address, sizeof address, "%s:%s:%d", protocol, host, peer_port(peer));
    options.address = address;
    assert_int_equal(frt_backend_remote_new(&options, &c.backend, &c.err), FRT_OK);
    c.opened = open_toy(c.backend, &c.session, &c.err);
    return c;
}

static struct client connect_to(struct peer_options peer, const char *protocol)
{
    return connect_with(peer_start(&peer), options_for(NULL), protocol, "http://127.0.0.1");
}

static void disconnect(struct client *c)
{
    frt_session_free(c->session);
    frt_backend_free(c->backend);
    peer_stop(c->peer);
}

static struct frt_remote_state state_of(const struct client *c)
{
    struct frt_remote_state state;
    frt_remote_state_get(c->backend, &state);
    return state;
}

static void fill(float *x, int rows, int seed)
{
    for (int i = 0; i < rows * PEER_X; i++)
        x[i] = (float)((i * 37 + seed * 101) % 1000) / 997.0F - 0.4F;
}

/* One run of `rows` rows; on success the answer is the model's, bit by bit. */
static enum frt_status run_rows(const struct frt_session *session, int rows, int seed, double weights,
                                struct frt_error *err)
{
    float x[64 * PEER_X], y[PEER_Y], z[PEER_Z];
    struct frt_outputs out = {0};
    const struct frt_tensor input = {.data = x, .dims = {rows, 3, 4}, .n_dims = 3};
    fill(x, rows, seed);
    enum frt_status status = frt_session_run(session, &input, 1, &out, err);
    if (status != FRT_OK)
        return status;
    bool same = out.n == 2 && out.tensors[0].dims[0] == rows && out.tensors[1].dims[0] == rows;
    for (int i = 0; same && i < rows; i++) {
        peer_toy(x + i * PEER_X, weights, y, z);
        same = memcmp(y, out.tensors[0].data + i * PEER_Y, sizeof y) == 0 &&
               memcmp(z, out.tensors[1].data + i * PEER_Z, sizeof z) == 0;
    }
    frt_outputs_release(&out);
    return same ? FRT_OK : frt_fail(err, FRT_EINTERNAL, "the answer is wrong");
}

static enum frt_status run(struct client *c, int rows, int seed)
{
    return run_rows(c->session, rows, seed, 0, &c->err);
}

/* ---------------------------------------------------------------- tests */

static void answers_are_those_of_the_model(void **state)
{
    (void)state;
    static const struct {
        const char *protocol;
        struct peer_options peer;
    } cases[] = {
        {"kserve", {0}}, {"kserve", {.json_only = true}}, {"tfserving", {0}}, {"kserve", {.close_each = true}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c = connect_to(cases[i].peer, cases[i].protocol);
        assert_string_equal(c.err.text, "");
        assert_int_equal(c.opened, FRT_OK);
        for (int rows = 1; rows <= 9; rows += 4)
            assert_int_equal(run(&c, rows, (int)i), FRT_OK);
        struct frt_remote_state s = state_of(&c);
        assert_string_equal(s.protocol, cases[i].protocol);
        assert_true(s.requests[FRT_REMOTE_OK] >= 5); /* metadata, probe, three runs */
        assert_true(s.comparisons >= 1 && s.differences == 0);
        disconnect(&c);
    }
}

static void what_is_another_model_is_refused(void **state)
{
    (void)state;
#define TOY(in, out) "{\"name\":\"toy\",\"platform\":\"\",\"inputs\":[" in "],\"outputs\":[" out "]}"
#define X(name, type, shape) "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":" shape "}"
#define YZ X("y", "FP32", "[-1,5]") "," X("z", "FP32", "[-1,2,2]")
    static const struct {
        struct peer_options peer;
        const char *said[3];
    } cases[] = {
        {{.weights = 0.3}, {"another one there", "differ by", "this pack's file"}},
        {{.metadata = TOY(X("in", "FP32", "[-1,3,4]"), YZ)},
         {"other inputs", "'in' [?,3,4]", "has 'x' [?,3,4]"}},
        {{.metadata = TOY(X("x", "FP16", "[-1,3,4]"), YZ)}, {"other inputs", "(not FP32)", ""}},
        {{.metadata = TOY(X("x", "FP32", "[-1,4,3]"), YZ)}, {"other inputs", "'x' [?,4,3]", "has 'x' [?,3,4]"}},
        {{.metadata = TOY(X("x", "FP32", "[-1,12]"), YZ)}, {"other inputs", "", ""}},
        {{.metadata = TOY(X("x", "FP32", "[-1,3,4]"), X("y", "FP32", "[-1,5]"))},
         {"other outputs", "'y' [?,5];", "'z'"}},
        {{.metadata = TOY(X("x", "FP32", "[-1,3,4]") "," X("w", "FP32", "[1]"), YZ)},
         {"other inputs", "'w' [1]", ""}},
        {{.metadata = TOY("", YZ)},
         {"no model server that speaks kserve", "/v2/models/NAME", "without 'inputs'"}},
        {{.metadata = TOY(X("x", "FP32", "[-1,3.5,4]"), YZ)}, {"no size", "", ""}},
        {{.metadata = TOY(X("x", "FP32", "[1,1,1,1,1,1,1]"), YZ)}, {"more than 6 dimensions", "", ""}},
        {{.metadata = "<html>"}, {"no model server that speaks kserve", "", ""}},
        {{.metadata = ""}, {"no model server that speaks kserve", "", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c = connect_to(cases[i].peer, "kserve");
        print_message("%s\n", c.err.text);
        assert_int_equal(c.opened, FRT_ENOTFOUND);
        for (size_t k = 0; k < 3; k++)
            assert_non_null(strstr(c.err.text, cases[i].said[k]));
        disconnect(&c);
    }
    struct peer_options well = {0};
    struct frt_remote_options renamed = options_for(NULL);
    renamed.models = "toy=nobody";
    struct client c = connect_with(peer_start(&well), renamed, "kserve", "http://127.0.0.1");
    assert_int_equal(c.opened, FRT_ENOTFOUND);
    assert_non_null(strstr(c.err.text, "/v2/models/nobody: the server answers 404"));
    disconnect(&c);
    renamed.models = "any=other, *=local";
    c = connect_with(peer_start(&well), renamed, "kserve", "http://127.0.0.1");
    assert_int_equal(c.opened, FRT_EBAD_MODEL);
    disconnect(&c);
}

static void every_fault_is_an_error_and_no_answer(void **state)
{
    (void)state;
    static const struct {
        enum peer_fault fault;
        enum frt_status status;
        const char *said;
    } cases[] = {
        {PEER_SLOW, FRT_EOVERLOADED, "timed out"},
        {PEER_TRICKLE, FRT_EOVERLOADED, "timed out"},
        {PEER_DROP_BEFORE, FRT_EOVERLOADED, ""},
        {PEER_RESET, FRT_EOVERLOADED, ""},
        {PEER_DROP_MIDWAY, FRT_EOVERLOADED, ""},
        {PEER_SHORT_TENSOR, FRT_ENOTFOUND, "binary_data_size"},
        {PEER_LONG_TENSOR, FRT_ENOTFOUND, "binary_data_size"},
        {PEER_WRONG_SHAPE, FRT_ENOTFOUND, "'y' has the shape [1,6]; [?,5] is right"},
        {PEER_WRONG_ROWS, FRT_ENOTFOUND, ""},
        {PEER_WRONG_TYPE, FRT_ENOTFOUND, "FP64; FP32 is right"},
        {PEER_WRONG_NAME, FRT_ENOTFOUND, "'why' that was not asked for"},
        {PEER_WRONG_MODEL, FRT_ENOTFOUND, "of the model 'other'"},
        {PEER_OTHER_VERSION, FRT_ENOTFOUND, "of version 8 now, and was of version 7"},
        {PEER_MISSING, FRT_ENOTFOUND, "'z' is missing"},
        {PEER_TWICE, FRT_ENOTFOUND, "twice"},
        {PEER_HUGE_DECLARED, FRT_ENOTFOUND, "10000000000 bytes; at most"},
        {PEER_HUGE_SHAPE, FRT_ENOTFOUND, "binary_data_size"},
        {PEER_ENDLESS, FRT_ENOTFOUND, "an answer of more than the"},
        {PEER_NOT_FINITE, FRT_ENOTFOUND, "finite"},
        {PEER_GARBAGE, FRT_ENOTFOUND, "JSON"},
        {PEER_NOT_JSON, FRT_ENOTFOUND, "JSON"},
        {PEER_DEEP_JSON, FRT_ENOTFOUND, "nested deeper"},
        {PEER_BAD_LENGTH, FRT_ENOTFOUND, "Inference-Header-Content-Length"},
        {PEER_NOT_HTTP, FRT_EOVERLOADED, ""},
        {PEER_400, FRT_ENOTFOUND, "400: {\"error\":\"as it was told\"}"},
        {PEER_401, FRT_ENOTFOUND, "infer_token_file"},
        {PEER_404, FRT_ENOTFOUND, "404"},
        {PEER_429, FRT_EOVERLOADED, "429"},
        {PEER_500, FRT_EOVERLOADED, "500"},
        {PEER_500_ENDLESS, FRT_EOVERLOADED, "500"},
        {PEER_503, FRT_EOVERLOADED, "503"},
        {PEER_REDIRECT, FRT_ENOTFOUND, "sends elsewhere (http://198.51.100.1/)"},
    };
    struct frt_remote_options options = options_for(NULL);
    struct peer_options well = {0};
    options.timeout_ms = 1500;
    struct client c = connect_with(peer_start(&well), options, "kserve", "http://127.0.0.1");
    assert_int_equal(c.opened, FRT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        peer_fail(c.peer, cases[i].fault, -1);
        memset(&c.err, 0, sizeof c.err);
        enum frt_status status = run(&c, cases[i].fault == PEER_WRONG_ROWS ? 2 : 1, (int)i);
        print_message("%d: %s\n", (int)cases[i].fault, c.err.text);
        assert_int_equal(status, cases[i].status);
        assert_non_null(strstr(c.err.text, cases[i].said));
        peer_fail(c.peer, PEER_WELL, 0);
        assert_int_equal(run(&c, 1, (int)i), FRT_OK);
    }
    disconnect(&c);
}

static void faults_of_json_answers(void **state)
{
    (void)state;
    static const enum peer_fault faults[] = {PEER_WRONG_SHAPE, PEER_WRONG_ROWS, PEER_WRONG_TYPE,
                                             PEER_WRONG_NAME,  PEER_MISSING,    PEER_NOT_FINITE,
                                             PEER_GARBAGE,     PEER_DEEP_JSON};
    static const char *const protocols[] = {"kserve", "tfserving"};
    for (size_t p = 0; p < 2; p++) {
        struct client c = connect_to((struct peer_options){.json_only = true}, protocols[p]);
        assert_int_equal(c.opened, FRT_OK);
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
            peer_fail(c.peer, faults[i], 1);
            assert_int_equal(run(&c, 2, 1), FRT_ENOTFOUND);
            assert_int_equal(run(&c, 2, 1), FRT_OK);
        }
        disconnect(&c);
    }
}

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    struct peer_options well = {0};
    struct frt_remote_options options = options_for(NULL);
    options.retries = 2;
    struct client c = connect_with(peer_start(&well), options, "kserve", "http://127.0.0.1");
    peer_fail(c.peer, PEER_500, 2);
    const uint32_t before = peer_requests(c.peer);
    assert_int_equal(run(&c, 1, 1), FRT_OK);
    assert_int_equal(peer_requests(c.peer) - before, 3);
    assert_int_equal(state_of(&c).retries, 2);
    peer_fail(c.peer, PEER_500, 3);
    assert_int_equal(run(&c, 1, 1), FRT_EOVERLOADED);
    peer_fail(c.peer, PEER_WRONG_SHAPE, 1); /* no second try helps there */
    const uint32_t then = peer_requests(c.peer);
    assert_int_equal(run(&c, 1, 1), FRT_ENOTFOUND);
    assert_int_equal(peer_requests(c.peer) - then, 1);
    /* the budget ends them: ten, and a tenth of one for each call */
    peer_fail(c.peer, PEER_500, -1);
    for (int i = 0; i < 40; i++)
        assert_int_equal(run(&c, 1, i), FRT_EOVERLOADED);
    assert_in_range(state_of(&c).retries, 10, 20);
    disconnect(&c);
}

static void the_breaker_spares_a_server(void **state)
{
    (void)state;
    struct peer_options well = {0};
    struct frt_remote_options options = options_for(NULL);
    options.breaker = (struct frt_breaker_options){.in_a_row = 3, .first_ms = 200};
    struct client c = connect_with(peer_start(&well), options, "kserve", "http://127.0.0.1");
    peer_fail(c.peer, PEER_500, -1);
    assert_int_equal(run(&c, 1, 1), FRT_EOVERLOADED);
    assert_int_equal(run(&c, 1, 1), FRT_EOVERLOADED);
    assert_int_equal(run(&c, 1, 1), FRT_EUNAVAILABLE); /* the third opens it */
    assert_int_equal(state_of(&c).breaker, FRT_BREAKER_OPEN);
    const uint32_t before = peer_requests(c.peer);
    assert_int_equal(run(&c, 1, 1), FRT_EUNAVAILABLE);
    assert_non_null(strstr(c.err.text, "the breaker is open"));
    assert_int_equal(peer_requests(c.peer), before);
    peer_fail(c.peer, PEER_WELL, 0);
    while (run(&c, 1, 2) != FRT_OK) /* until its time is over */
        (void)usleep(20000);
    assert_int_equal(state_of(&c).breaker, FRT_BREAKER_CLOSED);
    assert_int_equal(state_of(&c).breaker_opened, 1);
    /* an opening tries at once, whatever the time */
    peer_fail(c.peer, PEER_500, -1);
    for (int i = 0; i < 3; i++)
        (void)run(&c, 1, i);
    assert_int_equal(state_of(&c).breaker, FRT_BREAKER_OPEN);
    peer_fail(c.peer, PEER_WELL, 0);
    struct frt_session *again = NULL;
    assert_int_equal(open_toy(c.backend, &again, &c.err), FRT_OK);
    assert_int_equal(state_of(&c).breaker, FRT_BREAKER_CLOSED);
    frt_session_free(again);
    disconnect(&c);
}

static void another_model_behind_the_same_name_is_found_out(void **state)
{
    (void)state;
    struct peer_options well = {0};
    struct client c = connect_with(peer_start(&well), options_for(NULL), "kserve", "http://127.0.0.1");
    assert_int_equal(run(&c, 1, 1), FRT_OK);
    /* after a failure the next answer is compared */
    peer_set_weights(c.peer, 0.5);
    peer_fail(c.peer, PEER_DROP_BEFORE, 2); /* libcurl itself asks again once on a connection that was kept */
    (void)run(&c, 1, 1);
    assert_int_equal(run(&c, 1, 2), FRT_ENOTFOUND);
    assert_non_null(strstr(c.err.text, "another one there"));
    assert_true(state_of(&c).differences >= 1);
    peer_set_weights(c.peer, 0);
    peer_fail(c.peer, PEER_WELL, 0);
    assert_int_equal(run(&c, 1, 3), FRT_OK);
    /* a server that went and came between two requests: the connection is a new one */
    (void)sleep(1);
    assert_int_equal(run(&c, 1, 3), FRT_OK);
    struct peer_options other = {.port = peer_port(c.peer), .weights = 0.5};
    peer_stop(c.peer);
    c.peer = peer_start(&other);
    assert_non_null(c.peer);
    (void)sleep(1);
    assert_int_equal(run(&c, 1, 4), FRT_ENOTFOUND);
    disconnect(&c);
    /* and without any sign, in time */
    struct frt_remote_options often = options_for(NULL);
    often.compare_ms = 1;
    c = connect_with(peer_start(&well), often, "kserve", "http://127.0.0.1");
    peer_set_weights(c.peer, 0.5);
    (void)usleep(5000);
    assert_int_equal(run(&c, 1, 5), FRT_ENOTFOUND);
    disconnect(&c);
}

static void rows_go_as_the_server_takes_them(void **state)
{
    (void)state;
    struct client c = connect_to((struct peer_options){.most_rows = 3}, "kserve");
    assert_int_equal(c.opened, FRT_OK);
    for (int rows = 1; rows <= 16; rows += 5)
        assert_int_equal(run(&c, rows, rows), FRT_OK);
    disconnect(&c);
    /* a graph of one row at a time */
    c = connect_to(
        (struct peer_options){
            .most_rows = 1,
            .metadata = TOY(X("x", "FP32", "[1,3,4]"), X("y", "FP32", "[1,5]") "," X("z", "FP32", "[1,2,2]"))},
        "kserve");
    assert_string_equal(c.err.text, "");
    assert_int_equal(run(&c, 5, 1), FRT_OK);
    disconnect(&c);
}

static void the_token_goes_there_and_nowhere_else(void **state)
{
    (void)state;
    char path[] = "/tmp/frt-token-XXXXXX";
    struct peer_options well = {0};
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "s3cret.token\n", 13), 13);
    struct frt_remote_options options = options_for(NULL);
    options.token_file = path;
    struct client c = connect_with(peer_start(&well), options, "kserve", "http://127.0.0.1");
    assert_int_equal(c.opened, FRT_OK);
    assert_true(peer_head_has(c.peer, "\r\nAuthorization: Bearer s3cret.token\r\n"));
    peer_fail(c.peer, PEER_401, 1);
    assert_int_equal(run(&c, 1, 1), FRT_ENOTFOUND);
    assert_null(strstr(c.err.text, "s3cret"));
    assert_non_null(strstr(c.err.text, "right token"));
    /* another header, read anew with the next opening */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "X-API-Key: other", 16, 0), 16);
    struct frt_session *again = NULL;
    assert_int_equal(open_toy(c.backend, &again, &c.err), FRT_OK);
    assert_true(peer_head_has(c.peer, "\r\nX-API-Key: other\r\n"));
    frt_session_free(again);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "two\nlines", 9, 0), 9);
    assert_int_equal(open_toy(c.backend, &again, &c.err), FRT_EINVAL);
    assert_non_null(strstr(c.err.text, "one line"));
    disconnect(&c);
    (void)close(fd);
    (void)unlink(path);
}

static void the_trace_goes_along(void **state)
{
    (void)state;
    struct frt_trace_context context;
    struct client c = connect_to((struct peer_options){0}, "kserve");
    assert_true(frt_trace_context_parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &context));
    frt_trace_context_take_state(&context, "vendor=1");
    assert_false(peer_head_has(c.peer, "traceparent"));
    frt_trace_context_attach(&context);
    assert_int_equal(run(&c, 1, 1), FRT_OK);
    frt_trace_context_attach(NULL);
    assert_true(peer_head_has(c.peer, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_true(peer_head_has(c.peer, "tracestate: vendor=1\r\n"));
    disconnect(&c);
}

static void addresses_of_all_kinds(void **state)
{
    (void)state;
    struct peer_options six = {.ipv6 = true};
    /* a proxy of the environment has nothing to do with it */
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1", 1), 0);
    struct client c = connect_to((struct peer_options){0}, "kserve");
    assert_string_equal(c.err.text, "");
    disconnect(&c);
    struct peer *peer = peer_start(&six);
    if (peer != NULL) { /* a machine without IPv6 has none */
        c = connect_with(peer, options_for(NULL), "kserve", "http://[::1]");
        assert_string_equal(c.err.text, "");
        disconnect(&c);
    }
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("all_proxy"), 0);
    /* nobody there */
    struct peer_options well = {0};
    peer = peer_start(&well);
    c = connect_with(peer, options_for(NULL), "kserve", "http://127.0.0.1");
    peer_stop(c.peer);
    c.peer = NULL;
    assert_int_equal(run(&c, 1, 1), FRT_EOVERLOADED);
    struct frt_session *again = NULL;
    assert_int_equal(open_toy(c.backend, &again, &c.err), FRT_EUNAVAILABLE);
    print_message("%s\n", c.err.text);
    disconnect(&c);
}

static void certificates_are_checked(void **state)
{
    (void)state;
    char ca[] = "/tmp/frt-ca-XXXXXX";
    const int fd = mkstemp(ca);
    assert_true(fd >= 0);
    (void)close(fd);
    struct peer_options secret = {.tls = true, .ca_file = ca};
    struct frt_remote_options options = options_for(NULL);
    struct client c = connect_with(peer_start(&secret), options, "kserve", "https://127.0.0.1");
    assert_int_equal(c.opened, FRT_EUNAVAILABLE);
    assert_non_null(strstr(c.err.text, "certificate is not trusted"));
    disconnect(&c);
    options.ca_file = ca;
    c = connect_with(peer_start(&secret), options, "kserve", "https://127.0.0.1");
    assert_string_equal(c.err.text, "");
    assert_int_equal(run(&c, 3, 1), FRT_OK);
    disconnect(&c);
    /* another name than the certificate's */
    c = connect_with(peer_start(&secret), options, "kserve", "https://localhost");
    assert_int_equal(c.opened, FRT_EUNAVAILABLE);
    assert_non_null(strstr(c.err.text, "certificate"));
    disconnect(&c);
    /* the wrong scheme, both ways */
    c = connect_with(peer_start(&secret), options, "kserve", "http://127.0.0.1");
    assert_int_equal(c.opened, FRT_EUNAVAILABLE);
    assert_non_null(strstr(c.err.text, "https:// is right"));
    disconnect(&c);
    struct peer_options plain = {0};
    c = connect_with(peer_start(&plain), options, "kserve", "https://127.0.0.1");
    assert_int_equal(c.opened, FRT_EUNAVAILABLE);
    print_message("%s\n", c.err.text);
    assert_non_null(strstr(c.err.text, "http:// is right"));
    disconnect(&c);
    (void)unlink(ca);
}

/* The bytes of docs/formats/kserve-v2.md and tfserving-predict.md. */
static void requests_are_those_of_the_page(void **state)
{
    (void)state;
    static const float x[] = {0.1F, -2, 1e-9F, 3.4028235e38F};
    struct frt_remote_model model = {
        .info = {.n_inputs = 1,
                 .n_outputs = 2,
                 .inputs = {{"image", {-1, 2, 2}, 3, true}},
                 .outputs = {{"embedding", {-1, 8}, 2, true}, {"n", {1}, 1, false}}},
        .binary = true};
    const struct frt_tensor input = {.data = x, .dims = {1, 2, 2}, .n_dims = 3};
    struct frt_remote_request request;
    assert_int_equal(frt_remote_kserve.write_request(&model, &input, 1, &request, NULL), FRT_OK);
    assert_string_equal(
        request.text.data,
        "{\"inputs\":[{\"name\":\"image\",\"shape\":[1,2,2],\"datatype\":\"FP32\",\"parameters\":"
        "{\"binary_data_size\":16}}],\"outputs\":[{\"name\":\"embedding\",\"parameters\":"
        "{\"binary_data\":true}}]}");
    assert_int_equal(request.n_pieces, 2);
    assert_ptr_equal(request.pieces[1].bytes, x);
    assert_int_equal(request.pieces[1].size, 16);
    frt_remote_request_deinit(&request);
    model.binary = false;
    assert_int_equal(frt_remote_kserve.write_request(&model, &input, 1, &request, NULL), FRT_OK);
    assert_string_equal(request.text.data,
                        "{\"inputs\":[{\"name\":\"image\",\"shape\":[1,2,2],\"datatype\":\"FP32\",\"data\":"
                        "[0.1,-2,9.9999997e-10,3.4028235e+38]}],\"outputs\":[{\"name\":\"embedding\"}]}");
    assert_string_equal(request.length_header, "");
    frt_remote_request_deinit(&request);
    assert_int_equal(frt_remote_tfserving.write_request(&model, &input, 1, &request, NULL), FRT_OK);
    assert_string_equal(request.text.data,
                        "{\"inputs\":{\"image\":[[[0.1,-2],[9.9999997e-10,3.4028235e+38]]]}}");
    frt_remote_request_deinit(&request);
    /* names are nobody's paths */
    struct frt_buf path;
    const struct frt_remote_name odd = {.name = "a b/../c?", .version = "1"};
    frt_buf_init(&path, 256);
    frt_remote_kserve.infer_path(&odd, &path);
    assert_string_equal(path.data, "/v2/models/a%20b%2F..%2Fc%3F/versions/1/infer");
    frt_buf_clear(&path);
    frt_remote_tfserving.infer_path(&odd, &path);
    assert_string_equal(path.data, "/v1/models/a%20b%2F..%2Fc%3F/versions/1:predict");
    frt_buf_deinit(&path);
}

static void models_have_the_names_of_the_list(void **state)
{
    (void)state;
    static const struct {
        const char *list, *model, *name, *version;
    } cases[] = {{NULL, "a", "a", ""},
                 {"", "a", "a", ""},
                 {"a=b", "a", "b", ""},
                 {"a=b/3", "a", "b", "3"},
                 {"b=c", "a", "a", ""},
                 {"b=c, *=frt_*_v1/2", "a", "frt_a_v1", "2"},
                 {"a=x,*=y", "a", "x", ""},
                 {"*=y,a=x", "a", "y", ""},
                 {"a=local", "a", NULL, ""},
                 {"b=local,*=*", "a", "a", ""},
                 {"a=local/1", "a", "local", "1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frt_remote_name name;
        assert_int_equal(frt_remote_name_of(cases[i].list, cases[i].model, &name, NULL), FRT_OK);
        assert_int_equal(name.local, cases[i].name == NULL);
        if (cases[i].name != NULL)
            assert_string_equal(name.name, cases[i].name);
        assert_string_equal(name.version, cases[i].version);
    }
}

/* Every allocation of an opening and a run fails once: an error each time, and nothing is lost. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    static const char *const protocols[] = {"kserve", "tfserving"};
    for (size_t p = 0; p < 2; p++) {
        struct client c = connect_to((struct peer_options){0}, protocols[p]);
        bool through = false;
        for (int64_t n = 0; !through; n++) {
            struct frt_session *session = NULL;
            struct frt_error err = {0};
            assert_true(n < 5000);
            frt_mem_fail_after(n);
            enum frt_status status = open_toy(c.backend, &session, &err);
            if (status == FRT_OK)
                status = run_rows(session, 2, 1, 0, &err);
            through = frt_mem_asked() <= n;
            frt_mem_fail_after(-1);
            frt_session_free(session);
            assert_true(through == (status == FRT_OK));
            assert_true(through || err.text[0] != '\0');
        }
        disconnect(&c);
    }
}

/* ---------------------------------------------------------- many threads */

struct crowd {
    const struct frt_session *session;
    atomic_bool stop;
    atomic_uint done, failed;
    int runs; /* of each; 0 = until stop */
};

static void *run_often(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; crowd->runs == 0 ? !atomic_load(&crowd->stop) : i < crowd->runs; i++) {
        struct frt_error err = {0};
        if (run_rows(crowd->session, 1 + i % 4, i, 0, &err) == FRT_OK)
            atomic_fetch_add(&crowd->done, 1);
        else
            atomic_fetch_add(&crowd->failed, 1);
    }
    return NULL;
}

static void threads_share_few_connections(void **state)
{
    (void)state;
    pthread_t threads[8];
    struct peer_options well = {0};
    struct frt_remote_options options = options_for(NULL);
    options.connections = 3;
    struct client c = connect_with(peer_start(&well), options, "kserve", "http://127.0.0.1");
    struct crowd crowd = {.session = c.session, .runs = 60};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, &crowd), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_int_equal(atomic_load(&crowd.done), 8 * 60);
    assert_in_range(peer_most_open(c.peer), 1, 3);
    assert_in_range(peer_connections(c.peer), 1, 6); /* kept, not made anew */
    disconnect(&c);
}

/* As a service has it: the models here catch what the server drops. */
static void before_the_models_here_nothing_is_dropped(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct peer_options well = {0};
    struct peer *peer = peer_start(&well);
    struct frt_backend *remote = NULL, *local = NULL, *both = NULL;
    struct frt_session *session = NULL;
    struct frt_backend_state s;
    char address[64];
    assert_non_null(peer);
    well.port = peer_port(peer);
    (void)snprintf(address, sizeof address, "kserve:http://127.0.0.1:%d", peer_port(peer));
    struct frt_remote_options options = options_for(address);
    options.timeout_ms = 1000;
    options.breaker = (struct frt_breaker_options){.in_a_row = 3};
    assert_int_equal(frt_backend_remote_new(&options, &remote, NULL), FRT_OK);
    assert_int_equal(frt_backend_fake_new(models, 1, &local, NULL), FRT_OK);
    const struct frt_failover_options chain = {
        .primary = remote, .fallback = local, .first_probe_ms = 20, .most_probe_ms = 50, .agreement = -1};
    assert_int_equal(frt_backend_failover_new(&chain, &both, NULL), FRT_OK);
    const struct frt_model_source source = {.path = "toy.onnx", .name = "toy"};
    assert_int_equal(frt_session_open_source(both, &source, &session, NULL), FRT_OK);
    struct crowd crowd = {.session = session};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, &crowd), 0);
    while (peer_requests(peer) < 40)
        (void)usleep(1000);
    for (int fault = PEER_DROP_BEFORE; fault < PEER_FAULTS; fault++) { /* a moment of each */
        if (fault == PEER_ENDLESS || fault == PEER_500_ENDLESS)
            continue; /* megabytes, above */
        peer_fail(peer, (enum peer_fault)fault, 2);
        (void)usleep(10000);
    }
    peer_fail(peer, PEER_WELL, 0);
    for (int round = 0; round < 3; round++) {
        /* gone, back with other weights, gone, back with the right ones */
        const bool right = round == 2;
        peer_stop(peer);
        (void)usleep(100000);
        well.weights = right ? 0 : 0.7;
        peer = peer_start(&well);
        assert_non_null(peer);
        (void)usleep(100000);
    }
    const uint32_t before = peer_requests(peer);
    while (peer_requests(peer) < before + 40) /* it is used again */
        (void)usleep(1000);
    atomic_store(&crowd.stop, true);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_int_equal(frt_backend_states(both, &s, 1), 1);
    assert_string_equal(s.state, "up");
    assert_true(s.falls + s.model_falls >= 1);
    frt_session_free(session);
    frt_backend_free(both);
    peer_stop(peer);
}

static void settings_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *address, *said;
    } cases[] = {
        {"kserv:http://h:1", "did you mean 'kserve'?"},
        {"triton:http://h:1", "kserve:http://HOST:PORT is right"},
        {"http://h:8000", "kserve:http://h:8000 or tfserving:http://h:8000"},
        {"kserve", "is no way to compute models"},
        {"kserve:", "begins with http:// or https://"},
        {"kserve:gpu:8000", "begins with http:// or https://"},
        {"kserve:http://", "names no host"},
        {"kserve:http://:8000", "names no host"},
        {"kserve:http://h:0", "a port is 1 to 65535"},
        {"kserve:http://h:80x", "a port is 1 to 65535"},
        {"kserve:http://h:99999", "a port is 1 to 65535"},
        {"kserve:http://::1:8000", "stands in brackets"},
        {"kserve:http://[::1:8000", "lacks a ']'"},
        {"kserve:http://a:b@h:1", "no place"},
        {"kserve:http://h:1/?x=1", "has a '?'"},
        {"kserve:http://h:1,http://i:1", "load balancer"},
        {"kserve:http://h:1/a b", "holds a ' '"},
        {"local", "no model server is named"},
    };
    struct frt_backend *backend = NULL;
    struct frt_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct frt_remote_options options = {.address = cases[i].address};
        assert_int_equal(frt_backend_remote_new(&options, &backend, &err), FRT_EINVAL);
        print_message("%s\n", err.text);
        assert_non_null(strstr(err.text, cases[i].said));
        assert_null(strstr(err.text, "a:b"));
    }
    static const char *const lists[] = {"toy", "=x", "toy=", "toy=/2", "toy=a/", "a=b,c"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct frt_remote_options options = {.address = "kserve:http://h:1", .models = lists[i]};
        assert_int_equal(frt_backend_remote_new(&options, &backend, &err), FRT_EINVAL);
        assert_non_null(strstr(err.text, "infer_models"));
    }
    const struct frt_remote_options token = {.address = "kserve:http://h:1", .token_file = "/nowhere/at/all"};
    assert_int_equal(frt_backend_remote_new(&token, &backend, &err), FRT_EINVAL);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_null(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_the_model),
        cmocka_unit_test(what_is_another_model_is_refused),
        cmocka_unit_test(every_fault_is_an_error_and_no_answer),
        cmocka_unit_test(faults_of_json_answers),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(the_breaker_spares_a_server),
        cmocka_unit_test(another_model_behind_the_same_name_is_found_out),
        cmocka_unit_test(rows_go_as_the_server_takes_them),
        cmocka_unit_test(the_token_goes_there_and_nowhere_else),
        cmocka_unit_test(the_trace_goes_along),
        cmocka_unit_test(addresses_of_all_kinds),
        cmocka_unit_test(certificates_are_checked),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(requests_are_those_of_the_page),
        cmocka_unit_test(models_have_the_names_of_the_list),
        cmocka_unit_test(threads_share_few_connections),
        cmocka_unit_test(before_the_models_here_nothing_is_dropped),
        cmocka_unit_test(settings_that_cannot_be_are_refused),
    };
    struct frt_error err = {0};
    if (frt_http_client_available(NULL, &err) != FRT_OK) {
        print_message("skipped: %s\n", err.text);
        return 77;
    }
    frt_log_configure(FRT_LOG_OFF, false, STDERR_FILENO);
    if (frt_backend_fake_new(models, 1, &fake, NULL) != FRT_OK ||
        frt_session_open(fake, "toy.onnx", &reference, NULL) != FRT_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_session_free(reference);
    frt_backend_free(fake);
    return failed;
}
