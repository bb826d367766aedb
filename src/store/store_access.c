#include <ctype.h>
#include <string.h>

#include "core/crypto.h"
#include "core/utf8.h"
#include "store/store_internal.h"

enum { EMAIL_MAX = 254, KEY_NAME_MAX = 128, KEY_ID_MAX = 64, SECRET_NAME_MAX = 32 };

/* ------------------------------------------------------------------- users */

static void lower_case(const char *email, char out[EMAIL_MAX + 1])
{
    size_t i = 0;
    for (; i < EMAIL_MAX && email[i] != '\0'; i++)
        out[i] = (char)tolower((unsigned char)email[i]);
    out[i] = '\0';
}

static enum frt_status check_email(const char *email, char out[EMAIL_MAX + 1], struct frt_error *err)
{
    const size_t n = email == NULL ? 0 : strlen(email);
    const char *at = email == NULL ? NULL : strchr(email, '@');
    bool plain = n > 0 && frt_utf8_valid(email, n);
    for (size_t i = 0; i < n && plain; i++)
        plain = (unsigned char)email[i] > 0x20 && email[i] != 0x7f;
    if (n < 3 || n > EMAIL_MAX || !plain || at == NULL || at == email || at[1] == '\0')
        return frt_fail(err, FRT_EINVAL, "a user is named by an e-mail address: 3 to %d bytes with an '@'",
                        EMAIL_MAX);
    lower_case(email, out);
    return FRT_OK;
}

static enum frt_status check_role(enum frt_role role, struct frt_error *err)
{
    if (role < FRT_ROLE_READER || role > FRT_ROLE_ADMIN)
        return frt_fail(err, FRT_EINVAL, "no such role; reader, writer and admin are right");
    return FRT_OK;
}

static enum frt_status add_user(struct frt_store *store, struct db *db, const struct frt_store_user *row,
                                const char *email, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint64_t version = 0;
    enum frt_status status = store_take_seqs(db, 1, &version, err);
    if (status == FRT_OK)
        status = db_use(
            db, "INSERT INTO users(email, password_hash, role, version, created_ms) VALUES(?1, ?2, ?3, ?4, ?5)",
            &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, email);
        db_bind_text(stmt, 2, row->password_hash);
        db_bind_int(stmt, 3, row->role);
        db_bind_int(stmt, 4, (int64_t)version);
        db_bind_int(stmt, 5, store_now_ms(store));
        status = db_run(stmt, err);
    }
    if (status == FRT_ECONFLICT)
        status = frt_fail(err, FRT_ECONFLICT, "a user %s stands already", email);
    return status;
}

enum frt_status frt_store_user_add(struct frt_store *store, const struct frt_store_user *row,
                                   struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    char email[EMAIL_MAX + 1];
    enum frt_status status = check_email(row->email, email, err);
    if (status == FRT_OK)
        status = check_role(row->role, err);
    while (store_write(&turn, &status, err))
        status = add_user(store, turn.db, row, email, err);
    return status;
}

static enum frt_status change_user(struct db *db, const char *name, const char *password_hash,
                                   enum frt_role role, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint64_t version = 0;
    enum frt_status status = store_take_seqs(db, 1, &version, err);
    if (status == FRT_OK)
        status = db_use(db,
                        "UPDATE users SET password_hash = CASE WHEN ?2 > 0 THEN ?3 ELSE password_hash END, "
                        "role = CASE WHEN ?4 > 0 THEN ?4 ELSE role END, version = ?5 WHERE email = ?1",
                        &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        db_bind_int(stmt, 2, password_hash != NULL);
        db_bind_text(stmt, 3, password_hash != NULL ? password_hash : "");
        db_bind_int(stmt, 4, role);
        db_bind_int(stmt, 5, (int64_t)version);
        status = db_run(stmt, err);
    }
    if (status == FRT_OK && db_changes(db) == 0)
        status = frt_fail(err, FRT_ENOTFOUND, "no user %s", name);
    return status;
}

enum frt_status frt_store_user_change(struct frt_store *store, const char *email, const char *password_hash,
                                      enum frt_role role, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    char name[EMAIL_MAX + 1];
    enum frt_status status = check_email(email, name, err);
    if (status == FRT_OK && role != FRT_ROLE_NONE)
        status = check_role(role, err);
    while (store_write(&turn, &status, err))
        status = change_user(turn.db, name, password_hash, role, err);
    return status;
}

static enum frt_status delete_row(struct db *db, const char *sql, const char *id, const char *what,
                                  struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, id);
        status = db_run(stmt, err);
    }
    if (status == FRT_OK && db_changes(db) == 0)
        status = frt_fail(err, FRT_ENOTFOUND, "no %s %.128s", what, id);
    return status;
}

static enum frt_status delete_by(struct frt_store *store, const char *sql, const char *id, const char *what,
                                 struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_write(&turn, &status, err))
        status = delete_row(turn.db, sql, id, what, err);
    return status;
}

