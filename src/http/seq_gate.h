/*
 * X-FRT-Seq: requests that are to be answered from a state which has at least a certain change, and wait for
 * it.
 *
 * A number that this service has seen in the store is enough: whatever is read from the store from then on has
 * all changes up to it, and a search follows its index up to what it reads there. So only a request that comes
 * ahead of what is known here waits: on no thread, in a list, until the gallery's feed learns of the number,
 * the request's time is over or its client hangs up.
 *
 * Threading: internally locked; a leaf. `done` is called without the lock, on a thread of the gallery or on the
 * one that calls http_seq_gate_expire, once for each that was put in.
 */
#ifndef FRT_HTTP_SEQ_GATE_H
#define FRT_HTTP_SEQ_GATE_H

#include "core/status.h"
#include "frt/gallery.h"

struct http_seq_gate;

struct http_seq_wait {
    uint64_t seq;
    int64_t deadline_ms; /* monotonic */
    bool (*cancelled)(void *arg);
    void (*done)(void *arg, bool reached);
    void *arg;
    struct http_seq_wait *next; /* the gate's */
};

/** gallery  borrowed. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status http_seq_gate_new(struct frt_gallery *gallery, struct http_seq_gate **out,
                                                struct frt_error *err);
/** Nobody may wait any more (http_seq_gate_close). NULL is fine. */
void http_seq_gate_free(struct http_seq_gate *gate);
/** Is it known already? */
bool http_seq_gate_passed(const struct http_seq_gate *gate, uint64_t seq);
/** Wait; `wait` is borrowed until `done`, which may be called before this returns. */
void http_seq_gate_wait(struct http_seq_gate *gate, struct http_seq_wait *wait);
/** End the waits whose time is over or whose client is gone. About twice a second. */
void http_seq_gate_expire(struct http_seq_gate *gate);
/** End all waits, and from now on every new one at once. */
void http_seq_gate_close(struct http_seq_gate *gate);

/** The header's value. Errors: FRT_EBAD_REQUEST. */
FRT_NODISCARD enum frt_status http_seq_parse(const char *text, uint64_t *out, struct frt_error *err);

#endif
