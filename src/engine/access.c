#include "engine/access.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "core/sha256.h"
#include "engine/pack_locate.h"

enum {
    READERS = 2, /* rows are few and small */
    KEY_ID_BYTES = 6,
    KEY_SECRET_BYTES = 32,
    KEY_TRIES = 4,
    REMEMBER_MS = 1000,
    DEFAULT_LIFETIME_MS = 8 * 3600 * 1000
};

struct frt_access {
    struct frt_store *store;
    const struct frt_clock *clock;
    int64_t token_lifetime_ms;
    uint8_t secret[32];
    /* What frt_store_has_credentials said last, and until when that counts; a race asks once more than needed.
     */
    atomic_bool configured;
    atomic_int_fast64_t asked_until_ns;
};

static int64_t wall_ms(const struct frt_access *access)
{
    return access->clock->wall_ns(access->clock) / 1000000;
}

enum frt_status frt_access_open(const struct frt_access_options *options, struct frt_access **out,
                                struct frt_error *err)
{
    char path[FRT_LOCATE_PATH_MAX];
    struct frt_access *access = frt_alloc_zero(1, sizeof *access);
    if (access == NULL)
        return frt_fail_nomem(err, "access");
    access->clock = options->clock == NULL ? &frt_clock_system : options->clock;
    access->token_lifetime_ms =
        options->token_lifetime_ms == 0 ? DEFAULT_LIFETIME_MS : options->token_lifetime_ms;
    enum frt_status status = frt_database_locate(options->database, path, err);
    if (status == FRT_OK) {
        struct frt_store_options store = {.path = path, .readers = READERS, .clock = options->clock};
        status = frt_store_open(&store, &access->store, err);
    }
    if (status == FRT_OK)
        status = frt_store_secret(access->store, "jwt", access->secret, err);
    if (status == FRT_OK)
        *out = access;
    else
        frt_access_close(access);
    return status;
}

void frt_access_close(struct frt_access *access)
{
    if (access == NULL)
        return;
    frt_store_close(access->store);
    frt_wipe(access->secret, sizeof access->secret);
    frt_free(access);
}

enum frt_status frt_access_secret(struct frt_access *access, const char *name, uint8_t out[32],
                                  struct frt_error *err)
{
    return frt_store_secret(access->store, name, out, err);
}

/* -------------------------------------------------------------------- roles */

static const char *const role_names[] = {"none", "reader", "writer", "admin"};
enum { N_ROLES = sizeof role_names / sizeof *role_names };

const char *frt_role_name(enum frt_role role)
{
    return role_names[(unsigned)role < N_ROLES ? role : FRT_ROLE_NONE];
}

enum frt_status frt_role_parse(const char *text, enum frt_role *out, struct frt_error *err)
{
    for (int i = FRT_ROLE_READER; i < N_ROLES; i++)
        if (strcmp(text, role_names[i]) == 0) {
            *out = (enum frt_role)i;
            return FRT_OK;
        }
    return frt_fail(err, FRT_EINVAL, "the role is '%.32s'; reader, writer or admin is right", text);
}

static enum frt_status check_role(enum frt_role role, struct frt_error *err)
{
    if (role == FRT_ROLE_READER || role == FRT_ROLE_WRITER || role == FRT_ROLE_ADMIN)
        return FRT_OK;
    return frt_fail(err, FRT_EINVAL, "a role of reader, writer or admin is needed");
}

/* ------------------------------------------------------------- who is asking */

enum frt_status frt_access_configured(struct frt_access *access, bool *out, struct frt_error *err)
{
    int64_t now = access->clock->monotonic_ns(access->clock);
    bool configured = false;
    if (now < atomic_load(&access->asked_until_ns)) {
        *out = atomic_load(&access->configured);
        return FRT_OK;
    }
    enum frt_status status = frt_store_has_credentials(access->store, &configured, err);
    if (status == FRT_OK) {
        atomic_store(&access->configured, configured);
        atomic_store(&access->asked_until_ns, now + (int64_t)REMEMBER_MS * 1000000);
        *out = configured;
    }
    return status;
}

