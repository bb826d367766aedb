/* "ADDRESS:PORT" → a listening socket. Threading: pure functions. */
#ifndef FRT_HTTP_LISTEN_ADDRESS_H
#define FRT_HTTP_LISTEN_ADDRESS_H

#include "core/status.h"

/** Is it an address of loopback? Errors: FRT_EINVAL (not ADDRESS:PORT). */
FRT_NODISCARD enum frt_status http_listen_is_loopback(const char *listen_text, bool *out,
                                                      struct frt_error *err);
/**
 * Open a listening socket.
 * fd   out: owned.
 * url  out: "http://127.0.0.1:8080", with the port that was picked for 0.
 * Errors: FRT_EINVAL (not ADDRESS:PORT), FRT_EUNAVAILABLE (in use; no permission).
 */
FRT_NODISCARD enum frt_status http_listen(const char *listen_text, int *fd, char *url, size_t url_size,
                                          struct frt_error *err);

/** Does a Host header name this machine's loopback (localhost, 127.x, [::1], any port)? While the service
 *  is open to whoever reaches it, a name that merely resolves to loopback may be a page's trick (DNS
 *  rebinding). NULL is refused: HTTP/1.1 demands the header. */
bool http_host_is_loopback(const char *host);

#endif
