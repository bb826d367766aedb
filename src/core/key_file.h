/*
 * A key in a file: 32 bytes as they are, or as 64 hex digits or base64 with white space around.
 * Threading: pure over its arguments.
 */
#ifndef FRT_CORE_KEY_FILE_H
#define FRT_CORE_KEY_FILE_H

#include "core/crypto.h"

/** Read a key. Neither its bytes nor any part of the file are ever told. Errors: FRT_ENOTFOUND, FRT_EIO,
 *  FRT_EINVAL (no key: what one looks like). */
FRT_NODISCARD enum frt_status frt_key_file_load(const char *path, uint8_t out[FRT_SEAL_KEY_BYTES],
                                                struct frt_error *err);

#endif
