#include <stdio.h>
#include <stdlib.h>

#include "core/json_write.h"
#include "load/load_client.h"

static void count(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, (int64_t)value);
}

static void number(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    frt_json_fixed(w, value, 3);
}

static void latency(struct frt_json_writer *w, const char *key, const struct load_histogram *histogram)
{
    frt_json_key(w, key);
    frt_json_object(w);
    count(w, "count", histogram->count);
    number(w, "avg", histogram->count > 0 ? histogram->sum_ns / 1e6 / (double)histogram->count : 0);
    number(w, "p50", load_histogram_percentile_ms(histogram, 0.5));
    number(w, "p95", load_histogram_percentile_ms(histogram, 0.95));
    number(w, "p99", load_histogram_percentile_ms(histogram, 0.99));
    number(w, "max", (double)histogram->max_ns / 1e6);
    frt_json_end(w);
}

void load_print(const struct load_report *report, const struct load_options *options)
{
    struct frt_buf line;
    struct frt_json_writer w;
    double seconds = report->seconds > 0 ? report->seconds : 1e-9;
    frt_buf_init(&line, 64 * 1024);
    frt_json_writer_init(&w, &line, false);
    frt_json_object(&w);
    count(&w, "requests", load_total(report));
    count(&w, "ok", report->ok);
    count(&w, "late", report->late);
    frt_json_key(&w, "by_status");
    frt_json_object(&w);
    for (int status = 0; status < 600; status++) {
        char key[8];
        (void)snprintf(key, sizeof key, "%d", status);
        if (report->by_status[status] > 0)
            count(&w, key, report->by_status[status]);
    }
    frt_json_end(&w);
    count(&w, "cut", report->cut);
    count(&w, "timeouts", report->timeouts);
    count(&w, "unsent", report->unsent);
    count(&w, "hung_up", report->hung_up);
    count(&w, "malformed", report->malformed);
    count(&w, "refused_connects", report->refused_connects);
    number(&w, "seconds", report->seconds);
    number(&w, "throughput", (double)(report->accepted.count + report->refused.count) / seconds);
    number(&w, "goodput", (double)report->ok / seconds);
    latency(&w, "latency_ms", &report->accepted);
    latency(&w, "refused_ms", &report->refused);
    count(&w, "connections", options->connections);
    number(&w, "rate", options->rate);
    count(&w, "open_at_end", report->open_at_end);
    count(&w, "sent_bytes", report->sent_bytes);
    count(&w, "received_bytes", report->received_bytes);
    frt_json_key(&w, "client_cpu_seconds");
    frt_json_object(&w);
    number(&w, "user", report->user_seconds);
    number(&w, "system", report->system_seconds);
    frt_json_end(&w);
    frt_json_end(&w);
    if (frt_buf_status(&line) != FRT_OK || puts(line.data) < 0 || fflush(stdout) != 0) {
        fputs("load: the report could not be written\n", stderr);
        exit(1);
    }
    frt_buf_deinit(&line);
}
