/* Counters and the two renderings: the JSON parses and adds up, the Prometheus text follows its format. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "metrics/metrics.h"

static struct frt_metrics *make(void)
{
    struct frt_metrics *m = NULL;
    assert_int_equal(frt_metrics_new(&frt_clock_system, &m, NULL), FRT_OK);
    uint32_t detect = frt_metrics_add_route(m, "POST /v1/detect"),
             unused = frt_metrics_add_route(m, "GET /unused");
    assert_int_equal(detect, 0);
    assert_int_equal(unused, 1);
    const int codes[] = {200, 200, 404, 503, 499};
    for (size_t i = 0; i < 5; i++) {
        frt_metrics_began(m);
        frt_metrics_answered(m, i == 4 ? UINT32_MAX : 0, codes[i], (double)(i + 1), codes[i] == 503);
    }
    frt_metrics_began(m);
    const struct frt_timing t = {.decode_ms = 3, .detect_ms = 50, .align_ms = 1, .embed_ms = 4};
    frt_metrics_stages(m, &t);
    const struct frt_timing from_a_cache = {.total_ms = 0.1};
    frt_metrics_stages(m, &from_a_cache);
    return m;
}

static int source_arg;

static void read_stage(void *arg, enum frt_stage stage, struct frt_metrics_stage_state *out)
{
    assert_ptr_equal(arg, &source_arg);
    *out = (struct frt_metrics_stage_state){(uint32_t)stage + 10, 2, 3, 4};
}

static size_t read_caches(void *arg, struct frt_metrics_cache_state *out, size_t max)
{
    (void)arg;
    assert_true(max >= 2);
    out[0] = (struct frt_metrics_cache_state){"embedding", 5, 2, 1, 7, 8, 9, 10, 11, 12, 1.5};
    out[1] = (struct frt_metrics_cache_state){.name = "image"};
    return 2;
}

static void read_batches(void *arg, struct frt_metrics_batch_state *out)
{
    (void)arg;
    *out = (struct frt_metrics_batch_state){4, 10};
}

static void read_indexes(void *arg, struct frt_metrics_index_state *out)
{
    (void)arg;
    *out = (struct frt_metrics_index_state){2, 3, 40, 5000};
}

static const char *precision = "fp32";

static bool read_pack(void *arg, struct frt_metrics_pack *out)
{
    (void)arg;
    *out = (struct frt_metrics_pack){.name = "mine",
                                     .version = "2",
                                     .id = "abc",
                                     .reloads = 5,
                                     .failures = 1,
                                     .waiting = 2,
                                     .models = {{"face_recognition", "embedder", precision, "cpu"}},
                                     .n_models = 1};
    return true;
}

static bool read_redis(void *arg, struct frt_metrics_redis_state *out)
{
    assert_ptr_equal(arg, &source_arg);
    *out = (struct frt_metrics_redis_state){.up = true,
                                            .servers = 3,
                                            .servers_up = 2,
                                            .hits = 30,
                                            .misses = 10,
                                            .away = 7,
                                            .late = 3,
                                            .stored = 9,
                                            .lookup_ms = 25,
                                            .budget_ms = 5};
    return true;
}

static void read_store(void *arg, struct frt_metrics_store_state *out)
{
    assert_ptr_equal(arg, &source_arg);
    *out = (struct frt_metrics_store_state){.errors = 3, .reconnects = 2, .kind = "postgresql"};
}

static struct frt_window remote_time;

static bool read_remote(void *arg, struct frt_metrics_remote *out)
{
    (void)arg;
    *out = (struct frt_metrics_remote){.protocol = "kserve",
                                       .url = "http://box:8000",
                                       .breaker = "open",
                                       .breaker_open = true,
                                       .breaker_opened = 2,
                                       .retries = 3,
                                       .fallbacks = 4,
                                       .outcomes = {"ok", "error", "timeout", "rejected"},
                                       .requests = {10, 20, 30, 40},
                                       .time = &remote_time,
                                       .last_error = "a \"reason\"",
                                       .last_error_s = 1.5};
    return true;
}

static size_t read_devices(void *arg, struct frt_metrics_device *out, size_t max)
{
    (void)arg;
    assert_true(max >= 1);
    out[0] = (struct frt_metrics_device){.device = "cuda:1",
                                         .serving = "cpu",
                                         .state = "down",
                                         .models = 3,
                                         .falls = 2,
                                         .down_s = 1.5,
                                         .next_probe_s = -1,
                                         .cause = "it \"broke\""};
    return 1;
}

static void connect(struct frt_metrics *m)
{
    const struct frt_metrics_sources sources = {.arg = &source_arg,
                                                .stage = read_stage,
                                                .caches = read_caches,
                                                .batches = read_batches,
                                                .redis = read_redis,
                                                .indexes = read_indexes,
                                                .pack = read_pack,
                                                .store = read_store,
                                                .remote = read_remote,
                                                .devices = read_devices};
    frt_metrics_set_sources(m, &sources);
}

static double number(const struct frt_json_value *value, const char *key)
{
    const struct frt_json_value *v = frt_json_get(value, key);
    assert_true(frt_json_is_number(v));
    return frt_json_double(v, -1);
}

static void json_adds_up(void **state)
{
    (void)state;
    struct frt_metrics *m = make();
    struct frt_buf out;
    struct frt_json *json = NULL;
    frt_buf_init(&out, 1 << 20);
    frt_metrics_json(m, &out);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json), *requests = frt_json_get(root, "requests");
    assert_int_equal((int)number(requests, "total"), 6);
    assert_int_equal((int)number(requests, "in_flight"), 1);
    assert_int_equal((int)number(requests, "errors"), 3);
    assert_int_equal((int)number(requests, "rejected"), 1);
    const struct frt_json_value *time = frt_json_get(requests, "response_time_ms");
    assert_int_equal((int)number(time, "count"), 5);
    assert_float_equal(number(time, "avg"), 3, 0.01);
    assert_float_equal(number(time, "p50"), 3, 0.1);
    assert_float_equal(number(time, "max"), 5, 0.01);
    const struct frt_json_value *routes = frt_json_get(requests, "by_route");
    assert_int_equal((int)number(frt_json_get(routes, "POST /v1/detect"), "count"), 4);
    assert_int_equal((int)number(frt_json_get(routes, "GET /unused"), "count"), 0);
    const struct frt_json_value *stages = frt_json_get(root, "stages");
    assert_float_equal(number(frt_json_get(frt_json_get(stages, "recognize"), "time_ms"), "max"), 5, 0.01);
    const char *const taken_once[] = {"image", "detect", "recognize"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal((int)number(frt_json_get(frt_json_get(stages, taken_once[i]), "time_ms"), "count"), 1);
    assert_true(frt_json_is_null(frt_json_get(root, "gpu")));
    assert_true(frt_json_is_null(frt_json_get(root, "remote")));
    frt_json_free(json);
    frt_buf_deinit(&out);
    frt_metrics_free(m);
}

static void sources_as_json(void **state)
{
    (void)state;
    struct frt_metrics *m = make();
    struct frt_buf out;
    struct frt_json *json = NULL;
    frt_buf_init(&out, 1 << 20);
    frt_metrics_json(m, &out);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_null(frt_json_first(frt_json_get(root, "caches"))); /* there, and empty */
    assert_non_null(frt_json_get(root, "caches"));
    assert_float_equal(number(frt_json_get(root, "batches"), "mean_size"), 0, 0); /* none was made */
    assert_true(frt_json_is_null(frt_json_get(root, "redis")));
    frt_json_free(json);
    frt_buf_clear(&out);
    connect(m);
    frt_metrics_stage(m, FRT_STAGE_STORE, 7);
    frt_metrics_json(m, &out);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    root = frt_json_root(json);
    const struct frt_json_value *store = frt_json_get(frt_json_get(root, "stages"), "store");
    const struct frt_json_value *device = frt_json_first(frt_json_get(root, "devices"));
    assert_string_equal(frt_json_text(frt_json_get(device, "serving")), "cpu");
    assert_string_equal(frt_json_text(frt_json_get(device, "cause")), "it \"broke\"");
    assert_float_equal(number(device, "down_seconds"), 1.5, 0);
    assert_true(frt_json_is_null(frt_json_get(device, "next_probe_seconds")));
    assert_int_equal((int)number(store, "limit"), 10 + FRT_STAGE_STORE);
    assert_int_equal((int)number(store, "busy"), 2);
    assert_int_equal((int)number(store, "queued"), 3);
    assert_int_equal((int)number(store, "rejected"), 4);
    assert_int_equal((int)number(frt_json_get(store, "time_ms"), "count"), 1);
    const struct frt_json_value *cache = frt_json_get(frt_json_get(root, "caches"), "embedding");
    assert_float_equal(number(cache, "hit_rate"), 0.75, 0.001);
    assert_int_equal((int)number(cache, "shared"), 1);
    assert_int_equal((int)number(cache, "capacity_bytes"), 10);
    assert_float_equal(number(cache, "ttl_seconds"), 1.5, 0.001);
    cache = frt_json_get(frt_json_get(root, "caches"), "image");
    assert_float_equal(number(cache, "hit_rate"), 0, 0.001); /* nobody asked: no division by zero */
    const struct frt_json_value *redis = frt_json_get(root, "redis");
    assert_string_equal(frt_json_text(frt_json_get(redis, "state")), "up");
    assert_float_equal(number(redis, "hit_rate"), 0.75, 0.001); /* of those that were answered */
    assert_float_equal(number(redis, "lookup_ms_avg"), 0.5, 0.001);
    assert_int_equal((int)number(redis, "skipped_late"), 3);
    assert_float_equal(number(frt_json_get(root, "batches"), "mean_size"), 2.5, 0.001);
    const struct frt_json_value *model = frt_json_first(frt_json_get(root, "models"));
    assert_string_equal(frt_json_text(frt_json_get(model, "role")), "embedder");
    assert_string_equal(frt_json_text(frt_json_get(model, "precision")), "fp32");
    assert_string_equal(frt_json_text(frt_json_get(model, "device")), "cpu");
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(root, "pack"), "name")), "mine");
    assert_int_equal((int)number(frt_json_get(root, "pack"), "reloads"), 5);
    const struct frt_json_value *server = frt_json_get(root, "remote");
    assert_string_equal(frt_json_text(frt_json_get(server, "url")), "http://box:8000");
    assert_string_equal(frt_json_text(frt_json_get(server, "breaker")), "open");
    assert_int_equal((int)number(frt_json_get(server, "requests"), "timeout"), 30);
    assert_int_equal((int)number(server, "fallbacks"), 4);
    assert_int_equal((int)number(frt_json_get(server, "time_ms"), "count"), 1);
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(server, "last_error"), "text")),
                        "a \"reason\"");
    frt_json_free(json);
    frt_buf_deinit(&out);
    frt_metrics_free(m);
}

