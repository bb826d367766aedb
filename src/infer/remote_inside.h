/*
 * What the files of the remote backend share: remote.c (opening, running), remote_call.c (one request and its
 * retries), remote_check.c (is it the same model?). remote.h is the design.
 */
#ifndef FRT_INFER_REMOTE_INSIDE_H
#define FRT_INFER_REMOTE_INSIDE_H

#include <stdatomic.h>

#include "infer/remote.h"
#include "infer/remote_protocol.h"

enum { REMOTE_TOKEN_MAX = 8192 };

struct remote_backend {
    struct frt_backend base;
    struct frt_remote_options options; /* without the texts, which are below */
    const struct frt_remote_protocol *protocol;
    struct frt_remote_address address;
    char *models, *ca_file, *token_file;
    struct frt_http_client *client;
    struct frt_breaker breaker;
    atomic_uint_fast64_t requests[FRT_REMOTE_OUTCOMES];
    atomic_uint_fast64_t retries, comparisons, differences, sent_bytes, received_bytes;
    atomic_uint_fast64_t failures, connections; /* after each of them the server may be another one */
    atomic_int_fast64_t random;
    pthread_mutex_t lock;
    /* under lock */
    char token[REMOTE_TOKEN_MAX + 32]; /* "Name: value"; "" = none */
    char last_error[FRT_ERROR_TEXT_MAX];
    int64_t last_error_ns; /* 0 = none yet */
};

struct remote_session {
    struct frt_session base;
    struct remote_backend *backend;
    const struct frt_session *reference; /* borrowed */
    uint32_t timeout_ms;                 /* of a run; longer while the session is opened */
    struct frt_remote_model model;
    bool by_row[FRT_SESSION_MAX_OUTPUTS]; /* the output has as many rows as the inputs */
    bool splits;                          /* runs may be cut into several by rows: all outputs are by row */
    atomic_uint most_rows;                /* in one request; UINT32_MAX = no limit known */
    /* the last comparison: when, and the backend's counts that it has settled */
    atomic_int_fast64_t compared_ns;
    atomic_uint_fast64_t failures, connections;
    atomic_bool comparing;
};

/** Read the token file into `token`. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status remote_token_load(struct remote_backend *self, struct frt_error *err);
void remote_note_error(struct remote_backend *self, const char *text);

/** remote_call.c: GET a path of the server. body: at most its max. Errors: FRT_EUNAVAILABLE (no answer, or one
 * from 500 on), FRT_ENOTFOUND (any other answer than 200), FRT_ENOMEM; texts name what is to be done. */
FRT_NODISCARD enum frt_status remote_get(struct remote_backend *self, const char *path, struct frt_buf *body,
                                         struct frt_error *err);
/** remote_call.c: one request with its retries. http_status: out: of the last answer; 0 = none came.
 *  Errors: those of remote.h. */
FRT_NODISCARD enum frt_status remote_infer(struct remote_session *session, const struct frt_tensor *inputs,
                                           uint32_t n_inputs, struct frt_remote_answer *out, int *http_status,
                                           struct frt_error *err);

/** remote_check.c: the server's metadata against the reference's graph; fills model.info. Errors:
 * FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status remote_match(struct remote_session *session,
                                           const struct frt_session_info *theirs, struct frt_error *err);
/** remote_check.c: a fixed input through both. Errors: FRT_ENOTFOUND (another model), those of remote_infer,
 * and of the reference's run. */
FRT_NODISCARD enum frt_status remote_try_out(struct remote_session *session, struct frt_error *err);
/** remote_check.c: the reference's answer to what the server has answered. Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status remote_compare(struct remote_session *session, const struct frt_tensor *inputs,
                                             uint32_t n_inputs, const struct frt_remote_answer *answer,
                                             struct frt_error *err);

/** remote.c: as session->ops->run, but the answer is not compared. http_status: out: of the last answer; 0 =
 * none came. */
FRT_NODISCARD enum frt_status remote_run_rows(struct remote_session *session, const struct frt_tensor *inputs,
                                              uint32_t n_inputs, struct frt_remote_answer *out,
                                              int *http_status, struct frt_error *err);

#endif
