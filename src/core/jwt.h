/*
 * JSON Web Tokens, the one kind that this service makes: HS256, no more.
 *
 *     base64url(header) . base64url(claims) . base64url(HMAC-SHA-256 over what stands before)
 *
 * A token's own header decides nothing: its `alg` must be HS256, whatever else it says; a `crit` header is
 * refused. The signature is checked before a byte of the claims is parsed. Source: RFC 7515, 7519, 8725.
 * Threading: pure functions.
 */
#ifndef FRT_CORE_JWT_H
#define FRT_CORE_JWT_H

#include "core/buf.h"

enum {
    FRT_JWT_MAX_BYTES = 4096,
    FRT_JWT_SUBJECT_SIZE = 257, /* NUL included */
    FRT_JWT_ROLE_SIZE = 32,
    FRT_JWT_KEY_MIN_BYTES = 32, /* RFC 7518 section 3.2 */
    FRT_JWT_SKEW_S = 60         /* clocks may differ by this */
};

struct frt_jwt_claims {
    char subject[FRT_JWT_SUBJECT_SIZE]; /* "sub" */
    char role[FRT_JWT_ROLE_SIZE];       /* "role" */
    int64_t issued_s, expires_s;        /* "iat", "exp": seconds since 1970 */
    uint64_t version; /* "ver": of the subject's credentials, up to 2^53; 0 = none, the claim is left out */
};

/** Append a token. key: key_size >= FRT_JWT_KEY_MIN_BYTES. Errors: FRT_EINVAL (key, claims), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_jwt_sign(const void *key, size_t key_size,
                                           const struct frt_jwt_claims *claims, struct frt_buf *out,
                                           struct frt_error *err);

/**
 * Check a token and read its claims.
 *
 * now_s   seconds since 1970; the token must have been issued (within FRT_JWT_SKEW_S) and not be expired.
 * claims  filled on success only.
 * Errors: FRT_EUNAUTHORIZED; the text never repeats any part of the token.
 */
FRT_NODISCARD enum frt_status frt_jwt_verify(const void *key, size_t key_size, const char *token, size_t size,
                                             int64_t now_s, struct frt_jwt_claims *claims,
                                             struct frt_error *err);

#endif