/* A credential came or went: the next question asks the store. */
static void forget_configured(struct frt_access *access)
{
    atomic_store(&access->asked_until_ns, 0);
}

enum frt_status frt_access_check_token(struct frt_access *access, const char *token, size_t size,
                                       struct frt_caller *out, struct frt_error *err)
{
    struct frt_jwt_claims claims;
    struct frt_store_page *page = NULL;
    struct frt_store_user user = {0};
    enum frt_status status = frt_jwt_verify(access->secret, sizeof access->secret, token, size,
                                            wall_ms(access) / 1000, &claims, err);
    if (status != FRT_OK)
        return status;
    status = frt_store_user_get(access->store, claims.subject, &page, &user, err);
    if (status == FRT_ENOTFOUND)
        status = frt_fail(err, FRT_EUNAUTHORIZED, "the token is not valid: its user is gone");
    else if (status == FRT_OK && user.version != claims.version)
        status =
            frt_fail(err, FRT_EUNAUTHORIZED,
                     "the token is not valid: the user's password or role has changed since; log in again");
    if (status == FRT_OK) {
        struct frt_caller caller = {.role = user.role};
        (void)snprintf(caller.name, sizeof caller.name, "%s", user.email);
        *out = caller;
    }
    frt_store_page_free(page);
    return status;
}

static enum frt_status bad_key(struct frt_error *err)
{
    return frt_fail(err, FRT_EUNAUTHORIZED, "the API key is not valid");
}

enum frt_status frt_access_check_key(struct frt_access *access, const char *text, struct frt_caller *out,
                                     struct frt_error *err)
{
    char id[FRT_KEY_ID_SIZE];
    uint8_t hash[FRT_SHA256_BYTES];
    struct frt_store_page *page = NULL;
    struct frt_store_key key = {0};
    size_t n = strlen(text);
    if (n != FRT_KEY_TEXT_SIZE - 1 || strncmp(text, "frt_k_", 6) != 0 || text[4 + FRT_KEY_ID_SIZE - 1] != '_')
        return bad_key(err);
    memcpy(id, text + 4, FRT_KEY_ID_SIZE - 1);
    id[FRT_KEY_ID_SIZE - 1] = '\0';
    if (strspn(id + 2, "0123456789abcdef") != FRT_KEY_ID_SIZE - 3)
        return bad_key(err);
    enum frt_status status = frt_store_key_get(access->store, id, &page, &key, err);
    if (status == FRT_ENOTFOUND)
        return bad_key(err);
    if (status != FRT_OK)
        return status;
    frt_sha256(text, n, hash);
    if (!frt_equal_secrets(hash, key.hash, sizeof hash))
        status = bad_key(err);
    else if (key.expires_ms != 0 && key.expires_ms <= wall_ms(access))
        status = frt_fail(err, FRT_EUNAUTHORIZED, "the API key has expired");
    if (status == FRT_OK) {
        struct frt_caller caller = {.role = key.role, .is_key = true};
        (void)snprintf(caller.name, sizeof caller.name, "%s", id);
        *out = caller;
    }
    frt_store_page_free(page);
    return status;
}

static enum frt_status sign(const struct frt_access *access, const struct frt_store_user *user,
                            struct frt_login *out, struct frt_error *err)
{
    struct frt_buf token;
    struct frt_jwt_claims claims = {.version = user->version};
    int64_t now = wall_ms(access), expires = now + access->token_lifetime_ms;
    claims.issued_s = now / 1000;
    claims.expires_s = expires / 1000 > claims.issued_s ? expires / 1000 : claims.issued_s + 1;
    (void)snprintf(claims.subject, sizeof claims.subject, "%s", user->email);
    (void)snprintf(claims.role, sizeof claims.role, "%s", frt_role_name(user->role));
    frt_buf_init(&token, FRT_JWT_MAX_BYTES);
    enum frt_status status = frt_jwt_sign(access->secret, sizeof access->secret, &claims, &token, err);
    if (status == FRT_OK) {
        memcpy(out->token, token.data, token.size + 1);
        out->expires_ms = claims.expires_s * 1000;
        out->role = user->role;
    }
    frt_buf_deinit(&token);
    return status;
}

