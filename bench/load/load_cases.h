/*
 * The cases of bench_load. Each prints its figures (bench.h) and, on stderr, what they mean; none judges.
 * Threading: one owner.
 */
#ifndef FRT_BENCH_LOAD_CASES_H
#define FRT_BENCH_LOAD_CASES_H

#include "load/load_client.h"
#include "load/load_photos.h"
#include "load/load_service.h"

struct load_bench {
    struct load_place place;
    struct load_photos photos;
    struct load_service ours; /* running, with the people enrolled */
    struct load_service peer; /* running when has_peer */
    bool has_peer;
    char why_no_peer[600];
    double seconds; /* of one measurement */
    int rounds;     /* of interleaved ones */
    double overload_seconds;
    uint64_t soak_requests;
    struct load_report report; /* of the last run */
};

void load_case_cold(struct load_bench *bench);
void load_case_hot(struct load_bench *bench);
void load_case_overload(struct load_bench *bench);
void load_case_idle(struct load_bench *bench);
void load_case_soak(struct load_bench *bench);

/* ------------------------------------------- what the cases have in common */

enum { LOAD_BATCH_MAX = 256 };
extern const char load_search_target[], load_image_header[];

/** Requests of the same kind, one a photo. */
struct load_batch {
    struct load_request requests[LOAD_BATCH_MAX];
    size_t n;
};

void load_batch_add(struct load_batch *batch, const struct load_photo *photos, size_t n, const char *target,
                    bool unique);
void load_batch_free(struct load_batch *batch);
/** load_run against a service; exits when it cannot run. */
void load_bench_run(struct load_bench *bench, const struct load_service *service,
                    const struct load_batch *batch, struct load_options *options);
/** A closed loop of `bench->seconds` after a warm-up; the requests answered 2xx a second. */
double load_bench_closed(struct load_bench *bench, const struct load_service *service,
                         const struct load_batch *batch, uint32_t connections);
/** Stop ours, and start it again over the same people. */
void load_bench_restart(struct load_bench *bench, const char *const *options, int core);

struct load_figure {
    const char *name, *unit;
    double ours;
    const char *peer; /* NULL: none */
    double peer_value;
    double at_least, at_most; /* wanted ratio; 0: no wish */
};

void load_figure_print(const struct load_figure *figure);
/** A line that says that the peer's figures of `name` are missing. */
void load_figure_skip(const struct load_bench *bench, const char *name);

#endif
