/*
 * HTTP/1.1 on a socket: reads requests, hands them to routes, writes answers.
 *
 *     accept ─ headers ─ access ─ body ─┬─ light routes: answered on the HTTP thread
 *                                       └─ working routes: suspended, run on a worker, resumed, answered
 *
 * A streamed body goes to a worker a piece at a time, a streamed answer comes a page at a time; both take the
 * same memory however long they are. A stream has no time limit as long as it moves.
 *
 * Bounds: connections, header bytes, body bytes (known from Content-Length before memory is taken),
 * body bytes of all requests together, time for every phase of a connection (frt_server_reap), time of
 * a request. A client that hangs up cancels its work at the next step.
 *
 * Threading: internally locked. Lock order: the connection list's lock is a leaf.
 */
#ifndef FRT_HTTP_SERVER_H
#define FRT_HTTP_SERVER_H

#include "http/service.h"

struct http_server;

/**
 * Listen, answer: on the socket that this process was started with (listen_address.h), else on `listen`,
 * "ADDRESS:PORT", where port 0 picks a free one. Without credentials only loopback addresses are taken. Sets
 * service->loopback.
 * Errors: FRT_EINVAL (address), FRT_EUNAVAILABLE (port taken, no credentials), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status http_server_start(struct http_service *service, struct http_server **out,
                                                struct frt_error *err);
/** "http://127.0.0.1:8080"; valid until stop. */
const char *http_server_url(const struct http_server *server);
/** Requests whose answer has not been written yet. */
uint32_t http_server_in_flight(const struct http_server *server);
/** Close connections that sit in one phase longer than the request timeout. Call about once a second. */
void http_server_reap(struct http_server *server);
/** Hear nobody new, while connections that stand are served and every answer ends its connection. What waited
 * for this service to be accepted is accepted; on a socket that it was started with it is left to the next one.
 */
void http_server_quiesce(struct http_server *server);
/** Is a request under way, or may one come on a connection that was used within the last `quiet_ms`? */
bool http_server_busy(struct http_server *server, uint32_t quiet_ms);
/** Make the work of all requests see a cancellation. */
void http_server_cancel(struct http_server *server);
/** Close everything. No worker may run any more. NULL is fine. */
void http_server_stop(struct http_server *server);

#endif
