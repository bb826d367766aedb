/*
 * A line in the log every so often: what the service did since the last one, and how it is.
 *
 * Latencies are those of the period, from the difference of two readings of the histograms; rates of caches and
 * times of indexes likewise. Queues, memory and the like are of now.
 *
 * Threading: one owner.
 */
#ifndef FRT_HTTP_SUMMARY_H
#define FRT_HTTP_SUMMARY_H

#include "http/service.h"

struct http_summary;

/** service  borrowed; its metrics stand. `out` is owned. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status http_summary_new(struct http_service *service, struct http_summary **out,
                                               struct frt_error *err);
/** Write the line when it is due: after summary_interval with requests, after summary_idle_interval without.
 * Call about twice a second. */
void http_summary_tick(struct http_summary *summary);
/** Write the line now, if there were requests since the last one. */
void http_summary_last(struct http_summary *summary);
void http_summary_free(struct http_summary *summary);

#endif
