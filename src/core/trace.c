#include "core/trace.h"

#include <stddef.h>

#include "core/clock.h"

static _Thread_local struct frt_trace *attached;

void frt_trace_init(struct frt_trace *trace, int64_t start_ns)
{
    trace->start_ns = start_ns;
    trace->n = trace->depth = trace->left_out = 0;
}

struct frt_trace *frt_trace_attach(struct frt_trace *trace)
{
    struct frt_trace *before = attached;
    attached = trace;
    return before;
}

struct frt_trace *frt_trace_attached(void)
{
    return attached;
}

/* The number of a new span, FRT_TRACE_NOT_RECORDED without room. */
static int add(struct frt_trace *t, const char *name, bool wait, int64_t start_ns, int64_t end_ns)
{
    if (t->n == FRT_TRACE_SPANS) {
        t->left_out++;
        return FRT_TRACE_NOT_RECORDED;
    }
    t->spans[t->n] =
        (struct frt_span){.name = name,
                          .start_ns = start_ns,
                          .end_ns = end_ns,
                          .depth = (uint16_t)(t->depth < FRT_TRACE_DEPTH ? t->depth : FRT_TRACE_DEPTH),
                          .wait = wait};
    return (int)t->n++;
}

static int begin(const char *name, bool wait)
{
    struct frt_trace *t = attached;
    if (t == NULL)
        return FRT_TRACE_NOT_RECORDED;
    int span = add(t, name, wait, frt_now_ns(), 0);
    t->depth += span != FRT_TRACE_NOT_RECORDED;
    return span;
}

int frt_trace_begin(const char *name)
{
    return begin(name, false);
}

int frt_trace_begin_wait(const char *name)
{
    return begin(name, true);
}

void frt_trace_end(int span, const char *note)
{
    struct frt_trace *t = attached;
    if (span == FRT_TRACE_NOT_RECORDED || t == NULL || (uint32_t)span >= t->n)
        return;
    struct frt_span *s = &t->spans[span];
    s->end_ns = frt_now_ns();
    s->note = note;
    t->depth = s->depth; /* what was begun inside and not ended is over, too */
    if (s->wait && (uint32_t)span + 1 == t->n && s->end_ns - s->start_ns < FRT_TRACE_WAIT_NS)
        t->n--;
}

void frt_trace_add(struct frt_trace *trace, const char *name, bool wait, int64_t start_ns, int64_t end_ns)
{
    if (trace != NULL && !(wait && end_ns - start_ns < FRT_TRACE_WAIT_NS))
        (void)add(trace, name, wait, start_ns, end_ns);
}
