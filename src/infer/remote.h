/*
 * A backend whose models are computed by a server: Triton, TorchServe, OpenVINO Model Server, MLServer, another
 * FRT (KServe v2), or TensorFlow Serving.
 *
 *     run ─ breaker ─ connection (kept alive, a bounded number) ─ request ─ answer ─ read against what was
 * asked │            within one deadline: retries with jitter, as far as their budget goes └ open: refused at
 * once
 *
 * It is made to be the first of a failover (failover.h), whose fallback computes the same models here. That one
 * is also the measure: a session is opened against a reference (frt_model_source), an open session of the same
 * model that is trusted. Names, types and shapes of the server's metadata must be the reference's, and an
 * answer to a fixed input must be the reference's within MOST_DIFFERENCE; otherwise there is no session. So a
 * server with other weights under the same name never puts its embeddings beside ours. As a server may be given
 * another model while it runs, the comparison is made again, with a caller's own input, once a minute, after
 * every failure, after every new connection (at most once a second), and whenever the server names another
 * version.
 *
 * What a run's failure means, in failover.h's terms:
 *
 *     FRT_EOVERLOADED   this once: no answer in time, a dropped connection, 429, 5xx; the breaker is closed
 *     FRT_EUNAVAILABLE  the breaker is open
 *     FRT_ENOTFOUND     this model: the server has it not, or answers what is no answer of it
 *     FRT_ETIMEOUT      the caller's own deadline has passed (frt_infer_deadline_set)
 *     FRT_ENOMEM
 *
 * Nothing of a request is logged. The token of infer_token_file is sent to the server and shown nowhere.
 *
 * Threading: internally locked; runs from any number of threads. Lock order: `lock` and the breaker's are
 * leaves, not held while anything is sent.
 */
#ifndef FRT_INFER_REMOTE_H
#define FRT_INFER_REMOTE_H

#include "infer/breaker.h"
#include "infer/infer.h"

struct frt_remote_options {
    const char *address;    /* remote_address.h; not "local" */
    const char *models;     /* the list of remote_address.h; NULL = none */
    const char *ca_file;    /* PEM of authorities; NULL or "" = the system's */
    const char *token_file; /* a token for "Authorization: Bearer", or a whole "Name: value"; NULL, "" = none */
    uint32_t connect_timeout_ms; /* 0 = 500 ms */
    uint32_t timeout_ms;         /* of one run with its retries; 0 = 2 s */
    uint32_t connections;        /* at most; 0 = 16 */
    uint32_t retries;            /* of one run, at most; UINT32_MAX = none; 0 = 2 */
    uint32_t compare_ms;         /* between comparisons with the reference; 0 = 1 min */
    struct frt_breaker_options breaker;
    /* told of every request to a model: how long it took and whether it was answered; may be NULL */
    void (*observe)(void *arg, double ms, bool good);
    void *observe_arg;
};

enum frt_remote_outcome {
    FRT_REMOTE_OK = 0,
    FRT_REMOTE_ERROR,    /* no connection, a broken one, 4xx, 5xx, an answer that is none */
    FRT_REMOTE_TIMEOUT,  /* none in time */
    FRT_REMOTE_REJECTED, /* the server was too busy (429, 503), or the breaker open */
    FRT_REMOTE_OUTCOMES
};
const char *frt_remote_outcome_name(enum frt_remote_outcome outcome);

struct frt_remote_state {
    const char *protocol; /* "kserve" */
    const char *url;      /* borrowed until the backend is freed */
    enum frt_breaker_state breaker;
    uint64_t breaker_opened;
    uint64_t requests[FRT_REMOTE_OUTCOMES]; /* each try counts */
    uint64_t retries, comparisons, differences;
    uint64_t sent_bytes, received_bytes; /* of tensors and JSON */
    char last_error[FRT_ERROR_TEXT_MAX]; /* "" = none yet */
    double last_error_s;                 /* ago */
};

/**
 * Errors: FRT_EINVAL (address, list, token file), FRT_EUNAVAILABLE (libcurl is not there), FRT_ENOMEM. The
 * server is not asked yet.
 */
FRT_NODISCARD enum frt_status frt_backend_remote_new(const struct frt_remote_options *options,
                                                     struct frt_backend **out, struct frt_error *err);
/** backend  made by frt_backend_remote_new. */
void frt_remote_state_get(const struct frt_backend *backend, struct frt_remote_state *out);

#endif
