/*
 * The timeline of one request: what was done for it, when it began and how long it took.
 *
 *     frt_trace_init ─ frt_trace_attach ─ begin … end, wherever the work passes ─ frt_trace_attach(NULL)
 *
 * A recorder is attached to the thread that works on the request, so that no function has to hand it through;
 * on a thread without one, begin and end cost a look at a thread-local pointer. A span that begins while
 * another is open lies within it. Room is fixed: what does not fit is counted. Nothing is allocated.
 *
 * Names and notes are static texts, never what a client sent: a trace holds no more than a log line may.
 *
 * Threading: a recorder has one owner at a time, the thread that it is attached to.
 */
#ifndef FRT_CORE_TRACE_H
#define FRT_CORE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FRT_TRACE_SPANS = 160,
    FRT_TRACE_DEPTH = 16,       /* deeper ones are drawn at this depth */
    FRT_TRACE_WAIT_NS = 10000,  /* shorter waits are not worth a span */
    FRT_TRACE_NOT_RECORDED = -1 /* in place of a span's number */
};

struct frt_span {
    const char *name; /* a token: letters, digits, '-' */
    const char *note; /* "hit", "miss"; NULL = none */
    int64_t start_ns, end_ns;
    uint16_t depth; /* 0 = within no other */
    bool wait;      /* for somebody else, not for own work */
};

struct frt_trace {
    int64_t start_ns; /* of the request, on the monotonic clock */
    uint32_t n, depth, left_out;
    struct frt_span spans[FRT_TRACE_SPANS]; /* in the order in which they began */
};

void frt_trace_init(struct frt_trace *trace, int64_t start_ns);
/** Let this thread record into `trace`; NULL: into none. The recorder before. */
struct frt_trace *frt_trace_attach(struct frt_trace *trace);
/** The recorder of this thread; NULL = none. */
struct frt_trace *frt_trace_attached(void);

/** Work begins now; a number for frt_trace_end. */
int frt_trace_begin(const char *name);
/** A wait begins now. One shorter than FRT_TRACE_WAIT_NS, with nothing inside, leaves no trace. */
int frt_trace_begin_wait(const char *name);
/** note  NULL = none. */
void frt_trace_end(int span, const char *note);
/** A span that is over. `trace` as its owner; NULL: nothing happens. */
void frt_trace_add(struct frt_trace *trace, const char *name, bool wait, int64_t start_ns, int64_t end_ns);

#endif