enum frt_status frt_store_user_delete(struct frt_store *store, const char *email, struct frt_error *err)
{
    char name[EMAIL_MAX + 1];
    lower_case(email, name);
    return delete_by(store, "DELETE FROM users WHERE email = ?1", name, "user", err);
}

static enum frt_status read_user(struct db_stmt *stmt, struct frt_store_page *page, struct frt_error *err)
{
    struct frt_store_user *user = store_page_row(page);
    if (user == NULL)
        return frt_fail_nomem(err, "users");
    user->email = store_page_column(page, stmt, 0);
    user->password_hash = store_page_column(page, stmt, 1);
    user->role = (enum frt_role)db_int(stmt, 2);
    user->version = (uint64_t)db_int(stmt, 3);
    user->created_ms = db_int(stmt, 4);
    return user->email == NULL || user->password_hash == NULL ? frt_fail_nomem(err, "users") : FRT_OK;
}

static enum frt_status read_key(struct db_stmt *stmt, struct frt_store_page *page, struct frt_error *err)
{
    struct frt_store_key *key = store_page_row(page);
    size_t size = 0;
    if (key == NULL)
        return frt_fail_nomem(err, "keys");
    key->id = store_page_column(page, stmt, 0);
    key->name = store_page_column(page, stmt, 1);
    const void *hash = db_blob(stmt, 2, &size);
    if (size != sizeof key->hash)
        return frt_fail(err, FRT_ESTORE_DAMAGED, "a key's hash has %zu bytes", size);
    memcpy(key->hash, hash, sizeof key->hash);
    key->role = (enum frt_role)db_int(stmt, 3);
    key->created_ms = db_int(stmt, 4);
    key->expires_ms = db_int(stmt, 5);
    return key->id == NULL || key->name == NULL ? frt_fail_nomem(err, "keys") : FRT_OK;
}

static enum frt_status read_rows(struct db *db, enum store_row_kind kind, const char *sql, const char *id,
                                 struct frt_store_page *page, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    store_page_reset(page);
    enum frt_status status = db_use(db, sql, &stmt, err);
    if (status == FRT_OK && id != NULL)
        db_bind_text(stmt, 1, id);
    for (bool row = true; status == FRT_OK;) {
        status = db_step(stmt, &row, err);
        if (status != FRT_OK || !row)
            break;
        status = kind == STORE_USERS ? read_user(stmt, page, err) : read_key(stmt, page, err);
    }
    db_done(stmt);
    return status;
}

static enum frt_status read_all(struct frt_store *store, enum store_row_kind kind, const char *sql,
                                const char *id, struct frt_store_page **out, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    struct frt_store_page *page = NULL;
    enum frt_status status = store_page_new(kind, &page, err);
    while (store_read(&turn, &status, err))
        status = read_rows(turn.db, kind, sql, id, page, err);
    return store_page_out(page, out, status);
}

enum frt_status frt_store_user_get(struct frt_store *store, const char *email, struct frt_store_page **page,
                                   struct frt_store_user *out, struct frt_error *err)
{
    struct frt_store_page *found = NULL;
    char name[EMAIL_MAX + 1];
    size_t n = 0;
    lower_case(email, name);
    enum frt_status status = read_all(store, STORE_USERS,
                                      "SELECT email, password_hash, role, version, created_ms FROM users "
                                      "WHERE email = ?1",
                                      name, &found, err);
    if (status != FRT_OK)
        return status;
    const struct frt_store_user *rows = store_page_rows(found, &n);
    if (n == 0) {
        frt_store_page_free(found);
        return frt_fail(err, FRT_ENOTFOUND, "no user %s", name);
    }
    *out = rows[0];
    *page = found;
    return FRT_OK;
}

enum frt_status frt_store_user_list(struct frt_store *store, struct frt_store_page **page,
                                    const struct frt_store_user **rows, size_t *n, struct frt_error *err)
{
    enum frt_status status = read_all(
        store, STORE_USERS, "SELECT email, password_hash, role, version, created_ms FROM users ORDER BY email",
        NULL, page, err);
    if (status == FRT_OK)
        *rows = store_page_rows(*page, n);
    return status;
}

/* -------------------------------------------------------------------- keys */

static enum frt_status add_key(struct frt_store *store, struct db *db, const struct frt_store_key *row,
                               struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    enum frt_status status = db_use(
        db, "INSERT INTO keys(id, name, hash, role, created_ms, expires_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, row->id);
        db_bind_text(stmt, 2, row->name);
        db_bind_blob(stmt, 3, row->hash, sizeof row->hash);
        db_bind_int(stmt, 4, row->role);
        db_bind_int(stmt, 5, store_now_ms(store));
        db_bind_int(stmt, 6, row->expires_ms);
        status = db_run(stmt, err);
    }
    if (status == FRT_ECONFLICT)
        status = frt_fail(err, FRT_ECONFLICT, "a key %s stands already", row->id);
    return status;
}