enum frt_status frt_access_login(struct frt_access *access, const char *email, const char *password,
                                 struct frt_login *out, struct frt_error *err)
{
    char unused[FRT_PASSWORD_HASH_SIZE];
    struct frt_store_page *page = NULL;
    struct frt_store_user user = {0};
    size_t n = strlen(password);
    bool good = false, possible = n > 0 && n <= FRT_PASSWORD_MAX_BYTES;
    const char *tried = possible ? password : "-"; /* what cannot be right costs as much */
    enum frt_status status = frt_store_user_get(access->store, email, &page, &user, err);
    if (status == FRT_OK)
        good = frt_password_verify(user.password_hash, tried) && possible;
    else if (status == FRT_ENOTFOUND || status == FRT_EINVAL)
        /* nobody of that name: as much work as for somebody, so that time does not tell */
        (void)!frt_password_hash(tried, unused, NULL);
    else
        return status;
    status = good ? sign(access, &user, out, err)
                  : frt_fail(err, FRT_EUNAUTHORIZED, "the email or the password is wrong");
    frt_store_page_free(page);
    return status;
}

/* -------------------------------------------------------------------- users */

static enum frt_status hash_password(const char *password, char hash[FRT_PASSWORD_HASH_SIZE],
                                     struct frt_error *err)
{
    size_t n = strlen(password);
    if (n < FRT_PASSWORD_MIN_BYTES || n > FRT_PASSWORD_MAX_BYTES)
        return frt_fail(err, FRT_EINVAL, "the password has %zu bytes; %d to %d are right", n,
                        FRT_PASSWORD_MIN_BYTES, FRT_PASSWORD_MAX_BYTES);
    return frt_password_hash(password, hash, err);
}

enum frt_status frt_access_user_add(struct frt_access *access, const char *email, const char *password,
                                    enum frt_role role, struct frt_error *err)
{
    char hash[FRT_PASSWORD_HASH_SIZE];
    enum frt_status status = check_role(role, err);
    if (status == FRT_OK)
        status = hash_password(password, hash, err);
    if (status == FRT_OK) {
        struct frt_store_user row = {.email = email, .password_hash = hash, .role = role};
        status = frt_store_user_add(access->store, &row, err);
        frt_wipe(hash, sizeof hash);
    }
    forget_configured(access);
    return status;
}

enum frt_status frt_access_user_change(struct frt_access *access, const char *email, const char *password,
                                       enum frt_role role, struct frt_error *err)
{
    char hash[FRT_PASSWORD_HASH_SIZE] = "";
    enum frt_status status = role == FRT_ROLE_NONE ? FRT_OK : check_role(role, err);
    if (status == FRT_OK && password != NULL)
        status = hash_password(password, hash, err);
    if (status == FRT_OK)
        status = frt_store_user_change(access->store, email, password == NULL ? NULL : hash, role, err);
    frt_wipe(hash, sizeof hash);
    return status;
}

enum frt_status frt_access_user_delete(struct frt_access *access, const char *email, struct frt_error *err)
{
    enum frt_status status = frt_store_user_delete(access->store, email, err);
    forget_configured(access);
    return status;
}

enum frt_status frt_access_users(struct frt_access *access, struct frt_user_info **out, size_t *n,
                                 struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    const struct frt_store_user *rows = NULL;
    struct frt_user_info *list = NULL;
    size_t count = 0;
    enum frt_status status = frt_store_user_list(access->store, &page, &rows, &count, err);
    if (status == FRT_OK && count > 0 && (list = frt_alloc_zero(count, sizeof *list)) == NULL)
        status = frt_fail_nomem(err, "the list of users");
    if (status == FRT_OK) {
        for (size_t i = 0; i < count && list != NULL; i++) {
            (void)snprintf(list[i].email, sizeof list[i].email, "%s", rows[i].email);
            list[i].role = rows[i].role;
            list[i].created_ms = rows[i].created_ms;
        }
        *out = list;
        *n = count;
    }
    frt_store_page_free(page);
    return status;
}

