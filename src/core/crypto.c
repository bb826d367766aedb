#include "core/crypto.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Sextets of both alphabets; from 64 on: not a sextet. */
enum { PADDING = 64, SPACE = 65, XX = 255 };
/* clang-format off */
static const unsigned char sextets[256] = {
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  65,  65,  XX,  XX,  65,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     65,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  62,  XX,  62,  XX,  63,
     52,  53,  54,  55,  56,  57,  58,  59,  60,  61,  XX,  XX,  XX,  64,  XX,  XX,
     XX,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
     15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25,  XX,  XX,  XX,  XX,  63,
     XX,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
     41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
     XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,  XX,
};
/* clang-format on */

struct base64_tail {
    uint32_t bits;    /* of `held` characters that do not fill a group yet */
    unsigned held;    /* 0..3 */
    unsigned padding; /* 0..2 */
};

/* One character the careful way; what fills a group is written. */
static enum frt_status base64_step(struct base64_tail *tail, unsigned char v, size_t at, unsigned char *to,
                                   size_t capacity, size_t *written, struct frt_error *err)
{
    if (v == SPACE)
        return FRT_OK;
    if (v == XX || (tail->padding > 0 && v != PADDING))
        return frt_fail(err, FRT_EBAD_REQUEST, "base64: unexpected character at offset %zu", at);
    if (v == PADDING) {
        if (++tail->padding > 2)
            return frt_fail(err, FRT_EBAD_REQUEST, "base64: too much padding at offset %zu", at);
        return FRT_OK;
    }
    tail->bits = tail->bits << 6 | v;
    if (++tail->held < 4)
        return FRT_OK;
    if (capacity - *written < 3)
        return frt_fail(err, FRT_EINVAL, "base64: output capacity %zu too small", capacity);
    to[(*written)++] = (unsigned char)(tail->bits >> 16);
    to[(*written)++] = (unsigned char)(tail->bits >> 8);
    to[(*written)++] = (unsigned char)tail->bits;
    *tail = (struct base64_tail){0};
    return FRT_OK;
}

/* Own code, where libsodium has a decoder: that one is constant-time by design (for keys), at 100 MB/s,
 * and takes either alphabet but not both. Photos are not keys, and are large.
 *
 * Whole groups of four sextets go through the table; whatever else comes (white space, padding, errors)
 * goes character by character until a group is whole again. In place this is safe: the write position
 * never passes the read position. */
enum frt_status frt_base64_decode(const char *text, size_t size, void *out, size_t capacity, size_t *out_size,
                                  struct frt_error *err)
{
    const unsigned char *from = (const unsigned char *)text;
    unsigned char *to = out;
    size_t written = 0, i = 0;
    struct base64_tail tail = {0};
    while (i < size) {
        if (tail.held == 0 && tail.padding == 0) {
            while (size - i >= 4 && capacity - written >= 3) {
                uint32_t a = sextets[from[i]], b = sextets[from[i + 1]], c = sextets[from[i + 2]],
                         d = sextets[from[i + 3]];
                if (((a | b | c | d) & 0xC0) != 0)
                    break;
                uint32_t bits = a << 18 | b << 12 | c << 6 | d;
                to[written] = (unsigned char)(bits >> 16);
                to[written + 1] = (unsigned char)(bits >> 8);
                to[written + 2] = (unsigned char)bits;
                written += 3;
                i += 4;
            }
            if (i == size)
                break;
        }
        enum frt_status status = base64_step(&tail, sextets[from[i]], i, to, capacity, &written, err);
        if (status != FRT_OK)
            return status;
        i++;
    }
    if (tail.held == 1 || (tail.padding > 0 && (tail.held + tail.padding) % 4 != 0))
        return frt_fail(err, FRT_EBAD_REQUEST, "base64: the text is cut short");
    if (tail.held >= 2) {
        size_t more = tail.held - 1;
        if (capacity - written < more)
            return frt_fail(err, FRT_EINVAL, "base64: output capacity %zu too small", capacity);
        tail.bits <<= 6 * (4 - tail.held);
        to[written++] = (unsigned char)(tail.bits >> 16);
        if (more == 2)
            to[written++] = (unsigned char)(tail.bits >> 8);
    }
    *out_size = written;
    return FRT_OK;
}

