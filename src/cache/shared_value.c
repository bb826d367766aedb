#include "cache/shared_value.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 1, TAG_SIZE = 48, WITH_BYTES = FRT_SHARED_HEAD_BYTES + FRT_SHARED_NAME_SIZE };
/* Clocks of instances may differ by so much. */
enum { SKEW_MS = 300000 };
/*  0  "FRTR"
 *  4  version, u16
 *  6  0, u16
 *  8  key id, u8[4]
 * 12  when it is over, i64: ms since 1970
 * 20  nonce, ciphertext, tag (frt_seal); authenticated with it: these 20 bytes and the name, 64 bytes with NULs
 */
static const char magic[4] = {'F', 'R', 'T', 'R'};

static void derive(const uint8_t secret[32], const char *purpose, uint8_t out[FRT_HMAC_BYTES])
{
    frt_hmac_sha256(secret, 32, purpose, strlen(purpose), out);
}

void frt_shared_keys_derive(const uint8_t secret[32], struct frt_shared_keys *out)
{
    uint8_t id[FRT_HMAC_BYTES];
    derive(secret, "frt shared cache 1: names", out->name);
    derive(secret, "frt shared cache 1: values", out->seal);
    derive(secret, "frt shared cache 1: key id", id);
    memcpy(out->id, id, sizeof out->id);
}

void frt_shared_name(const struct frt_shared_keys *keys, char kind, const char *edition, const void *key,
                     size_t key_size, char out[FRT_SHARED_NAME_SIZE])
{
    uint8_t inner[FRT_HMAC_BYTES], both[2 * FRT_HMAC_BYTES];
    char tag[TAG_SIZE];
    /* two hashes of a fixed length, so that no edition runs into a key */
    frt_hmac_sha256(keys->name, sizeof keys->name, edition, strlen(edition), inner);
    memcpy(both, inner, sizeof inner);
    frt_hmac_sha256(keys->name, sizeof keys->name, key, key_size, both + FRT_HMAC_BYTES);
    frt_hmac_sha256(keys->name, sizeof keys->name, both, sizeof both, inner);
    frt_base64url_encode(inner, sizeof inner, tag);
    (void)snprintf(out, FRT_SHARED_NAME_SIZE, "frt:%d:{%.43s}:%c", VERSION, tag, kind);
}

void frt_shared_name_of_kind(const char *name, char kind, char out[FRT_SHARED_NAME_SIZE])
{
    (void)snprintf(out, FRT_SHARED_NAME_SIZE, "%.*s%c", (int)strlen(name) - 1, name, kind);
}

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static int64_t get_i64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return (int64_t)value;
}

static void head_of(const struct frt_shared_keys *keys, int64_t expires_ms, uint8_t out[FRT_SHARED_HEAD_BYTES])
{
    memset(out, 0, FRT_SHARED_HEAD_BYTES);
    memcpy(out, magic, sizeof magic);
    out[4] = VERSION;
    memcpy(out + 8, keys->id, sizeof keys->id);
    put_u64(out + 12, (uint64_t)expires_ms);
}

static void with_of(const uint8_t head[FRT_SHARED_HEAD_BYTES], const char *name, uint8_t out[WITH_BYTES])
{
    memset(out, 0, WITH_BYTES);
    memcpy(out, head, FRT_SHARED_HEAD_BYTES);
    memcpy(out + FRT_SHARED_HEAD_BYTES, name, strnlen(name, FRT_SHARED_NAME_SIZE - 1));
}

void frt_shared_seal(const struct frt_shared_keys *keys, const char *name, int64_t expires_ms,
                     const void *bytes, size_t size, uint8_t *out)
{
    uint8_t with[WITH_BYTES];
    head_of(keys, expires_ms, out);
    with_of(out, name, with);
    frt_seal(keys->seal, with, sizeof with, bytes, size, out + FRT_SHARED_HEAD_BYTES);
}

const char *frt_shared_verdict_name(enum frt_shared_verdict verdict)
{
    static const char *const names[FRT_SHARED_VERDICTS] = {"good", "cut", "another key or version", "over",
                                                           "forged"};
    return names[verdict];
}

enum frt_shared_verdict frt_shared_unseal(const struct frt_shared_keys *keys, const char *name, int64_t now_ms,
                                          int64_t most_ms, const void *sealed, size_t size, uint8_t *out,
                                          int64_t *left_ms)
{
    uint8_t head[FRT_SHARED_HEAD_BYTES], with[WITH_BYTES];
    const uint8_t *bytes = sealed;
    if (size < FRT_SHARED_EXTRA_BYTES || memcmp(bytes, magic, sizeof magic) != 0)
        return FRT_SHARED_SHORT;
    const int64_t expires_ms = get_i64(bytes + 12);
    head_of(keys, expires_ms, head);
    if (memcmp(bytes, head, sizeof head) != 0)
        return FRT_SHARED_ALIEN;
    if (expires_ms <= now_ms || expires_ms - now_ms > most_ms + SKEW_MS)
        return FRT_SHARED_OVER;
    with_of(head, name, with);
    if (!frt_unseal(keys->seal, with, sizeof with, bytes + sizeof head, size - sizeof head, out))
        return FRT_SHARED_FORGED;
    *left_ms = expires_ms - now_ms < most_ms ? expires_ms - now_ms : most_ms;
    return FRT_SHARED_GOOD;
}