/* --------------------------------------------------------------------- keys */

/* Random bytes as hex; out holds 2 * n + 1. */
static void random_hex(char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[KEY_SECRET_BYTES];
    frt_random_bytes(bytes, n);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
    frt_wipe(bytes, sizeof bytes);
}

enum frt_status frt_access_key_add(struct frt_access *access, const char *name, enum frt_role role,
                                   int64_t expires_ms, struct frt_new_key *out, struct frt_error *err)
{
    struct frt_new_key key = {0};
    char id[2 * KEY_ID_BYTES + 1], secret[2 * KEY_SECRET_BYTES + 1];
    size_t name_size = strlen(name);
    int64_t now = wall_ms(access);
    enum frt_status status = check_role(role, err);
    if (status == FRT_OK && (name_size == 0 || name_size >= sizeof key.info.name))
        status = frt_fail(err, FRT_EINVAL, "the key's name has %zu bytes; 1 to %d are right", name_size,
                          FRT_KEY_NAME_SIZE - 1);
    if (status == FRT_OK && expires_ms != 0 && expires_ms <= now)
        status = frt_fail(err, FRT_EINVAL, "the key would have expired already");
    if (status != FRT_OK)
        return status;
    key.info.role = role;
    key.info.created_ms = now;
    key.info.expires_ms = expires_ms;
    memcpy(key.info.name, name, name_size + 1);
    status = FRT_ECONFLICT; /* of an id that stands already: 48 bits seldom meet */
    for (int i = 0; i < KEY_TRIES && status == FRT_ECONFLICT; i++) {
        random_hex(id, KEY_ID_BYTES);
        random_hex(secret, KEY_SECRET_BYTES);
        (void)snprintf(key.info.id, sizeof key.info.id, "k_%s", id);
        (void)snprintf(key.text, sizeof key.text, "frt_%s_%s", key.info.id, secret);
        struct frt_store_key row = {
            .id = key.info.id, .name = key.info.name, .role = role, .expires_ms = expires_ms};
        frt_sha256(key.text, strlen(key.text), row.hash);
        status = frt_store_key_add(access->store, &row, err);
    }
    if (status == FRT_OK)
        *out = key;
    frt_wipe(secret, sizeof secret);
    frt_wipe(&key, sizeof key);
    forget_configured(access);
    return status;
}

enum frt_status frt_access_key_delete(struct frt_access *access, const char *id, struct frt_error *err)
{
    enum frt_status status = frt_store_key_delete(access->store, id, err);
    forget_configured(access);
    return status;
}

enum frt_status frt_access_keys(struct frt_access *access, struct frt_key_info **out, size_t *n,
                                struct frt_error *err)
{
    struct frt_store_page *page = NULL;
    const struct frt_store_key *rows = NULL;
    struct frt_key_info *list = NULL;
    size_t count = 0;
    enum frt_status status = frt_store_key_list(access->store, &page, &rows, &count, err);
    if (status == FRT_OK && count > 0 && (list = frt_alloc_zero(count, sizeof *list)) == NULL)
        status = frt_fail_nomem(err, "the list of keys");
    if (status == FRT_OK) {
        for (size_t i = 0; i < count && list != NULL; i++) {
            (void)snprintf(list[i].id, sizeof list[i].id, "%s", rows[i].id);
            (void)snprintf(list[i].name, sizeof list[i].name, "%s", rows[i].name);
            list[i].role = rows[i].role;
            list[i].created_ms = rows[i].created_ms;
            list[i].expires_ms = rows[i].expires_ms;
        }
        *out = list;
        *n = count;
    }
    frt_store_page_free(page);
    return status;
}
