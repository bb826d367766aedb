/*
 * Secrets, base64 and randomness: the one adapter over libsodium. No cryptography of our own.
 * Threading: every function may be called from any thread; the library initialises itself once.
 */
#ifndef FRT_CORE_CRYPTO_H
#define FRT_CORE_CRYPTO_H

#include "core/status.h"

/**
 * Decode base64 (RFC 4648 section 4; the URL alphabet, missing padding and white space are accepted).
 *
 * out       u8[capacity]; capacity >= size / 4 * 3 + 3 always suffices. May be `text` itself. After an
 *           error its bytes are unspecified.
 * out_size  bytes written.
 * Cost:     one pass, about 1 ns a group of four characters; allocates nothing.
 * Errors: FRT_EBAD_REQUEST (offset of the first bad character), FRT_EINVAL (capacity).
 */
FRT_NODISCARD enum frt_status frt_base64_decode(const char *text, size_t size, void *out, size_t capacity,
                                                size_t *out_size, struct frt_error *err);

/** Characters needed by frt_base64_encode, the NUL included. */
size_t frt_base64_encoded_size(size_t size);
/** Encode with padding; `out` holds frt_base64_encoded_size(size) characters. */
void frt_base64_encode(const void *bytes, size_t size, char *out);

/** Characters needed by frt_base64url_encode, the NUL included. */
size_t frt_base64url_encoded_size(size_t size);
/** Encode in the URL alphabet, without padding (RFC 4648 section 5). */
void frt_base64url_encode(const void *bytes, size_t size, char *out);

#define FRT_HMAC_BYTES 32
/** HMAC-SHA-256. Source: RFC 2104. */
void frt_hmac_sha256(const void *key, size_t key_size, const void *message, size_t size,
                     uint8_t out[FRT_HMAC_BYTES]);

#define FRT_SHORT_HASH_KEY_BYTES 16
/** SipHash-2-4: for tables whose keys somebody else chooses. Source: Aumasson and Bernstein, 2012. */
uint64_t frt_short_hash(const uint8_t key[FRT_SHORT_HASH_KEY_BYTES], const void *bytes, size_t size);

/** Are the bytes equal? Takes as long when they are not. */
bool frt_equal_secrets(const void *a, const void *b, size_t size);
/** Overwrite with zeros, whatever the optimiser thinks. */
void frt_wipe(void *bytes, size_t size);

#define FRT_PASSWORD_HASH_SIZE 128 /* text and NUL */
enum { FRT_PASSWORD_MAX_BYTES = 1024 };
/**
 * Argon2id (RFC 9106) with a random salt: text for frt_password_verify, 2 passes over 64 MiB, some 0.1 s.
 * Errors: FRT_EINVAL (empty, or over FRT_PASSWORD_MAX_BYTES), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_password_hash(const char *password, char out[FRT_PASSWORD_HASH_SIZE],
                                                struct frt_error *err);
/** Is this the password of the hash? False for what is no hash, too. As costly as frt_password_hash. */
bool frt_password_verify(const char *hash, const char *password);

#define FRT_SEAL_KEY_BYTES 32
#define FRT_SEAL_EXTRA_BYTES 40 /* nonce and tag */
/**
 * Encrypt and authenticate: XChaCha20-Poly1305 with a random nonce. `with` is authenticated, too, and must be
 * the same when it is opened: it says where the bytes belong. out  u8[size + FRT_SEAL_EXTRA_BYTES]: nonce,
 * ciphertext, tag. Source: draft-irtf-cfrg-xchacha-03.
 */
void frt_seal(const uint8_t key[FRT_SEAL_KEY_BYTES], const void *with, size_t with_size, const void *bytes,
              size_t size, uint8_t *out);
/** The opposite. out: u8[size - FRT_SEAL_EXTRA_BYTES]; false, and out unspecified: another key, another place,
 * or changed bytes. */
bool frt_unseal(const uint8_t key[FRT_SEAL_KEY_BYTES], const void *with, size_t with_size, const void *sealed,
                size_t size, uint8_t *out);

/** Unpredictable bytes. */
void frt_random_bytes(void *out, size_t size);

#endif
