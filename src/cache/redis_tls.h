/*
 * TLS to a Redis: the adapter over GnuTLS, which the HTTP library brings along anyway (hiredis' own TLS is
 * OpenSSL's, and Debian 12 does not have it). The peer's certificate and name are always checked.
 *
 * Threading: struct frt_redis_tls is immutable; a session has one owner.
 */
#ifndef FRT_CACHE_REDIS_TLS_H
#define FRT_CACHE_REDIS_TLS_H

#include <sys/types.h>

#include "core/status.h"

struct frt_redis_tls;
struct frt_redis_tls_session;

/**
 * ca_file    certificates that are trusted, PEM; "" = the system's.
 * cert_file  our certificate and its key, in one PEM file; "" = none.
 * Errors: FRT_EINVAL (a file that cannot be read as that), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_redis_tls_new(const char *ca_file, const char *cert_file,
                                                struct frt_redis_tls **out, struct frt_error *err);
void frt_redis_tls_free(struct frt_redis_tls *tls);

/** A session over a connected, non-blocking socket (borrowed). name  whom we mean to talk to. */
FRT_NODISCARD enum frt_status frt_redis_tls_start(struct frt_redis_tls *tls, int fd, const char *name,
                                                  struct frt_redis_tls_session **out, struct frt_error *err);
void frt_redis_tls_end(struct frt_redis_tls_session *session);
/** One step: FRT_OK: agreed; FRT_ETIMEOUT: wait for *events (poll) and call again; else it failed. */
FRT_NODISCARD enum frt_status frt_redis_tls_shake(struct frt_redis_tls_session *session, short *events,
                                                  struct frt_error *err);
/** As recv and send: -1 with errno EAGAIN: not now. */
ssize_t frt_redis_tls_read(struct frt_redis_tls_session *session, void *out, size_t size);
ssize_t frt_redis_tls_write(struct frt_redis_tls_session *session, const void *bytes, size_t size);

#endif
