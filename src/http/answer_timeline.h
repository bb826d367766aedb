/*
 * The timeline of a request whose client asks for it with X-FRT-Trace: 1.
 *
 *     begin ─ received ─ run … [wait ─ run …] ran ─ header ─ free
 *
 * It goes into the header Server-Timing, by step, and as the member "trace" into an answer that is a JSON
 * object. Without the request header every call is a look at a pointer.
 *
 * Threading: the request's owner.
 */
#ifndef FRT_HTTP_ANSWER_TIMELINE_H
#define FRT_HTTP_ANSWER_TIMELINE_H

#include "http/request.h"

enum { HTTP_SERVER_TIMING_SIZE = 1024 };

/** asked  the value of X-FRT-Trace; NULL when absent. Without memory there is no trace. */
void http_timeline_begin(struct http_request *request, const char *asked, int64_t start_ns);
/** The body is there, and work may begin: now, or when a worker is free. */
void http_timeline_received(struct http_request *request);
/** This thread works on the request from now on, until http_timeline_ran. */
void http_timeline_run(struct http_request *request);
/** This thread tries to answer at once, until http_timeline_ran, or http_timeline_tried when it could not. */
void http_timeline_try(struct http_request *request);
void http_timeline_tried(struct http_request *request);
/** The handler is done. Adds the member "trace". */
void http_timeline_ran(struct http_request *request, struct http_response *response);
/** Value of Server-Timing; false: there is none. */
bool http_timeline_header(const struct http_request *request, char out[HTTP_SERVER_TIMING_SIZE]);
void http_timeline_free(struct http_request *request);

#endif