/* One line of the text format 0.0.4: a comment, or name{label="value",…} number. */
static bool good_line(const char *line)
{
    const char *p = line;
    if (*p == '#')
        return strncmp(p, "# HELP ", 7) == 0 || strncmp(p, "# TYPE ", 7) == 0;
    if (!isalpha((unsigned char)*p))
        return false;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    if (*p == '{') {
        do {
            p++;
            while (isalnum((unsigned char)*p) || *p == '_')
                p++;
            if (p[0] != '=' || p[1] != '"')
                return false;
            for (p += 2; *p != '"'; p++) {
                if (*p == '\0')
                    return false;
                if (*p == '\\' && *++p != '\\' && *p != '"' && *p != 'n')
                    return false;
            }
            p++;
        } while (*p == ',');
        if (*p++ != '}')
            return false;
    }
    if (*p++ != ' ')
        return false;
    char *end = NULL;
    (void)strtod(p, &end);
    return end != p && *end == '\0';
}

static char *rendered(struct frt_metrics *m, bool open)
{
    struct frt_buf out;
    frt_buf_init(&out, 1 << 20);
    frt_metrics_prometheus(m, open, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_int_equal(out.data[out.size - 1], '\n');
    char *text = strndup(out.data, out.size);
    assert_non_null(text);
    frt_buf_deinit(&out);
    return text;
}

static void prometheus_text(void **state)
{
    (void)state;
    struct frt_metrics *m = make();
    connect(m);
    precision = "8 \"bits\"\\";
    char *text = rendered(m, false);
    assert_non_null(strstr(text, "\nfrt_requests_total 6\n"));
    assert_non_null(strstr(text, "\nfrt_requests_in_flight 1\n"));
    assert_non_null(strstr(text, "\nfrt_request_errors_total 3\n"));
    assert_non_null(strstr(text, "\nfrt_requests_rejected_total 1\n"));
    assert_non_null(
        strstr(text, "frt_request_duration_seconds_bucket{route=\"POST /v1/detect\",le=\"0.0025\"} 2\n"));
    assert_non_null(strstr(text, "frt_request_duration_seconds_count{route=\"POST /v1/detect\"} 4\n"));
    assert_non_null(strstr(text, "frt_responses_total{route=\"POST /v1/detect\",class=\"2xx\"} 2\n"));
    assert_non_null(strstr(text, "le=\"+Inf\""));
    assert_non_null(strstr(text, "frt_stage_limit{stage=\"store\"} 13\n"));
    assert_non_null(strstr(text, "frt_cache_hits_total{cache=\"embedding\"} 5\n"));
    assert_non_null(strstr(text, "frt_cache_capacity_bytes{cache=\"embedding\"} 10\n"));
    assert_non_null(strstr(text, "\nfrt_redis_up 1\n"));
    assert_non_null(strstr(text, "\nfrt_redis_hits_total 30\n"));
    assert_non_null(strstr(text, "frt_redis_skipped_total{reason=\"away\"} 7\n"));
    assert_non_null(strstr(text, "frt_batch_items_total 10\n"));
    assert_non_null(strstr(text, "\nfrt_index_builds_total 3\n"));
    assert_non_null(strstr(text, "frt_pack_info{name=\"mine\",version=\"2\",id=\"abc\"} 1\n"));
    assert_non_null(strstr(text, "\nfrt_pack_reloads_total 5\n"));
    assert_non_null(strstr(text, "\nfrt_pack_reload_failures_total 1\n"));
    assert_non_null(strstr(text, "\nfrt_index_build_seconds_total 5\n"));
    assert_non_null(strstr(text, "precision=\"8 \\\"bits\\\"\\\\\",device=\"cpu\"} 1\n"));
    assert_null(strstr(text, "frt_gpu"));
    char *rest = text;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (!good_line(line))
            fail_msg("not the text format: %s", line);
    free(text);
    frt_metrics_free(m);
}

/* OpenMetrics calls a counter's family by its name without _total, and wants bounds as 1.0. */
static void openmetrics_text(void **state)
{
    (void)state;
    struct frt_metrics *m = make();
    connect(m);
    char *text = rendered(m, true);
    assert_non_null(strstr(text, "# TYPE frt_requests counter\nfrt_requests_total 6\n"));
    assert_non_null(
        strstr(text, "# TYPE frt_cache_hits counter\nfrt_cache_hits_total{cache=\"embedding\"} 5\n"));
    assert_non_null(strstr(text, "# TYPE frt_stage_busy gauge\n"));
    assert_non_null(strstr(text, "le=\"1.000\"} "));
    assert_non_null(strstr(text, "le=\"0.0001000\"} "));
    for (const char *p = text; (p = strstr(p, "_total")) != NULL; p++) {
        const char *line = p;
        while (line > text && line[-1] != '\n')
            line--;
        assert_int_not_equal(*line, '#');
    }
    free(text);
    frt_metrics_free(m);
}

static void routes_are_bounded(void **state)
{
    (void)state;
    struct frt_metrics *m = NULL;
    assert_int_equal(frt_metrics_new(&frt_clock_system, &m, NULL), FRT_OK);
    for (uint32_t i = 0; i < FRT_METRICS_MAX_ROUTES; i++)
        assert_int_equal(frt_metrics_add_route(m, "x"), i);
    assert_int_equal(frt_metrics_add_route(m, "x"), UINT32_MAX);
    frt_metrics_began(m);
    frt_metrics_answered(m, UINT32_MAX, 200, 1, false);
    frt_metrics_free(m);
}

int main(void)
{
    frt_window_init(&remote_time, &frt_clock_system);
    frt_window_record(&remote_time, 3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_adds_up),       cmocka_unit_test(sources_as_json),
        cmocka_unit_test(prometheus_text),    cmocka_unit_test(openmetrics_text),
        cmocka_unit_test(routes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