enum frt_status frt_store_key_add(struct frt_store *store, const struct frt_store_key *row,
                                  struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    const size_t id = strlen(row->id), name = strlen(row->name);
    enum frt_status status = check_role(row->role, err);
    if (status == FRT_OK && (id == 0 || id > KEY_ID_MAX))
        status = frt_fail(err, FRT_EINVAL, "a key's id has %zu bytes; 1 to %d are right", id, KEY_ID_MAX);
    if (status == FRT_OK && (name == 0 || name > KEY_NAME_MAX || !frt_utf8_valid(row->name, name)))
        status = frt_fail(err, FRT_EINVAL, "a key's name has %zu bytes; 1 to %d of UTF-8 are right", name,
                          KEY_NAME_MAX);
    while (store_write(&turn, &status, err))
        status = add_key(store, turn.db, row, err);
    return status;
}

enum frt_status frt_store_key_delete(struct frt_store *store, const char *id, struct frt_error *err)
{
    return delete_by(store, "DELETE FROM keys WHERE id = ?1", id, "key", err);
}

enum frt_status frt_store_key_get(struct frt_store *store, const char *id, struct frt_store_page **page,
                                  struct frt_store_key *out, struct frt_error *err)
{
    struct frt_store_page *found = NULL;
    size_t n = 0;
    enum frt_status status = read_all(
        store, STORE_KEYS, "SELECT id, name, hash, role, created_ms, expires_ms FROM keys WHERE id = ?1", id,
        &found, err);
    if (status != FRT_OK)
        return status;
    const struct frt_store_key *rows = store_page_rows(found, &n);
    if (n == 0) {
        frt_store_page_free(found);
        return frt_fail(err, FRT_ENOTFOUND, "no such key");
    }
    *out = rows[0];
    *page = found;
    return FRT_OK;
}

enum frt_status frt_store_key_list(struct frt_store *store, struct frt_store_page **page,
                                   const struct frt_store_key **rows, size_t *n, struct frt_error *err)
{
    enum frt_status status =
        read_all(store, STORE_KEYS,
                 "SELECT id, name, hash, role, created_ms, expires_ms FROM keys ORDER BY created_ms, id", NULL,
                 page, err);
    if (status == FRT_OK)
        *rows = store_page_rows(*page, n);
    return status;
}

static enum frt_status any_credentials(struct db *db, bool *out, struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    bool row = false;
    enum frt_status status = db_use(
        db, "SELECT CASE WHEN EXISTS(SELECT 1 FROM users) OR EXISTS(SELECT 1 FROM keys) THEN 1 ELSE 0 END",
        &stmt, err);
    if (status == FRT_OK)
        status = db_step(stmt, &row, err);
    if (status == FRT_OK)
        *out = row && db_int(stmt, 0) != 0;
    db_done(stmt);
    return status;
}

enum frt_status frt_store_has_credentials(struct frt_store *store, bool *out, struct frt_error *err)
{
    struct store_turn turn = {.store = store};
    enum frt_status status = FRT_OK;
    while (store_read(&turn, &status, err))
        status = any_credentials(turn.db, out, err);
    return status;
}

/* ----------------------------------------------------------------- secrets */

static enum frt_status read_secret(struct db *db, const char *name, uint8_t out[32], bool *found,
                                   struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    size_t size = 0;
    bool row = false;
    enum frt_status status = db_use(db, "SELECT value FROM secrets WHERE name = ?1", &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        status = db_step(stmt, &row, err);
    }
    if (status == FRT_OK && row) {
        const void *bytes = db_blob(stmt, 0, &size);
        if (size == 32)
            memcpy(out, bytes, 32);
        else
            status = frt_fail(err, FRT_ESTORE_DAMAGED, "a secret has %zu bytes", size);
    }
    *found = row;
    db_done(stmt);
    return status;
}

static enum frt_status make_secret(struct db *db, const char *name, uint8_t out[32], struct frt_error *err)
{
    struct db_stmt *stmt = NULL;
    uint8_t fresh[32];
    bool found = false;
    frt_random_bytes(fresh, sizeof fresh);
    enum frt_status status =
        db_use(db, "INSERT INTO secrets(name, value) VALUES(?1, ?2) ON CONFLICT DO NOTHING", &stmt, err);
    if (status == FRT_OK) {
        db_bind_text(stmt, 1, name);
        db_bind_blob(stmt, 2, fresh, sizeof fresh);
        status = db_run(stmt, err);
    }
    if (status == FRT_OK) /* another process may have been faster */
        status = read_secret(db, name, out, &found, err);
    frt_wipe(fresh, sizeof fresh);
    return status;
}

enum frt_status frt_store_secret(struct frt_store *store, const char *name, uint8_t out[32],
                                 struct frt_error *err)
{
    struct store_turn look = {.store = store}, turn = {.store = store};
    enum frt_status status = FRT_OK;
    bool found = false;
    const size_t n = strlen(name);
    if (n == 0 || n > SECRET_NAME_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
        return frt_fail(err, FRT_EINVAL, "'%.64s' is no name of a secret", name);
    while (store_read(&look, &status, err))
        status = read_secret(look.db, name, out, &found, err);
    if (status != FRT_OK || found)
        return status;
    while (store_write(&turn, &status, err))
        status = make_secret(turn.db, name, out, err);
    return status;
}
