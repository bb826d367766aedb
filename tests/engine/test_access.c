/* Users, tokens and keys over a real store: who gets in, and above all who does not. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "engine/access.h"

static char folder[64], database[80];
static struct frt_access *access_;
static int64_t wall_ns = INT64_C(1800000000) * 1000000000;

static int64_t test_wall(const struct frt_clock *clock)
{
    (void)clock;
    return wall_ns;
}
static int64_t test_monotonic(const struct frt_clock *clock)
{
    (void)clock;
    return wall_ns;
}
static const struct frt_clock test_clock = {.monotonic_ns = test_monotonic, .wall_ns = test_wall};

static struct frt_access *open_access(void)
{
    struct frt_access *a = NULL;
    struct frt_error err = {0};
    const struct frt_access_options options = {
        .database = database, .clock = &test_clock, .token_lifetime_ms = 3600000};
    if (frt_access_open(&options, &a, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return a;
}

static enum frt_status token_status(const char *token, struct frt_caller *caller)
{
    struct frt_error err = {0};
    enum frt_status status = frt_access_check_token(access_, token, strlen(token), caller, &err);
    if (status != FRT_OK && strlen(token) > 20)
        assert_null(strstr(err.text, token));
    return status;
}

static const char password[] = "correct horse battery";

static void keys(void **state)
{
    struct frt_new_key key = {.text = ""};
    struct frt_caller caller;
    bool configured = true;
    (void)state;
    assert_int_equal(frt_access_configured(access_, &configured, NULL), FRT_OK);
    assert_false(configured);
    assert_int_equal(frt_access_key_add(access_, "camera", FRT_ROLE_WRITER, 0, &key, NULL), FRT_OK);
    assert_int_equal(strlen(key.text), FRT_KEY_TEXT_SIZE - 1);
    assert_int_equal(strncmp(key.text, "frt_k_", 6), 0);
    assert_non_null(strstr(key.text, key.info.id));
    assert_int_equal(frt_access_configured(access_, &configured, NULL), FRT_OK);
    assert_true(configured); /* at once, though it was remembered */
    assert_int_equal(frt_access_check_key(access_, key.text, &caller, NULL), FRT_OK);
    assert_int_equal(caller.role, FRT_ROLE_WRITER);
    assert_true(caller.is_key);
    assert_string_equal(caller.name, key.info.id);
    for (size_t i = 0; key.text[i] != '\0'; i++) { /* every character counts */
        char changed[FRT_KEY_TEXT_SIZE];
        memcpy(changed, key.text, sizeof changed);
        changed[i] = changed[i] == '1' ? '2' : '1';
        assert_int_equal(frt_access_check_key(access_, changed, &caller, NULL), FRT_EUNAUTHORIZED);
        changed[i] = '\0';
        assert_int_equal(frt_access_check_key(access_, changed, &caller, NULL), FRT_EUNAUTHORIZED);
    }
    struct frt_key_info *list = NULL;
    size_t n = 0;
    assert_int_equal(frt_access_keys(access_, &list, &n, NULL), FRT_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].name, "camera");
    frt_free(list);
    /* the key itself is nowhere in the files */
    char command[200];
    (void)snprintf(command, sizeof command, "grep -qr '%s' '%s'", key.text + 5 + FRT_KEY_ID_SIZE, folder);
    assert_int_not_equal(system(command), 0);

    struct frt_new_key brief = {.text = ""};
    int64_t soon = wall_ns / 1000000 + 5000;
    assert_int_equal(frt_access_key_add(access_, "brief", FRT_ROLE_READER, soon, &brief, NULL), FRT_OK);
    assert_int_equal(frt_access_check_key(access_, brief.text, &caller, NULL), FRT_OK);
    wall_ns += INT64_C(5000000000);
    assert_int_equal(frt_access_check_key(access_, brief.text, &caller, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_key_add(access_, "past", FRT_ROLE_READER, soon, &brief, NULL), FRT_EINVAL);
    assert_int_equal(frt_access_key_add(access_, "", FRT_ROLE_READER, 0, &brief, NULL), FRT_EINVAL);
    assert_int_equal(frt_access_key_add(access_, "x", FRT_ROLE_NONE, 0, &brief, NULL), FRT_EINVAL);

    assert_int_equal(frt_access_key_delete(access_, key.info.id, NULL), FRT_OK);
    assert_int_equal(frt_access_check_key(access_, key.text, &caller, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_key_delete(access_, key.info.id, NULL), FRT_ENOTFOUND);
}

static void logins(void **state)
{
    struct frt_login login;
    struct frt_caller caller;
    struct frt_error unknown = {0}, wrong = {0};
    (void)state;
    assert_int_equal(frt_access_user_add(access_, "Ann@Example.org", password, FRT_ROLE_READER, NULL), FRT_OK);
    assert_int_equal(frt_access_user_add(access_, "ann@example.org", password, FRT_ROLE_READER, NULL),
                     FRT_ECONFLICT);
    assert_int_equal(frt_access_user_add(access_, "bob@example.org", "short", FRT_ROLE_READER, NULL),
                     FRT_EINVAL);
    assert_int_equal(frt_access_login(access_, "nobody@example.org", password, &login, &unknown),
                     FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_login(access_, "ann@example.org", "correct horse batterY", &login, &wrong),
                     FRT_EUNAUTHORIZED);
    assert_string_equal(unknown.text, wrong.text);
    assert_int_equal(frt_access_login(access_, "ann@example.org", "", &login, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_login(access_, "", password, &login, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_login(access_, "ann@example.org", password, &login, NULL), FRT_OK);
    assert_int_equal(login.expires_ms, wall_ns / 1000000 + 3600000);
    assert_int_equal(token_status(login.token, &caller), FRT_OK);
    assert_int_equal(caller.role, FRT_ROLE_READER);
    assert_string_equal(caller.name, "ann@example.org");

    /* another service over the same store takes it; over another store it does not */
    struct frt_access *twin = open_access();
    assert_int_equal(frt_access_check_token(twin, login.token, strlen(login.token), &caller, NULL), FRT_OK);
    frt_access_close(twin);

    /* expiry */
    wall_ns += INT64_C(3599000000000);
    assert_int_equal(token_status(login.token, &caller), FRT_OK);
    wall_ns += INT64_C(1000000000);
    assert_int_equal(token_status(login.token, &caller), FRT_EUNAUTHORIZED);

    /* a new role, a new password, a deletion: each ends the tokens of before */
    assert_int_equal(frt_access_login(access_, "ann@example.org", password, &login, NULL), FRT_OK);
    assert_int_equal(frt_access_user_change(access_, "ann@example.org", NULL, FRT_ROLE_ADMIN, NULL), FRT_OK);
    assert_int_equal(token_status(login.token, &caller), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_login(access_, "ann@example.org", password, &login, NULL), FRT_OK);
    assert_int_equal(token_status(login.token, &caller), FRT_OK);
    assert_int_equal(caller.role, FRT_ROLE_ADMIN);
    assert_int_equal(
        frt_access_user_change(access_, "ann@example.org", "another password", FRT_ROLE_NONE, NULL), FRT_OK);
    assert_int_equal(token_status(login.token, &caller), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_login(access_, "ann@example.org", password, &login, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(frt_access_login(access_, "ann@example.org", "another password", &login, NULL), FRT_OK);
    assert_int_equal(frt_access_user_delete(access_, "ann@example.org", NULL), FRT_OK);
    assert_int_equal(token_status(login.token, &caller), FRT_EUNAUTHORIZED);
    /* the same email again is another user */
    assert_int_equal(frt_access_user_add(access_, "ann@example.org", password, FRT_ROLE_READER, NULL), FRT_OK);
    assert_int_equal(token_status(login.token, &caller), FRT_EUNAUTHORIZED);
    struct frt_user_info *list = NULL;
    size_t n = 0;
    assert_int_equal(frt_access_users(access_, &list, &n, NULL), FRT_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].email, "ann@example.org");
    frt_free(list);
}

static void forged_tokens(void **state)
{
    static const uint8_t other_key[32] = {1, 2, 3};
    struct frt_caller caller;
    struct frt_login login;
    struct frt_jwt_claims claims = {.subject = "ann@example.org", .role = "admin", .version = 1};
    struct frt_buf token;
    (void)state;
    claims.issued_s = wall_ns / 1000000000;
    claims.expires_s = claims.issued_s + 1000;
    frt_buf_init(&token, 4096);
    assert_int_equal(frt_jwt_sign(other_key, sizeof other_key, &claims, &token, NULL), FRT_OK);
    assert_int_equal(token_status(token.data, &caller), FRT_EUNAUTHORIZED);
    frt_buf_deinit(&token);
    static const char none[] = "{\"alg\":\"none\",\"typ\":\"JWT\"}";
    char head[100], body[300], text[600], json[200];
    frt_base64url_encode(none, sizeof none - 1, head);
    (void)snprintf(json, sizeof json,
                   "{\"sub\":\"ann@example.org\",\"role\":\"admin\",\"iat\":%lld,\"exp\":%lld}",
                   (long long)claims.issued_s, (long long)claims.expires_s);
    frt_base64url_encode(json, strlen(json), body);
    (void)snprintf(text, sizeof text, "%s.%s.", head, body);
    assert_int_equal(token_status(text, &caller), FRT_EUNAUTHORIZED);
    (void)snprintf(text, sizeof text, "%s.%s", head, body);
    assert_int_equal(token_status(text, &caller), FRT_EUNAUTHORIZED);
    static const char *const odd[] = {"", ".", "..", "...", "a.b.c", "Bearer x"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(token_status(odd[i], &caller), FRT_EUNAUTHORIZED);
    /* somebody else's claims under one's own signature */
    assert_int_equal(frt_access_login(access_, "ann@example.org", password, &login, NULL), FRT_OK);
    const char *signature = strrchr(login.token, '.');
    frt_base64url_encode("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27, head);
    (void)snprintf(text, sizeof text, "%s.%s%s", head, body, signature);
    assert_int_equal(token_status(text, &caller), FRT_EUNAUTHORIZED);
}

static void roles(void **state)
{
    enum frt_role role;
    (void)state;
    for (int i = FRT_ROLE_READER; i <= FRT_ROLE_ADMIN; i++) {
        assert_int_equal(frt_role_parse(frt_role_name((enum frt_role)i), &role, NULL), FRT_OK);
        assert_int_equal(role, i);
    }
    static const char *const wrong[] = {"", "none", "Admin", "root", "reader "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(frt_role_parse(wrong[i], &role, NULL), FRT_EINVAL);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(logins),
        cmocka_unit_test(forged_tokens),
        cmocka_unit_test(roles),
    };
    (void)snprintf(folder, sizeof folder, "/tmp/frt_access_XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(database, sizeof database, "%s/frt.db", folder);
    access_ = open_access();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_access_close(access_);
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
