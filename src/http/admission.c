#include "http/admission.h"

#include <stdio.h>

#include "core/crypto.h"

enum { MOST_RETRY_S = 60 };

uint64_t http_client_number(const struct http_service *service, const void *name, size_t size)
{
    uint64_t number = frt_short_hash(service->client_key, name, size);
    return number != 0 ? number : 1;
}

struct frt_worker_job http_job_of(const struct http_route *route, const struct http_request *request,
                                  struct frt_worker_refusal *refusal)
{
    struct frt_worker_job job = {.deadline_ms = request->deadline_ms, .refusal = refusal};
    if (route->pool == HTTP_WORKERS) { /* the others have room for everybody */
        job.client = request->client;
        job.bulk = request->bulk;
    }
    return job;
}

static void set_retry_after(struct http_response *response, double ms)
{
    char text[16];
    uint32_t seconds = ms < MOST_RETRY_S * 1000.0 ? (uint32_t)(ms / 1000) + 1 : MOST_RETRY_S;
    (void)snprintf(text, sizeof text, "%u", seconds);
    http_response_header(response, "Retry-After", text);
}

void http_overloaded(struct http_response *response, const struct http_request *request,
                     const struct frt_worker_refusal *refusal, const char *detail)
{
    if (refusal->own_share) {
        http_problem_as(response, request, 429, "too_many_requests", "Too many requests", detail);
        response->rejected = true;
    } else {
        http_problem(response, request, FRT_EOVERLOADED, detail);
    }
    set_retry_after(response, refusal->retry_ms);
}

void http_retry_after(struct http_response *response, struct frt_worker_pool *pool)
{
    const struct frt_worker_pool_stats s = frt_worker_pool_stats_get(pool);
    set_retry_after(response, s.mean_ms * (s.queued + 1) / s.limit);
}
