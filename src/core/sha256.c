#include "core/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <nettle/sha2.h>

static void finish(struct sha256_ctx *state, uint8_t out[FRT_SHA256_BYTES])
{
    sha256_digest(state, FRT_SHA256_BYTES, out);
}

static void finish_hex(struct sha256_ctx *state, char out[FRT_SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[FRT_SHA256_BYTES];
    finish(state, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * sizeof digest] = '\0';
}

void frt_sha256_two(const void *first, size_t first_size, const void *second, size_t second_size,
                    uint8_t out[FRT_SHA256_BYTES])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, first_size, first);
    sha256_update(&state, second_size, second);
    finish(&state, out);
}

void frt_sha256(const void *bytes, size_t size, uint8_t out[FRT_SHA256_BYTES])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, size, bytes);
    finish(&state, out);
}

void frt_sha256_hex(const void *bytes, size_t size, char out[FRT_SHA256_HEX_SIZE])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, size, bytes);
    finish_hex(&state, out);
}

enum frt_status frt_sha256_file(const char *path, char out[FRT_SHA256_HEX_SIZE], struct frt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path, strerror(errno));
    struct sha256_ctx state;
    uint8_t piece[65536];
    enum frt_status status = FRT_OK;
    sha256_init(&state);
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
        sha256_update(&state, (size_t)n, piece);
    }
    (void)close(fd);
    if (status == FRT_OK)
        finish_hex(&state, out);
    return status;
}
