/* Tokens: RFC 7515's own example, a round trip, and everything that must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/crypto.h"
#include "core/jwt.h"
#include "core/mem.h"

static const char key[] = "a key of more than thirty-two bytes, for tests";
enum { KEY_SIZE = sizeof key - 1 };
static const int64_t NOW = 1800000000;

static const struct frt_jwt_claims alice = {"alice@example.org", "reader", 1799999990, 1800003600, 77};

static char *sign(const struct frt_jwt_claims *claims)
{
    struct frt_buf out;
    frt_buf_init(&out, 1 << 16);
    assert_int_equal(frt_jwt_sign(key, KEY_SIZE, claims, &out, NULL), FRT_OK);
    char *text = strndup(out.data, out.size);
    assert_non_null(text);
    frt_buf_deinit(&out);
    return text;
}

/* A token of any header and claims, properly signed. */
static char *forge(const char *header, const char *claims)
{
    char *token = malloc(8192);
    uint8_t mac[FRT_HMAC_BYTES];
    assert_non_null(token);
    frt_base64url_encode(header, strlen(header), token);
    (void)strcat(token, ".");
    frt_base64url_encode(claims, strlen(claims), token + strlen(token));
    frt_hmac_sha256(key, KEY_SIZE, token, strlen(token), mac);
    (void)strcat(token, ".");
    frt_base64url_encode(mac, sizeof mac, token + strlen(token));
    return token;
}

static enum frt_status verify(const char *token, struct frt_jwt_claims *claims)
{
    struct frt_error err = {0};
    enum frt_status status = frt_jwt_verify(key, KEY_SIZE, token, strlen(token), NOW, claims, &err);
    if (status != FRT_OK)
        assert_true(strlen(err.text) > 10);
    return status;
}

static void round_trip(void **state)
{
    (void)state;
    struct frt_jwt_claims claims;
    char *token = sign(&alice);
    assert_int_equal(verify(token, &claims), FRT_OK);
    assert_string_equal(claims.subject, alice.subject);
    assert_string_equal(claims.role, alice.role);
    assert_int_equal(claims.issued_s, alice.issued_s);
    assert_int_equal(claims.expires_s, alice.expires_s);
    assert_int_equal(claims.version, alice.version);
    assert_null(strpbrk(token, "+/= "));
    free(token);
    struct frt_jwt_claims plain = alice; /* no version: none in the token */
    plain.version = 0;
    token = sign(&plain);
    assert_int_equal(verify(token, &claims), FRT_OK);
    assert_int_equal(claims.version, 0);
    free(token);
}

