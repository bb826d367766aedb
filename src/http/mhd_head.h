/*
 * The head of a request as libmicrohttpd has it, into struct http_request: server_mhd.c's other half, which
 * knows no exchange. What is borrowed lives as long as the request.
 *
 * Threading: on the connection's own thread.
 */
#ifndef FRT_HTTP_MHD_HEAD_H
#define FRT_HTTP_MHD_HEAD_H

#include <microhttpd.h>

#include "http/peer_address.h"

/** A header's value, the first of several; NULL when absent. */
const char *mhd_header(struct MHD_Connection *connection, const char *name);
/** Method, query, headers, id, trace context and the client's address. */
void mhd_head_read(struct MHD_Connection *connection, const char *method, const char *version,
                   const struct http_proxies *proxies, struct http_request *out);

#endif
