#include "http/request_log.h"

#include "core/log.h"

enum { MAX_FIELDS = 24 };

struct line {
    struct frt_log_field fields[MAX_FIELDS];
    size_t n;
};

static void add(struct line *line, struct frt_log_field field)
{
    if (line->n + 1 < MAX_FIELDS) /* the last one ends the list */
        line->fields[line->n++] = field;
}

/* A stage that was not passed is not a stage of 0 ms. */
static void add_stage(struct line *line, const char *key, double ms)
{
    if (ms > 0)
        add(line, FRT_LOG_NUM(key, ms));
}

void http_log_request(const struct http_request *request, const struct http_response *response,
                      const struct http_request_facts *facts)
{
    const struct frt_timing *t = &response->timing;
    const enum frt_log_level level = response->status >= 500 ? FRT_LOG_WARN : FRT_LOG_INFO;
    struct line line = {0};
    if (!frt_log_enabled(level))
        return;
    add(&line, FRT_LOG_STR("id", request->id));
    add(&line, FRT_LOG_STR("route", facts->route == NULL ? "-" : facts->route));
    add(&line, FRT_LOG_INT("status", response->status));
    add(&line, FRT_LOG_STR("written", facts->written ? "yes" : "no"));
    add(&line, FRT_LOG_INT("in", facts->received));
    add(&line, FRT_LOG_INT("out", facts->sent));
    add(&line, FRT_LOG_NUM("ms", facts->ms));
    if (t->cached != FRT_CACHED_NOT)
        add(&line, FRT_LOG_STR("cache", frt_cached_name(t->cached)));
    add_stage(&line, "wait_ms", t->wait_ms);
    add_stage(&line, "decode_ms", t->decode_ms);
    add_stage(&line, "detect_ms", t->detect_ms);
    add_stage(&line, "embed_ms", t->align_ms + t->embed_ms);
    add_stage(&line, "attributes_ms", t->attribute_ms);
    add_stage(&line, "inference_ms", t->inference_ms);
    add_stage(&line, "index_ms", response->index_ms);
    add_stage(&line, "search_ms", response->search_ms);
    if (facts->not_logged > 0)
        add(&line, FRT_LOG_INT("not_logged", facts->not_logged));
    frt_log_fields(level, "request", line.fields);
}
