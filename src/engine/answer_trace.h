/* A trace as JSON (docs/api.md). Threading: the trace's owner. */
#ifndef FRT_ENGINE_ANSWER_TRACE_H
#define FRT_ENGINE_ANSWER_TRACE_H

#include "core/json_write.h"
#include "core/trace.h"

/** Member "trace": [{"name","depth","start_ms","ms","wait"?:true,"note"?}], in the order of their beginning. A
 * span that is not over lasts until now. */
void frt_answer_trace(struct frt_json_writer *w, const struct frt_trace *trace);

#endif
