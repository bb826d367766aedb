/*
 * One JSON line a figure:
 *
 *     {"bench","case","unit","ours","peer","peer_value","ratio",["wanted_ratio","met",]"machine","flags"}
 *
 * ratio = ours / peer_value; several peers, several lines. A peer may be another program or library, an
 * own slower path, or "target": the figure that the design asks for. Without a peer the three are null.
 * A figure that says which way it should go has "wanted_ratio" and "met" as well.
 *
 * Threading: one owner.
 */
#ifndef FRT_BENCH_BENCH_H
#define FRT_BENCH_BENCH_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/json_write.h"

#ifndef FRT_BENCH_FLAGS
#define FRT_BENCH_FLAGS "unknown"
#endif

struct bench_figure {
    const char *bench; /* "stages" */
    const char *name;  /* the case: "decode-12mp" */
    const char *unit;  /* "ms", "MB", "GB/s" */
    double ours;       /* the median where it is a time */
    const char *peer;  /* NULL = none */
    double peer_value; /* read only with a peer */
};

/* Which way the ratio should go; zero: nobody said. */
struct bench_wish {
    double at_least, at_most;
};

/* "Intel(R) Xeon(R) … x 2": model of the first CPU and the number of those on line. */
static inline void bench_machine(char *out, size_t capacity)
{
    char line[256], model[200] = "unknown CPU";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            (void)snprintf(model, sizeof model, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"),
                           strchr(line, ':') + 2);
            break;
        }
    }
    if (file != NULL)
        (void)fclose(file);
    (void)snprintf(out, capacity, "%s x %ld", model, sysconf(_SC_NPROCESSORS_ONLN));
}

static inline bool bench_met(const struct bench_figure *f, struct bench_wish wish)
{
    return wish.at_least > 0 ? f->ours >= wish.at_least * f->peer_value
                             : f->ours <= wish.at_most * f->peer_value;
}

/** Print the line on stdout; exits when it cannot be written. */
static inline void bench_print_wished(const struct bench_figure *f, struct bench_wish wish)
{
    struct frt_buf line;
    struct frt_json_writer w;
    char machine[256];
    bench_machine(machine, sizeof machine);
    frt_buf_init(&line, 4096);
    frt_json_writer_init(&w, &line, false);
    frt_json_object(&w);
    frt_json_key(&w, "bench");
    frt_json_string(&w, f->bench);
    frt_json_key(&w, "case");
    frt_json_string(&w, f->name);
    frt_json_key(&w, "unit");
    frt_json_string(&w, f->unit);
    frt_json_key(&w, "ours");
    frt_json_fixed(&w, f->ours, 3);
    frt_json_key(&w, "peer");
    frt_json_string(&w, f->peer);
    frt_json_key(&w, "peer_value");
    frt_json_fixed(&w, f->peer != NULL ? f->peer_value : NAN, 3);
    frt_json_key(&w, "ratio");
    frt_json_fixed(&w, f->peer != NULL && f->peer_value > 0 ? f->ours / f->peer_value : NAN, 3);
    if (f->peer != NULL && (wish.at_least > 0 || wish.at_most > 0)) {
        frt_json_key(&w, "wanted_ratio");
        frt_json_fixed(&w, wish.at_least > 0 ? wish.at_least : wish.at_most, 3);
        frt_json_key(&w, "met");
        frt_json_bool(&w, bench_met(f, wish));
    }
    frt_json_key(&w, "machine");
    frt_json_string(&w, machine);
    frt_json_key(&w, "flags");
    frt_json_string(&w, FRT_BENCH_FLAGS);
    frt_json_end(&w);
    if (frt_buf_status(&line) != FRT_OK || puts(line.data) < 0 || fflush(stdout) != 0) {
        fputs("bench: a figure could not be written\n", stderr);
        exit(1);
    }
    frt_buf_deinit(&line);
}

static inline void bench_print(const struct bench_figure *f)
{
    bench_print_wished(f, (struct bench_wish){0});
}

static inline int bench_ascending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/** Median of n >= 1 values; sorts them. */
static inline double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, bench_ascending);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

#endif
