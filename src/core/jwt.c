#include "core/jwt.h"

#include <string.h>

#include "core/crypto.h"
#include "core/json_read.h"
#include "core/json_write.h"
#include "core/mem.h"

#define LARGEST_WHOLE (UINT64_C(1) << 53) /* that a JSON number holds exactly */

static const char header_json[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

static void append_base64url(struct frt_buf *out, const void *bytes, size_t size)
{
    char text[FRT_JWT_MAX_BYTES];
    if (frt_base64url_encoded_size(size) > sizeof text)
        return; /* claims are bounded far below; see frt_jwt_sign */
    frt_base64url_encode(bytes, size, text);
    frt_buf_append(out, text, strlen(text));
}

enum frt_status frt_jwt_sign(const void *key, size_t key_size, const struct frt_jwt_claims *claims,
                             struct frt_buf *out, struct frt_error *err)
{
    struct frt_buf token, json;
    struct frt_json_writer w;
    uint8_t mac[FRT_HMAC_BYTES];
    if (key_size < FRT_JWT_KEY_MIN_BYTES)
        return frt_fail(err, FRT_EINVAL, "the signing key has %zu bytes; at least %d are right", key_size,
                        FRT_JWT_KEY_MIN_BYTES);
    if (claims->subject[0] == '\0' || claims->role[0] == '\0' || claims->issued_s < 0 ||
        claims->expires_s <= claims->issued_s || claims->version > LARGEST_WHOLE)
        return frt_fail(err, FRT_EINVAL, "a token needs a subject, a role and an expiry after its issue");
    frt_buf_init(&token, FRT_JWT_MAX_BYTES);
    frt_buf_init(&json, FRT_JWT_MAX_BYTES / 2);
    frt_json_writer_init(&w, &json, false);
    frt_json_object(&w);
    frt_json_key(&w, "sub");
    frt_json_string(&w, claims->subject);
    frt_json_key(&w, "role");
    frt_json_string(&w, claims->role);
    frt_json_key(&w, "iat");
    frt_json_int(&w, claims->issued_s);
    frt_json_key(&w, "exp");
    frt_json_int(&w, claims->expires_s);
    if (claims->version != 0) {
        frt_json_key(&w, "ver");
        frt_json_int(&w, (int64_t)claims->version);
    }
    frt_json_end(&w);

    append_base64url(&token, header_json, sizeof header_json - 1);
    frt_buf_append(&token, ".", 1);
    append_base64url(&token, json.data, json.size);
    frt_hmac_sha256(key, key_size, token.data, token.size, mac);
    frt_buf_append(&token, ".", 1);
    append_base64url(&token, mac, sizeof mac);
    enum frt_status status = frt_buf_status(&json) != FRT_OK ? frt_buf_status(&json) : frt_buf_status(&token);
    if (status == FRT_OK) {
        frt_buf_append(out, token.data, token.size);
        status = frt_buf_status(out);
    }
    frt_buf_deinit(&json);
    frt_buf_deinit(&token);
    return status == FRT_OK ? FRT_OK : frt_fail_nomem(err, "a token");
}

static enum frt_status refuse(struct frt_error *err, const char *why)
{
    return frt_fail(err, FRT_EUNAUTHORIZED, "the token is not valid: %s", why);
}

/* Base64url as RFC 7515 wants it: that alphabet only, no padding, no white space. */
static bool decode_part(const char *text, size_t size, uint8_t *out, size_t capacity, size_t *n)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_'))
            return false;
    }
    return size > 0 && frt_base64_decode(text, size, out, capacity, n, NULL) == FRT_OK;
}

/* The header says HS256 and nothing critical. */
static bool header_is_ours(const uint8_t *bytes, size_t size)
{
    struct frt_json *json = NULL;
    if (frt_json_parse((const char *)bytes, size, &json, NULL) != FRT_OK)
        return false;
    const struct frt_json_value *root = frt_json_root(json);
    const char *algorithm = frt_json_text(frt_json_get(root, "alg"));
    bool ours = algorithm != NULL && strcmp(algorithm, "HS256") == 0 && frt_json_get(root, "crit") == NULL;
    frt_json_free(json);
    return ours;
}

static bool read_text(const struct frt_json_value *root, const char *key, char *out, size_t size)
{
    const char *text = frt_json_text(frt_json_get(root, key));
    if (text == NULL || text[0] == '\0' || strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool read_time(const struct frt_json_value *root, const char *key, int64_t *out)
{
    double value = frt_json_double(frt_json_get(root, key), -1);
    if (!(value >= 0 && value <= (double)LARGEST_WHOLE))
        return false;
    *out = (int64_t)value;
    return true;
}

static enum frt_status read_claims(const uint8_t *bytes, size_t size, int64_t now_s, struct frt_jwt_claims *out,
                                   struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_jwt_claims c = {0};
    int64_t not_before = 0, version = 0;
    if (frt_json_parse((const char *)bytes, size, &json, NULL) != FRT_OK)
        return refuse(err, "its claims are not JSON");
    const struct frt_json_value *root = frt_json_root(json);
    bool whole = read_text(root, "sub", c.subject, sizeof c.subject) &&
                 read_text(root, "role", c.role, sizeof c.role) && read_time(root, "iat", &c.issued_s) &&
                 read_time(root, "exp", &c.expires_s) &&
                 (frt_json_get(root, "nbf") == NULL || read_time(root, "nbf", &not_before)) &&
                 (frt_json_get(root, "ver") == NULL || read_time(root, "ver", &version));
    c.version = (uint64_t)version;
    frt_json_free(json);
    if (!whole)
        return refuse(err, "a claim is missing or of the wrong kind");
    if (c.issued_s > now_s + FRT_JWT_SKEW_S || not_before > now_s + FRT_JWT_SKEW_S)
        return refuse(err, "it is not valid yet");
    if (c.expires_s <= now_s)
        return refuse(err, "it has expired; log in again");
    *out = c;
    return FRT_OK;
}

enum frt_status frt_jwt_verify(const void *key, size_t key_size, const char *token, size_t size, int64_t now_s,
                               struct frt_jwt_claims *claims, struct frt_error *err)
{
    uint8_t given[FRT_HMAC_BYTES + 3], mac[FRT_HMAC_BYTES];
    uint8_t decoded[FRT_JWT_MAX_BYTES];
    size_t n = 0;
    if (key_size < FRT_JWT_KEY_MIN_BYTES)
        return frt_fail(err, FRT_EUNAUTHORIZED, "no signing key is set");
    if (size > FRT_JWT_MAX_BYTES)
        return refuse(err, "it is too long");
    const char *first = memchr(token, '.', size);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', size - (size_t)(first + 1 - token));
    if (second == NULL || memchr(second + 1, '.', size - (size_t)(second + 1 - token)) != NULL)
        return refuse(err, "it does not have three parts");
    size_t signed_size = (size_t)(second - token);
    if (!decode_part(second + 1, size - signed_size - 1, given, sizeof given, &n) || n != sizeof mac)
        return refuse(err, "its signature has the wrong form");
    frt_hmac_sha256(key, key_size, token, signed_size, mac);
    if (!frt_equal_secrets(given, mac, sizeof mac))
        return refuse(err, "its signature is wrong");
    if (!decode_part(token, (size_t)(first - token), decoded, sizeof decoded, &n) ||
        !header_is_ours(decoded, n))
        return refuse(err, "its header is not that of an HS256 token");
    if (!decode_part(first + 1, (size_t)(second - first - 1), decoded, sizeof decoded, &n))
        return refuse(err, "its claims have the wrong form");
    return read_claims(decoded, n, now_s, claims, err);
}
