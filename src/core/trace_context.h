/*
 * W3C trace context: whose trace a request belongs to, so that what several services log of one can be found
 * together.
 *
 *     traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *                  |  trace id (32 hex)                parent id (16)   flags
 *                  version
 *     tracestate:  vendor=opaque,other=opaque      handed on as it came, never looked into, never logged
 *
 * A request with a valid traceparent gets a span id of its own: that stands in the log, and is the parent id
 * of what it asks others for. A malformed traceparent counts as none, a malformed tracestate likewise; neither
 * is an error. Without a traceparent there is no trace: none is begun here.
 *
 * The context is attached to the thread that works on the request; log lines of that thread then hold trace_id
 * and span_id, and a client of another service asks frt_trace_context_attached for the headers to send:
 *
 *     char parent[FRT_TRACEPARENT_SIZE];
 *     const struct frt_trace_context *context = frt_trace_context_attached();
 *     if (context != NULL) {
 *         frt_trace_context_write(context, parent);   "traceparent: …"
 *         … context->state …                          "tracestate: …", unless it is ""
 *     }
 *
 * Source: W3C Trace Context, Level 1 (Recommendation 2021) and Level 2 (the flag `random`, keys of tracestate).
 *
 * Threading: a context has one owner at a time; attaching is of the thread.
 */
#ifndef FRT_CORE_TRACE_CONTEXT_H
#define FRT_CORE_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FRT_TRACE_ID_SIZE = 33,
    FRT_SPAN_ID_SIZE = 17,
    FRT_TRACEPARENT_SIZE = 56,
    FRT_TRACESTATE_MAX = 512, /* what the standard wants to be handed on at least */
    FRT_TRACE_SAMPLED = 1,    /* flags */
    FRT_TRACE_RANDOM = 2
};

struct frt_trace_context {
    char trace_id[FRT_TRACE_ID_SIZE]; /* "" = no trace */
    char parent_id[FRT_SPAN_ID_SIZE]; /* the caller's span */
    char span_id[FRT_SPAN_ID_SIZE];   /* ours */
    uint8_t flags;
    char state[FRT_TRACESTATE_MAX + 1]; /* "" = none */
};

/** Begin our part of the trace that a traceparent names. False: it is malformed, *out is no trace then. */
bool frt_trace_context_parse(const char *traceparent, struct frt_trace_context *out);
/** Take the tracestate that came with it (several headers: joined by commas, in their order). Malformed: none
 * is handed on. Beyond FRT_TRACESTATE_MAX members over 128 bytes go first, then those at the end. */
void frt_trace_context_take_state(struct frt_trace_context *context, const char *tracestate);
/** The traceparent of what this request asks others for; also the value of `traceresponse`. */
void frt_trace_context_write(const struct frt_trace_context *context, char out[FRT_TRACEPARENT_SIZE]);

/** This thread works in that trace from now on; NULL, or a context that is no trace: in none. Borrowed until
 * the next call. */
void frt_trace_context_attach(const struct frt_trace_context *context);
/** NULL = none. */
const struct frt_trace_context *frt_trace_context_attached(void);

#endif