size_t frt_base64_encoded_size(size_t size)
{
    return sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL);
}

void frt_base64_encode(const void *bytes, size_t size, char *out)
{
    (void)sodium_bin2base64(out, frt_base64_encoded_size(size), bytes, size, sodium_base64_VARIANT_ORIGINAL);
}

size_t frt_base64url_encoded_size(size_t size)
{
    return sodium_base64_encoded_len(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void frt_base64url_encode(const void *bytes, size_t size, char *out)
{
    (void)sodium_bin2base64(out, frt_base64url_encoded_size(size), bytes, size,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void frt_hmac_sha256(const void *key, size_t key_size, const void *message, size_t size,
                     uint8_t out[FRT_HMAC_BYTES])
{
    crypto_auth_hmacsha256_state state;
    (void)crypto_auth_hmacsha256_init(&state, key, key_size);
    (void)crypto_auth_hmacsha256_update(&state, message, size);
    (void)crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

uint64_t frt_short_hash(const uint8_t key[FRT_SHORT_HASH_KEY_BYTES], const void *bytes, size_t size)
{
    static_assert(FRT_SHORT_HASH_KEY_BYTES == crypto_shorthash_KEYBYTES, "SipHash's key");
    uint64_t out;
    static_assert(sizeof out == crypto_shorthash_BYTES, "SipHash's result");
    uint8_t hash[crypto_shorthash_BYTES];
    (void)crypto_shorthash(hash, bytes, size, key);
    memcpy(&out, hash, sizeof out);
    return out;
}

bool frt_equal_secrets(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}

void frt_wipe(void *bytes, size_t size)
{
    sodium_memzero(bytes, size);
}

enum frt_status frt_password_hash(const char *password, char out[FRT_PASSWORD_HASH_SIZE], struct frt_error *err)
{
    static_assert(FRT_PASSWORD_HASH_SIZE >= crypto_pwhash_argon2id_STRBYTES, "the hash fits");
    size_t size = strlen(password);
    char text[crypto_pwhash_argon2id_STRBYTES];
    if (size == 0 || size > FRT_PASSWORD_MAX_BYTES)
        return frt_fail(err, FRT_EINVAL, "the password has %zu bytes; 1 to %d fit", size,
                        FRT_PASSWORD_MAX_BYTES);
    if (sodium_init() < 0)
        abort(); /* no entropy source: a salt could not be made */
    if (crypto_pwhash_argon2id_str(text, password, size, crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE,
                                   crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE) != 0)
        return frt_fail_nomem(err, "a password's hash (64 MiB)");
    memcpy(out, text, sizeof text);
    return FRT_OK;
}

bool frt_password_verify(const char *hash, const char *password)
{
    size_t size = strlen(password);
    char text[crypto_pwhash_argon2id_STRBYTES] = {0};
    if (size == 0 || size > FRT_PASSWORD_MAX_BYTES || strlen(hash) >= sizeof text)
        return false;
    memcpy(text, hash, strlen(hash));
    return sodium_init() >= 0 && crypto_pwhash_argon2id_str_verify(text, password, size) == 0;
}

void frt_random_bytes(void *out, size_t size)
{
    if (sodium_init() < 0)
        abort(); /* no entropy source at all: nothing secret may be made */
    randombytes_buf(out, size);
}

static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == FRT_SEAL_KEY_BYTES, "as long as the library's");
static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES ==
                  FRT_SEAL_EXTRA_BYTES,
              "nonce and tag");

void frt_seal(const uint8_t key[FRT_SEAL_KEY_BYTES], const void *with, size_t with_size, const void *bytes,
              size_t size, uint8_t *out)
{
    enum { NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };
    frt_random_bytes(out, NONCE);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out + NONCE, NULL, bytes, size, with, with_size, NULL, out,
                                                     key);
}

bool frt_unseal(const uint8_t key[FRT_SEAL_KEY_BYTES], const void *with, size_t with_size, const void *sealed,
                size_t size, uint8_t *out)
{
    enum { NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };
    const uint8_t *bytes = sealed;
    return size >= FRT_SEAL_EXTRA_BYTES &&
           crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, bytes + NONCE, size - NONCE, with,
                                                      with_size, bytes, key) == 0;
}
