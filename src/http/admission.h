/*
 * Who may have work done now: whose a request is, how urgent, and what he is told when there is no room.
 *
 * A client is a user or a key; without credentials, a network address. Behind a proxy on this machine all who
 * have none are one client.
 *
 * Threading: pure over its arguments.
 */
#ifndef FRT_HTTP_ADMISSION_H
#define FRT_HTTP_ADMISSION_H

#include "http/service.h"

/** A number for a client, from whatever names him; not 0. Keyed, so that nobody can choose another's. */
uint64_t http_client_number(const struct http_service *service, const void *name, size_t size);

/** A route's job, without what is to be run. */
struct frt_worker_job http_job_of(const struct http_route *route, const struct http_request *request,
                                  struct frt_worker_refusal *refusal);

/** Answer 429 to a client over his share, else 503; with Retry-After from what jobs took lately. */
void http_overloaded(struct http_response *response, const struct http_request *request,
                     const struct frt_worker_refusal *refusal, const char *detail);
/** Retry-After of an answer that was refused further in, by a stage: as long as the queue in front is. */
void http_retry_after(struct http_response *response, struct frt_worker_pool *pool);

#endif
