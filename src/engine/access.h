/*
 * Access: who may do what. A person logs in with a password and gets a token; a program carries a key.
 *
 *     password ── Argon2id ── user ── token: HS256, expires, names the version of the user's credentials, so
 * that a new password, another role and a deletion end it key frt_<id>_<secret> ── SHA-256 ── row <id>: the key
 * itself is stored nowhere
 *
 * No error text holds any part of a password, key or token; unknown user and wrong password are the same error
 * after the same work.
 *
 * Threading: internally locked (atomics; the store locks itself); no lock is held across the store.
 */
#ifndef FRT_ENGINE_ACCESS_H
#define FRT_ENGINE_ACCESS_H

#include "core/clock.h"
#include "core/jwt.h"
#include "store/store.h" /* enum frt_role */

enum {
    FRT_KEY_ID_SIZE = 15,    /* "k_" and 12 hex digits, NUL included */
    FRT_KEY_TEXT_SIZE = 84,  /* "frt_" id "_" 64 hex digits, NUL included */
    FRT_EMAIL_SIZE = 255,    /* NUL included */
    FRT_KEY_NAME_SIZE = 129, /* NUL included */
    FRT_PASSWORD_MIN_BYTES = 8
};

struct frt_access;

struct frt_access_options {
    const char *database;          /* file; NULL or "" = frt_database_locate's */
    const struct frt_clock *clock; /* NULL = the system's */
    int64_t token_lifetime_ms;     /* 0 = 8 h */
};

/** Errors: frt_store_open's. */
FRT_NODISCARD enum frt_status frt_access_open(const struct frt_access_options *options, struct frt_access **out,
                                              struct frt_error *err);
/** No other call may run. NULL is fine. */
void frt_access_close(struct frt_access *access);

/** A secret that all instances over this store have (store.h). Errors: the store's. */
FRT_NODISCARD enum frt_status frt_access_secret(struct frt_access *access, const char *name, uint8_t out[32],
                                                struct frt_error *err);

/** "none", "reader", "writer", "admin"; static storage. */
const char *frt_role_name(enum frt_role role);
/** Errors: FRT_EINVAL (reader, writer and admin are right). */
FRT_NODISCARD enum frt_status frt_role_parse(const char *text, enum frt_role *out, struct frt_error *err);

/* ------------------------------------------------------------- who is asking */

/** Are there users or keys? Remembered for a second: another process may make the first one. */
FRT_NODISCARD enum frt_status frt_access_configured(struct frt_access *access, bool *out,
                                                    struct frt_error *err);

struct frt_caller {
    enum frt_role role;
    bool is_key;
    char name[FRT_EMAIL_SIZE]; /* email, or a key's id */
};
/** Errors: FRT_EUNAUTHORIZED (forged, expired, of a user who is gone or changed), the store's. */
FRT_NODISCARD enum frt_status frt_access_check_token(struct frt_access *access, const char *token, size_t size,
                                                     struct frt_caller *out, struct frt_error *err);
/** Errors: FRT_EUNAUTHORIZED (unknown, expired), the store's. Cost: a hash and one row. */
FRT_NODISCARD enum frt_status frt_access_check_key(struct frt_access *access, const char *text,
                                                   struct frt_caller *out, struct frt_error *err);

struct frt_login {
    char token[FRT_JWT_MAX_BYTES + 1];
    int64_t expires_ms; /* since 1970 */
    enum frt_role role;
};
/** Log in. Cost: one Argon2id (0.1 s, 64 MiB), whether or not the user exists. Errors: FRT_EUNAUTHORIZED
 * (always the same text), the store's. */
FRT_NODISCARD enum frt_status frt_access_login(struct frt_access *access, const char *email,
                                               const char *password, struct frt_login *out,
                                               struct frt_error *err);

/* -------------------------------------------------------------------- users */

struct frt_user_info {
    char email[FRT_EMAIL_SIZE];
    enum frt_role role;
    int64_t created_ms;
};
/** Errors: FRT_EINVAL (email, role, password of fewer than FRT_PASSWORD_MIN_BYTES), FRT_ECONFLICT. */
FRT_NODISCARD enum frt_status frt_access_user_add(struct frt_access *access, const char *email,
                                                  const char *password, enum frt_role role,
                                                  struct frt_error *err);
/** Another password (NULL = as it is) or role (FRT_ROLE_NONE = as it is). Errors: FRT_ENOTFOUND, FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_access_user_change(struct frt_access *access, const char *email,
                                                     const char *password, enum frt_role role,
                                                     struct frt_error *err);
/** Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status frt_access_user_delete(struct frt_access *access, const char *email,
                                                     struct frt_error *err);
/** All users. out: array of *n, owned: frt_free; NULL when there is none. */
FRT_NODISCARD enum frt_status frt_access_users(struct frt_access *access, struct frt_user_info **out, size_t *n,
                                               struct frt_error *err);

/* --------------------------------------------------------------------- keys */

struct frt_key_info {
    char id[FRT_KEY_ID_SIZE];
    char name[FRT_KEY_NAME_SIZE];
    enum frt_role role;
    int64_t created_ms;
    int64_t expires_ms; /* 0 = never */
};
struct frt_new_key {
    char text[FRT_KEY_TEXT_SIZE]; /* shown once: frt_wipe it afterwards */
    struct frt_key_info info;
};
/** Make a key. expires_ms: since 1970; 0 = never. Errors: FRT_EINVAL (name of 1 to 128 bytes, role, a time that
 *  is past). */
FRT_NODISCARD enum frt_status frt_access_key_add(struct frt_access *access, const char *name,
                                                 enum frt_role role, int64_t expires_ms,
                                                 struct frt_new_key *out, struct frt_error *err);
/** Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status frt_access_key_delete(struct frt_access *access, const char *id,
                                                    struct frt_error *err);
/** All keys. out: array of *n, owned: frt_free; NULL when there is none. */
FRT_NODISCARD enum frt_status frt_access_keys(struct frt_access *access, struct frt_key_info **out, size_t *n,
                                              struct frt_error *err);

#endif
