/*
 * One request to a running service: plain HTTP, one connection, the answer whole in memory.
 *
 * It speaks HTTP/1.0, so that the answer comes without chunks and ends with the connection.
 *
 * Threading: one owner.
 */
#ifndef FRT_CLI_SERVICE_CALL_H
#define FRT_CLI_SERVICE_CALL_H

#include "core/buf.h"
#include "core/status.h"

struct cli_service_call {
    const char *url;     /* "http://HOST[:PORT][/PREFIX]" */
    const char *path;    /* below it: "/v1/embed" */
    const char *headers; /* further lines, each ended by CRLF; "" = none */
    const char *type;    /* Content-Type */
    const void *body;
    size_t size;
    int quiet_ms; /* longest silence of the service; 0 = a minute */
};

/**
 * POST it.
 * status  out: of the answer.
 * answer  initialised by the caller, whose maximum bounds it: receives the body.
 * Errors: FRT_EINVAL (url), FRT_EUNAVAILABLE (nobody answers there, or no HTTP), FRT_ETIMEOUT (a minute without
 * a byte), FRT_EBODY_TOO_LARGE, FRT_ECANCELLED, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status cli_service_post(const struct cli_service_call *call, int *status,
                                               struct frt_buf *answer, struct frt_error *err);

/** GET it: as above, without type and body. */
FRT_NODISCARD enum frt_status cli_service_get(const struct cli_service_call *call, int *status,
                                              struct frt_buf *answer, struct frt_error *err);

/** The key in the first line of a file, owned: frt_free. Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EINVAL (nothing
 * that could be one). */
FRT_NODISCARD enum frt_status cli_key_read(const char *path, char **key, struct frt_error *err);

#endif