/* RFC 7515, appendix A.1: the MAC over that token's first two parts. */
static void the_standard_s_example(void **state)
{
    static const char text[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                               "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
                               "LmNvbS9pc19yb290Ijp0cnVlfQ";
    static const char key_text[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9"
        "CAow";
    uint8_t rfc_key[64], mac[FRT_HMAC_BYTES];
    size_t n = 0;
    char encoded[64];
    (void)state;
    assert_int_equal(frt_base64_decode(key_text, strlen(key_text), rfc_key, sizeof rfc_key, &n, NULL), FRT_OK);
    assert_int_equal(n, 64);
    frt_hmac_sha256(rfc_key, 64, text, strlen(text), mac);
    frt_base64url_encode(mac, sizeof mac, encoded);
    assert_string_equal(encoded, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

static void every_changed_character_counts(void **state)
{
    (void)state;
    struct frt_jwt_claims claims;
    char *token = sign(&alice);
    for (size_t i = 0; i < strlen(token); i++) {
        char was = token[i];
        for (const char *c = "AZaz09-_.=+ "; *c != '\0'; c++) {
            if (*c == was)
                continue;
            token[i] = *c;
            /* the last character carries two bits that mean nothing: another spelling of the same bytes */
            if (i + 1 < strlen(token))
                assert_int_equal(verify(token, &claims), FRT_EUNAUTHORIZED);
        }
        token[i] = was;
        char cut = token[i];
        token[i] = '\0';
        assert_int_equal(verify(token, &claims), FRT_EUNAUTHORIZED);
        token[i] = cut;
    }
    assert_int_equal(frt_jwt_verify("another key of more than thirty-two bytes", 41, token, strlen(token), NOW,
                                    &claims, NULL),
                     FRT_EUNAUTHORIZED);
    free(token);
}

static void signed_but_wrong(void **state)
{
    static const char good[] = "{\"alg\":\"HS256\"}";
    static const struct {
        const char *header, *claims;
    } wrong[] = {
        {"{\"alg\":\"none\"}", "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {"{\"alg\":\"HS512\"}", "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {"{\"alg\":[\"HS256\"]}", "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {"{\"alg\":\"HS256\",\"crit\":[\"x\"]}",
         "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {"HS256", "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1800000000}"}, /* this very second */
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":\"1900000000\"}"},
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1}"},
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":-1}"},
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"exp\":1e300}"},
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1800000061,\"exp\":1900000000}"},
        {good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1,\"nbf\":1800000100,\"exp\":1900000000}"},
        {good, "{\"sub\":\"\",\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {good, "{\"sub\":7,\"role\":\"admin\",\"iat\":1,\"exp\":1900000000}"},
        {good, "{\"sub\":\"a\",\"iat\":1,\"exp\":1900000000}"},
        {good, "{\"sub\":\"a\",\"role\":\"a role that is longer than any role may "
               "be\",\"iat\":1,\"exp\":1900000000}"},
        {good, "[]"},
        {good, "not json"}};
    (void)state;
    struct frt_jwt_claims claims = {.subject = "untouched"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *token = forge(wrong[i].header, wrong[i].claims);
        if (verify(token, &claims) != FRT_EUNAUTHORIZED)
            fail_msg("%s %s", wrong[i].header, wrong[i].claims);
        assert_string_equal(claims.subject, "untouched");
        free(token);
    }
    char *token =
        forge(good, "{\"sub\":\"a\",\"role\":\"admin\",\"iat\":1800000059,\"exp\":1800000061,\"more\":{}}");
    assert_int_equal(verify(token, &claims), FRT_OK); /* the forger's tool makes good ones, too */
    assert_string_equal(claims.role, "admin");
    free(token);
}

static void odd_shapes(void **state)
{
    static const char *const odd[] = {"", ".", "..", "...", "a.b", "a.b.c.d", "eyJhbGciOiJub25lIn0.e30."};
    (void)state;
    struct frt_jwt_claims claims;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(verify(odd[i], &claims), FRT_EUNAUTHORIZED);
    char *huge = malloc(100001);
    assert_non_null(huge);
    memset(huge, 'a', 100000);
    huge[100000] = '\0';
    assert_int_equal(verify(huge, &claims), FRT_EUNAUTHORIZED);
    free(huge);
    struct frt_buf out;
    frt_buf_init(&out, 1 << 16);
    assert_int_equal(frt_jwt_sign("short", 5, &alice, &out, NULL), FRT_EINVAL);
    struct frt_jwt_claims nobody = alice;
    nobody.subject[0] = '\0';
    assert_int_equal(frt_jwt_sign(key, KEY_SIZE, &nobody, &out, NULL), FRT_EINVAL);
    nobody = alice;
    nobody.expires_s = nobody.issued_s;
    assert_int_equal(frt_jwt_sign(key, KEY_SIZE, &nobody, &out, NULL), FRT_EINVAL);
    assert_int_equal(frt_jwt_verify("short", 5, "a.b.c", 5, NOW, &claims, NULL), FRT_EUNAUTHORIZED);
    assert_int_equal(out.size, 0);
    frt_buf_deinit(&out);
}

static void short_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct frt_buf out;
        struct frt_jwt_claims claims;
        frt_buf_init(&out, 1 << 16);
        frt_mem_fail_after(n);
        enum frt_status status = frt_jwt_sign(key, KEY_SIZE, &alice, &out, NULL);
        if (status == FRT_OK)
            status = frt_jwt_verify(key, KEY_SIZE, out.data, out.size, NOW, &claims, NULL);
        bool all = frt_mem_asked() <= n;
        frt_mem_fail_after(-1);
        frt_buf_deinit(&out);
        assert_true(status == FRT_OK || status == FRT_ENOMEM || status == FRT_EUNAUTHORIZED);
        if (all) {
            assert_int_equal(status, FRT_OK);
            break;
        }
    }
}

static void passwords(void **state)
{
    char hash[FRT_PASSWORD_HASH_SIZE], again[FRT_PASSWORD_HASH_SIZE], longest[FRT_PASSWORD_MAX_BYTES + 2];
    (void)state;
    assert_int_equal(frt_password_hash("correct horse", hash, NULL), FRT_OK);
    assert_int_equal(strncmp(hash, "$argon2id$", 10), 0);
    assert_true(frt_password_verify(hash, "correct horse"));
    assert_false(frt_password_verify(hash, "correct Horse"));
    assert_false(frt_password_verify(hash, ""));
    assert_int_equal(frt_password_hash("correct horse", again, NULL), FRT_OK);
    assert_string_not_equal(hash, again); /* salted */
    assert_false(frt_password_verify("", "x"));
    assert_false(frt_password_verify("$argon2id$nonsense", "x"));
    assert_int_equal(frt_password_hash("", again, NULL), FRT_EINVAL);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(frt_password_hash(longest, again, NULL), FRT_EINVAL);
    assert_false(frt_password_verify(hash, longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(the_standard_s_example),
        cmocka_unit_test(every_changed_character_counts),
        cmocka_unit_test(signed_but_wrong),
        cmocka_unit_test(odd_shapes),
        cmocka_unit_test(short_memory),
        cmocka_unit_test(passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
