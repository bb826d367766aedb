/*
 * A lean HTTP/1.1 load generator: one thread, epoll (edge-triggered, so no call but epoll_wait, sendmsg and
 * recv in steady state), keep-alive, one request at a time on a connection. Requests are built once; a request
 * is sent from where its photo lies. Of an answer it reads the status, Content-Length and Connection, and
 * throws the body away. It shares the machine with what it measures, so it says what it cost (cpu_seconds).
 *
 *   closed loop (rate 0)   every connection sends its next request as soon as it has its answer
 *   open loop   (rate r)   request i is due at start + i/r, whatever the service does; its latency counts from
 *                          then, so a service that stalls is charged for everybody who waited (no coordinated
 *                          omission). A due request takes an idle connection, else opens one, up to
 * `connections`; else it waits its turn, and is given up unsent `timeout_ms` after it was due.
 *
 * With `unique`, every body is another: a JPEG gets a comment segment of 16 changing digits behind its first
 * two bytes (same picture, other bytes), anything else the 16 digits appended. Thus no cache knows it.
 *
 * What counts: in an open loop what was due after the warm-up; in a closed loop what was answered between the
 * warm-up's end and the run's. Answers 2xx are ok; those later than `deadline_ms` are late, and not in the
 * goodput.
 *
 * Targets are loopback addresses only. Threading: one owner.
 */
#ifndef FRT_BENCH_LOAD_CLIENT_H
#define FRT_BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "load/load_histogram.h"

enum load_ending {
    LOAD_READ = 0,     /* send it, read the answer */
    LOAD_HANG_UP_HALF, /* send half of it, and close */
    LOAD_HANG_UP_SENT  /* send it all, and close without waiting */
};

struct load_request {
    char *head; /* from load_request_init */
    size_t head_size;
    const void *body; /* borrowed */
    size_t body_size;
    bool unique;
    enum load_ending ending;
};

/** `target` "/v1/…"; `headers` NULL or lines that each end in \r\n. The body is borrowed; NULL for none. */
void load_request_init(struct load_request *request, const char *method, const char *target,
                       const char *headers, const void *body, size_t body_size, bool unique);
void load_request_deinit(struct load_request *request);

struct load_options {
    const char *host; /* NULL: 127.0.0.1 */
    int port;
    const struct load_request *requests; /* sent in turn, round and round */
    size_t n_requests;
    uint32_t connections;    /* 0: 1 */
    uint32_t per_connection; /* > 0: a connection idles after so many answers; all done: the run is over */
    double rate;             /* per second; 0: closed loop */
    double warmup_s;
    double duration_s;  /* after the warm-up; 0: until `count` */
    uint64_t count;     /* requests; 0: until the duration's end */
    double deadline_ms; /* 0: none */
    double timeout_ms;  /* 0: 30 s; then the connection is closed */
    double hold_s;      /* keep the connections, idle, for so long at the end */
    double tick_s;      /* > 0: call `tick` about so often, in the hold as well */
    void (*tick)(void *arg, double elapsed_s, bool holding);
    void *tick_arg;
};

struct load_report {
    uint64_t ok;   /* 2xx in time */
    uint64_t late; /* 2xx, but past the deadline */
    uint64_t by_status[600];
    uint64_t cut;       /* closed or reset before a whole answer */
    uint64_t timeouts;  /* no answer within timeout_ms */
    uint64_t unsent;    /* open loop: no connection was free within timeout_ms */
    uint64_t malformed; /* an answer that is none, or without Content-Length */
    uint64_t hung_up;   /* on purpose: load_ending */
    uint64_t refused_connects;
    uint64_t sent_bytes, received_bytes; /* of the whole run */
    double seconds;                      /* measured time */
    double user_seconds, system_seconds; /* CPU of this process over the whole run */
    uint32_t open_at_end;                /* connections open when the last answer was in */
    struct load_histogram accepted;      /* latency of 2xx, late ones as well */
    struct load_histogram refused;       /* latency of other answers */
};

/**
 * Run it. Returns 0, or -1 with a line in `error` when the target is no loopback address, nobody listens there,
 * or the options make no sense. `report` is valid in the first case.
 */
int load_run(const struct load_options *options, struct load_report *report, char *error, size_t error_size);

/** Answers and failures that count. */
uint64_t load_total(const struct load_report *report);
/** The report as one JSON object and a line feed, on stdout. */
void load_print(const struct load_report *report, const struct load_options *options);

#endif
