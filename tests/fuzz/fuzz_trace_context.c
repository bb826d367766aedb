/* rooms: core */
/*
 * The two headers of a trace, one line each: whatever they hold, what is handed on is well formed, within its
 * bounds, and read again as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/trace_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_trace_context c, again;
    char sent[FRT_TRACEPARENT_SIZE], *parent = malloc(size + 1), *tracestate = NULL;
    if (parent == NULL)
        return 0;
    if (size > 0)
        memcpy(parent, data, size);
    parent[size] = '\0';
    char *end = strchr(parent, '\n');
    if (end != NULL) {
        *end = '\0';
        tracestate = end + 1;
    }
    if (frt_trace_context_parse(parent, &c)) {
        if (tracestate != NULL)
            frt_trace_context_take_state(&c, tracestate);
        frt_trace_context_write(&c, sent);
        if (strlen(c.state) > FRT_TRACESTATE_MAX || !frt_trace_context_parse(sent, &again) ||
            strcmp(c.trace_id, again.trace_id) != 0 || strcmp(c.span_id, again.parent_id) != 0)
            abort();
        for (const char *p = c.state; *p != '\0'; p++) /* nothing that could end a header */
            if (*p < ' ' || *p > '~')
                abort();
        frt_trace_context_take_state(&again, c.state);
        if (strcmp(c.state, again.state) != 0)
            abort();
    } else if (c.trace_id[0] != '\0') {
        abort();
    }
    free(parent);
    return 0;
}
