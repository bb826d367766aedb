/*
 * SHA-256 (FIPS 180-4): the one adapter over Nettle, which uses the processor's own instructions where it has
 * them: 1.6 GB/s against libsodium's 0.3, and every photo that may be cached is hashed.
 * Threading: every function may be called from any thread.
 */
#ifndef FRT_CORE_SHA256_H
#define FRT_CORE_SHA256_H

#include "core/status.h"

#define FRT_SHA256_BYTES 32
#define FRT_SHA256_HEX_SIZE 65 /* 64 digits and the NUL */

/** SHA-256 of `size` bytes. */
void frt_sha256(const void *bytes, size_t size, uint8_t out[FRT_SHA256_BYTES]);
/** SHA-256 of two texts, one after the other. */
void frt_sha256_two(const void *first, size_t first_size, const void *second, size_t second_size,
                    uint8_t out[FRT_SHA256_BYTES]);
/** Lower-case hex SHA-256 of `size` bytes. */
void frt_sha256_hex(const void *bytes, size_t size, char out[FRT_SHA256_HEX_SIZE]);

/** Lower-case hex SHA-256 of a file, read in pieces. Errors: FRT_ENOTFOUND, FRT_EIO. */
FRT_NODISCARD enum frt_status frt_sha256_file(const char *path, char out[FRT_SHA256_HEX_SIZE],
                                              struct frt_error *err);

#endif
