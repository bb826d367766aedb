/*
 * "ADDRESS:PORT" → a listening socket; or one that whoever started the service has opened already, so that
 * connections wait in it while one service ends and the next begins (socket activation as systemd does it:
 * LISTEN_PID, LISTEN_FDS, descriptor 3).
 *
 * Threading: pure functions, but http_listen_inherited changes the environment: before threads start.
 */
#ifndef FRT_HTTP_LISTEN_ADDRESS_H
#define FRT_HTTP_LISTEN_ADDRESS_H

#include "core/status.h"

/** Is it an address of loopback? Errors: FRT_EINVAL (not ADDRESS:PORT). */
FRT_NODISCARD enum frt_status http_listen_is_loopback(const char *listen_text, bool *out,
                                                      struct frt_error *err);
/** Was this process started with a listening socket? */
bool http_listen_is_inherited(void);
/**
 * The listening socket that this process was started with; *fd -1 when there is none. Takes it out of the
 * environment.
 * fd        out: owned. Closing it does not close the socket, which whoever opened it still has.
 * url       as http_listen's.
 * loopback  out: is it bound to an address of loopback?
 * Errors: FRT_EUNAVAILABLE (more than one socket, or none that listens on TCP).
 */
FRT_NODISCARD enum frt_status http_listen_inherited(int *fd, char *url, size_t url_size, bool *loopback,
                                                    struct frt_error *err);
/**
 * Open a listening socket.
 * shared  others may listen on the same address (SO_REUSEPORT): a connection goes to one of them.
 * fd   out: owned.
 * url  out: "http://127.0.0.1:8080", with the port that was picked for 0.
 * Errors: FRT_EINVAL (not ADDRESS:PORT), FRT_EUNAVAILABLE (in use; no permission).
 */
FRT_NODISCARD enum frt_status http_listen(const char *listen_text, bool shared, int *fd, char *url,
                                          size_t url_size, struct frt_error *err);

/** Does a Host header name this machine's loopback (localhost, 127.x, [::1], any port)? While the service
 *  is open to whoever reaches it, a name that merely resolves to loopback may be a page's trick (DNS
 *  rebinding). NULL is refused: HTTP/1.1 demands the header. */
bool http_host_is_loopback(const char *host);

#endif
