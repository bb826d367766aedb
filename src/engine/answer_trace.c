#include "engine/answer_trace.h"

#include "core/clock.h"

static void number(struct frt_json_writer *w, const char *key, int64_t ns)
{
    frt_json_key(w, key);
    frt_json_fixed(w, (double)ns / 1e6, 3);
}

void frt_answer_trace(struct frt_json_writer *w, const struct frt_trace *trace)
{
    const int64_t now = frt_now_ns();
    frt_json_key(w, "trace");
    frt_json_array(w);
    for (uint32_t i = 0; i < trace->n; i++) {
        const struct frt_span *s = &trace->spans[i];
        frt_json_object(w);
        frt_json_key(w, "name");
        frt_json_string(w, s->name);
        frt_json_key(w, "depth");
        frt_json_int(w, s->depth);
        number(w, "start_ms", s->start_ns - trace->start_ns);
        number(w, "ms", (s->end_ns != 0 ? s->end_ns : now) - s->start_ns);
        if (s->wait) {
            frt_json_key(w, "wait");
            frt_json_bool(w, true);
        }
        if (s->note != NULL) {
            frt_json_key(w, "note");
            frt_json_string(w, s->note);
        }
        frt_json_end(w);
    }
    frt_json_end(w);
}
