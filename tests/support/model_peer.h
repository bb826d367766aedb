/*
 * A model server for tests of the client, with faults on command. It has one model, "toy", and speaks KServe v2
 * (binary and JSON tensors) and TensorFlow Serving's REST predict. It shares no code with what it tests:
 * requests are taken apart with strstr and strtof.
 *
 *     x f32[rows,3,4]  ->  y f32[rows,5]   y[r][k] = sum over i of x[r][i] * sin(i * (k + 1) + weights)
 *                          z f32[rows,2,2] z[r][j] = x[r][j] * x[r][j + 4]
 *
 * `weights` is 0 as long as it is not set otherwise.
 *
 * Threading: start and stop by one owner; the rest may be called meanwhile. The server has a thread for each
 * connection.
 */
#ifndef TESTS_SUPPORT_MODEL_PEER_H
#define TESTS_SUPPORT_MODEL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_X = 12, PEER_Y = 5, PEER_Z = 4 };

/** What the model computes, for one row. */
void peer_toy(const float x[PEER_X], double weights, float y[PEER_Y], float z[PEER_Z]);

enum peer_fault {
    PEER_WELL = 0,
    PEER_SLOW,          /* answers after three seconds */
    PEER_TRICKLE,       /* a byte of the answer every 100 ms */
    PEER_DROP_BEFORE,   /* closes without a word */
    PEER_RESET,         /* resets the connection */
    PEER_DROP_MIDWAY,   /* closes after half of the body */
    PEER_SHORT_TENSOR,  /* fewer bytes than the tensors take, declared as such */
    PEER_LONG_TENSOR,   /* more */
    PEER_WRONG_SHAPE,   /* of y: [rows,6] */
    PEER_WRONG_ROWS,    /* one row too few */
    PEER_WRONG_TYPE,    /* FP64 */
    PEER_WRONG_NAME,    /* of an output */
    PEER_WRONG_MODEL,   /* model_name */
    PEER_OTHER_VERSION, /* model_version */
    PEER_MISSING,       /* no output z */
    PEER_TWICE,         /* y two times */
    PEER_HUGE_DECLARED, /* Content-Length of 10 GB */
    PEER_HUGE_SHAPE,    /* shape [1000000000,5] */
    PEER_ENDLESS,       /* chunks without end */
    PEER_NOT_FINITE,    /* NaN in y */
    PEER_GARBAGE,       /* 200, and bytes that are no JSON */
    PEER_NOT_JSON,      /* 200, and a page of HTML */
    PEER_DEEP_JSON,     /* 200, and brackets */
    PEER_BAD_LENGTH,    /* Inference-Header-Content-Length beyond the body */
    PEER_NOT_HTTP,      /* another protocol */
    PEER_400,
    PEER_401,
    PEER_404,
    PEER_429, /* with Retry-After: 1 */
    PEER_500,
    PEER_500_ENDLESS, /* an error whose body has no end */
    PEER_503,         /* with Retry-After: 1 */
    PEER_REDIRECT,
    PEER_FAULTS
};

struct peer;

struct peer_options {
    uint16_t port; /* 0 = a free one */
    bool ipv6;     /* ::1 in 127.0.0.1's place */
    bool tls;      /* with a certificate for 127.0.0.1 that is written to `ca_file` */
    const char *ca_file;
    bool json_only;       /* does not know binary tensors: 400 */
    int most_rows;        /* more: 400; 0 = any */
    const char *metadata; /* in place of its own */
    double weights;
    bool close_each; /* no connection is kept */
};

/** NULL when it cannot be started. */
struct peer *peer_start(const struct peer_options *options);
/** Closes every connection. NULL is fine. */
void peer_stop(struct peer *peer);
uint16_t peer_port(const struct peer *peer);

/** Let the next `count` requests for an inference (-1: all) meet a fault. */
void peer_fail(struct peer *peer, enum peer_fault fault, int count);
/** Other weights from now on. */
void peer_set_weights(struct peer *peer, double weights);
/** Inferences asked for so far; connections taken; most of them open at once. */
uint32_t peer_requests(const struct peer *peer);
uint32_t peer_connections(const struct peer *peer);
uint32_t peer_most_open(const struct peer *peer);
/** Does the last inference's head hold this text? */
bool peer_head_has(struct peer *peer, const char *text);

#endif
