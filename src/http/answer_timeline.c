#include "http/answer_timeline.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/trace.h"
#include "engine/answer_trace.h"

struct http_timeline {
    struct frt_trace trace;
    int64_t received_ns; /* 0 = not yet */
};

void http_timeline_begin(struct http_request *request, const char *asked, int64_t start_ns)
{
    if (asked == NULL || strcmp(asked, "1") != 0)
        return;
    request->timeline = frt_alloc_zero(1, sizeof *request->timeline);
    if (request->timeline != NULL)
        frt_trace_init(&request->timeline->trace, start_ns);
}

void http_timeline_received(struct http_request *request)
{
    struct http_timeline *timeline = request->timeline;
    if (timeline == NULL || timeline->received_ns != 0)
        return;
    timeline->received_ns = frt_now_ns();
    frt_trace_add(&timeline->trace, "receive", true, timeline->trace.start_ns, timeline->received_ns);
}

void http_timeline_run(struct http_request *request)
{
    struct http_timeline *timeline = request->timeline;
    if (timeline == NULL)
        return;
    if (timeline->received_ns != 0) /* else a piece of a stream */
        frt_trace_add(&timeline->trace, "queue", true, timeline->received_ns, frt_now_ns());
    (void)frt_trace_attach(&timeline->trace);
}

void http_timeline_try(struct http_request *request)
{
    if (request->timeline != NULL)
        (void)frt_trace_attach(&request->timeline->trace);
}

void http_timeline_tried(struct http_request *request)
{
    if (request->timeline == NULL)
        return;
    (void)frt_trace_attach(NULL);
    request->timeline->received_ns = frt_now_ns(); /* from here on it waits for a worker */
}

/* Puts the member behind the last one of the object that the body is. */
static void splice(struct frt_buf *body, const struct frt_trace *trace)
{
    struct frt_buf text;
    struct frt_json_writer w;
    const bool empty = body->size == 2; /* {} */
    frt_buf_init(&text, body->max);
    frt_json_writer_init(&w, &text, false);
    frt_json_object(&w);
    frt_answer_trace(&w, trace);
    frt_json_end(&w);
    if (frt_buf_status(&text) == FRT_OK) {
        body->size--;
        frt_buf_append_text(body, empty ? "" : ",");
        frt_buf_append(body, text.data + 1, text.size - 1); /* with its closing brace */
    }
    frt_buf_deinit(&text);
}

void http_timeline_ran(struct http_request *request, struct http_response *response)
{
    struct http_timeline *timeline = request->timeline;
    struct frt_buf *body = &response->body;
    if (timeline == NULL)
        return;
    (void)frt_trace_attach(NULL);
    const bool json = strcmp(response->content_type, "application/json") == 0 ||
                      strcmp(response->content_type, "application/problem+json") == 0;
    if (json && !request->more && response->fixed == NULL && response->next_page == NULL && body->size >= 2 &&
        frt_buf_status(body) == FRT_OK && body->data[0] == '{' && body->data[body->size - 1] == '}')
        splice(body, &timeline->trace);
}

bool http_timeline_header(const struct http_request *request, char out[HTTP_SERVER_TIMING_SIZE])
{
    size_t used = 0;
    if (request->timeline == NULL || request->timeline->trace.n == 0)
        return false;
    const struct frt_trace *t = &request->timeline->trace;
    out[0] = '\0';
    for (uint32_t i = 0; i < t->n; i++) {
        int64_t ns = 0;
        bool again = false;
        for (uint32_t k = 0; k < i && !again; k++)
            again = strcmp(t->spans[k].name, t->spans[i].name) == 0;
        for (uint32_t k = i; k < t->n && !again; k++)
            if (strcmp(t->spans[k].name, t->spans[i].name) == 0 && t->spans[k].end_ns != 0)
                ns += t->spans[k].end_ns - t->spans[k].start_ns;
        if (again)
            continue;
        const char *note = t->spans[i].note;
        int n = snprintf(out + used, HTTP_SERVER_TIMING_SIZE - used, "%s%s%s%s%s;dur=%.3f",
                         used > 0 ? ", " : "", t->spans[i].name, note == NULL ? "" : ";desc=\"",
                         note == NULL ? "" : note, note == NULL ? "" : "\"", (double)ns / 1e6);
        if (n < 0 || (size_t)n >= HTTP_SERVER_TIMING_SIZE - used) {
            out[used] = '\0'; /* whole steps or none */
            break;
        }
        used += (size_t)n;
    }
    return used > 0;
}

void http_timeline_free(struct http_request *request)
{
    frt_free(request->timeline);
    request->timeline = NULL;
}
