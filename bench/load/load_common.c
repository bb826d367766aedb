/* What the cases have in common: batches of requests, runs, figures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "load/load_cases.h"

const char load_search_target[] = "/v1/collections/people/search";
const char load_image_header[] = "Content-Type: image/jpeg\r\n";

void load_batch_add(struct load_batch *batch, const struct load_photo *photos, size_t n, const char *target,
                    bool unique)
{
    for (size_t i = 0; i < n && batch->n < LOAD_BATCH_MAX; i++)
        load_request_init(&batch->requests[batch->n++], "POST", target, load_image_header, photos[i].data,
                          photos[i].size, unique);
}

void load_batch_free(struct load_batch *batch)
{
    for (size_t i = 0; i < batch->n; i++)
        load_request_deinit(&batch->requests[i]);
    memset(batch, 0, sizeof *batch);
}

void load_bench_run(struct load_bench *bench, const struct load_service *service,
                    const struct load_batch *batch, struct load_options *options)
{
    char error[200] = "";
    options->port = service->port;
    options->requests = batch->requests;
    options->n_requests = batch->n;
    if (load_run(options, &bench->report, error, sizeof error) != 0) {
        (void)fprintf(stderr, "bench: %s\n", error);
        exit(1);
    }
}

double load_bench_closed(struct load_bench *bench, const struct load_service *service,
                         const struct load_batch *batch, uint32_t connections)
{
    struct load_options options = {
        .connections = connections, .warmup_s = bench->seconds / 8, .duration_s = bench->seconds};
    load_bench_run(bench, service, batch, &options);
    return (double)bench->report.accepted.count / bench->report.seconds;
}

void load_bench_restart(struct load_bench *bench, const char *const *options, int core)
{
    load_service_stop(&bench->ours);
    load_service_start(&bench->ours, &bench->place, options, core);
}

void load_figure_print(const struct load_figure *figure)
{
    const struct bench_figure f = {.bench = "load",
                                   .name = figure->name,
                                   .unit = figure->unit,
                                   .ours = figure->ours,
                                   .peer = figure->peer,
                                   .peer_value = figure->peer_value};
    const struct bench_wish wish = {.at_least = figure->at_least, .at_most = figure->at_most};
    bench_print_wished(&f, wish);
    (void)fprintf(stderr, "  %-46s %12.3f %-10s", f.name, f.ours, f.unit);
    if (f.peer != NULL)
        (void)fprintf(stderr, " %s %.3f, ratio %.3f", f.peer, f.peer_value, f.ours / f.peer_value);
    if (f.peer != NULL && (wish.at_least > 0 || wish.at_most > 0))
        (void)fprintf(stderr, " (wanted %s %.2f: %s)", wish.at_least > 0 ? "≥" : "≤",
                      wish.at_least > 0 ? wish.at_least : wish.at_most, bench_met(&f, wish) ? "met" : "unmet");
    (void)fputc('\n', stderr);
}

void load_figure_skip(const struct load_bench *bench, const char *name)
{
    struct frt_buf line;
    struct frt_json_writer w;
    frt_buf_init(&line, 4096);
    frt_json_writer_init(&w, &line, false);
    frt_json_object(&w);
    frt_json_key(&w, "bench");
    frt_json_string(&w, "load");
    frt_json_key(&w, "case");
    frt_json_string(&w, name);
    frt_json_key(&w, "peer");
    frt_json_string(&w, "standin");
    frt_json_key(&w, "skipped");
    frt_json_string(&w, bench->why_no_peer);
    frt_json_end(&w);
    if (frt_buf_status(&line) == FRT_OK)
        (void)puts(line.data);
    frt_buf_deinit(&line);
    (void)fprintf(stderr, "  %-46s skipped: %s\n", name, bench->why_no_peer);
}
