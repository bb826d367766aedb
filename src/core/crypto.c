#include "core/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void frt_sha256_hex(const void *bytes, size_t size, char out[FRT_SHA256_HEX_SIZE])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(digest, bytes, size);
    (void)sodium_bin2hex(out, FRT_SHA256_HEX_SIZE, digest, sizeof digest);
}

enum frt_status frt_sha256_file(const char *path, char out[FRT_SHA256_HEX_SIZE], struct frt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path, strerror(errno));
    crypto_hash_sha256_state state;
    unsigned char piece[65536], digest[crypto_hash_sha256_BYTES];
    enum frt_status status = FRT_OK;
    (void)crypto_hash_sha256_init(&state);
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = frt_fail(err, FRT_EIO, "%s: %s", path, strerror(errno));
            break;
        }
        (void)crypto_hash_sha256_update(&state, piece, (unsigned long long)n);
    }
    (void)close(fd);
    if (status != FRT_OK)
        return status;
    (void)crypto_hash_sha256_final(&state, digest);
    (void)sodium_bin2hex(out, FRT_SHA256_HEX_SIZE, digest, sizeof digest);
    return FRT_OK;
}

/* Value of a base64 character in either alphabet, 64 for padding, 65 for white space, 255 otherwise. */
static unsigned char sextet(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned char)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (unsigned char)(c - '0' + 52);
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    if (c == '=')
        return 64;
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return 65;
    return 255;
}

/* Own code, where libsodium has a decoder: that one is constant-time by design (for keys) and takes
 * either alphabet but not both, and images come in both, at 100 MB/s. Photos are not keys. */
enum frt_status frt_base64_decode(const char *text, size_t size, void *out, size_t capacity, size_t *out_size,
                                  struct frt_error *err)
{
    unsigned char *to = out;
    size_t written = 0;
    uint32_t bits = 0;
    unsigned held = 0, padding = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char v = sextet((unsigned char)text[i]);
        if (v == 65)
            continue;
        if (v == 255 || (padding > 0 && v != 64))
            return frt_fail(err, FRT_EBAD_REQUEST, "base64: unexpected character at offset %zu", i);
        if (v == 64) {
            if (++padding > 2)
                return frt_fail(err, FRT_EBAD_REQUEST, "base64: too much padding at offset %zu", i);
            continue;
        }
        bits = bits << 6 | v;
        if (++held == 4) {
            if (capacity - written < 3)
                return frt_fail(err, FRT_EINVAL, "base64: output capacity %zu too small", capacity);
            to[written++] = (unsigned char)(bits >> 16);
            to[written++] = (unsigned char)(bits >> 8);
            to[written++] = (unsigned char)bits;
            held = 0;
            bits = 0;
        }
    }
    if (held == 1 || (padding > 0 && (held + padding) % 4 != 0))
        return frt_fail(err, FRT_EBAD_REQUEST, "base64: the text is cut short");
    if (held >= 2) {
        size_t more = held - 1;
        if (capacity - written < more)
            return frt_fail(err, FRT_EINVAL, "base64: output capacity %zu too small", capacity);
        bits <<= 6 * (4 - held);
        to[written++] = (unsigned char)(bits >> 16);
        if (more == 2)
            to[written++] = (unsigned char)(bits >> 8);
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

void frt_random_bytes(void *out, size_t size)
{
    if (sodium_init() < 0)
        abort(); /* no entropy source at all: nothing secret may be made */
    randombytes_buf(out, size);
}
