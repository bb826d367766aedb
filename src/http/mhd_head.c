#include "http/mhd_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/request_id.h"

enum { STATE_SIZE = 8 * 1024 /* no head is longer */ };

const char *mhd_header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum http_method method_of(const char *method)
{
    static const struct {
        const char *name;
        enum http_method method;
    } known[] = {{"GET", HTTP_GET}, {"HEAD", HTTP_GET},    {"POST", HTTP_POST},
                 {"PUT", HTTP_PUT}, {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, method) == 0)
            return known[i].method;
    return HTTP_OTHER;
}

static enum MHD_Result on_query(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct http_request *request = arg;
    (void)kind;
    if (request->n_query < HTTP_MAX_QUERY) {
        request->query[request->n_query].name = key;
        request->query[request->n_query].value = value == NULL ? "" : value;
    }
    request->n_query++;
    return MHD_YES;
}

struct trace_headers {
    uint32_t parents;
    const char *parent;
    size_t used;
    char state[STATE_SIZE];
};

static enum MHD_Result on_trace_header(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct trace_headers *h = arg;
    (void)kind;
    if (value != NULL && strcasecmp(key, "traceparent") == 0) {
        h->parents++;
        h->parent = value;
    } else if (value != NULL && strcasecmp(key, "tracestate") == 0) {
        int n = snprintf(h->state + h->used, sizeof h->state - h->used, "%s%s", h->used > 0 ? "," : "", value);
        h->used += n > 0 && (size_t)n < sizeof h->state - h->used ? (size_t)n : 0;
    }
    return MHD_YES;
}

/* Of two traceparents neither is believed; of several tracestates all are, in their order. */
static void read_trace(struct MHD_Connection *connection, struct http_request *request)
{
    struct trace_headers h = {.parents = 0};
    if (mhd_header(connection, "traceparent") == NULL)
        return;
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, on_trace_header, &h);
    if (h.parents == 1 && frt_trace_context_parse(h.parent, &request->trace))
        frt_trace_context_take_state(&request->trace, h.state);
}

static enum MHD_Result on_forwarded(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    char *text = arg;
    (void)kind;
    if (strcasecmp(key, "X-Forwarded-For") != 0 || value == NULL)
        return MHD_YES;
    /* what came last was written by whoever is nearest: of too much the end is kept */
    const size_t n = strlen(value), room = HTTP_FORWARDED_SIZE - 2;
    const size_t kept = n < room ? n : room, before = strlen(text), left = room - kept;
    const size_t keep = before < left ? before : left;
    memmove(text, text + before - keep, keep);
    text[keep] = ',';
    memcpy(text + keep + 1, value + n - kept, kept);
    text[keep + 1 + kept] = '\0';
    return MHD_YES;
}

/* The client's address: of the connection, or what trusted proxies say that they were asked from. */
static void read_peer(const struct http_proxies *proxies, struct MHD_Connection *connection,
                      uint8_t out[HTTP_PEER_BYTES])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char forwarded[HTTP_FORWARDED_SIZE] = "";
    http_peer_of_socket(info == NULL ? NULL : info->client_addr, out);
    if (http_proxies_trust(proxies, out)) {
        (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, on_forwarded, forwarded);
        http_peer_behind(proxies, forwarded, out);
    }
    http_peer_cut(out);
}

void mhd_head_read(struct MHD_Connection *connection, const char *method, const char *version,
                   const struct http_proxies *proxies, struct http_request *out)
{
    out->method = method_of(method);
    out->http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    out->content_type = mhd_header(connection, "Content-Type");
    out->accept = mhd_header(connection, "Accept");
    out->host = mhd_header(connection, "Host");
    out->origin = mhd_header(connection, "Origin");
    out->authorization = mhd_header(connection, "Authorization");
    out->api_key = mhd_header(connection, "X-API-Key");
    out->inference_length = mhd_header(connection, "Inference-Header-Content-Length");
    out->seq = mhd_header(connection, "X-FRT-Seq");
    read_peer(proxies, connection, out->peer);
    const char *priority = mhd_header(connection, "X-FRT-Priority");
    out->bulk = priority != NULL && strcasecmp(priority, "bulk") == 0; /* other words: as without */
    http_request_id(mhd_header(connection, "X-Request-Id"), out->id);
    read_trace(connection, out);
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_query, out);
}
