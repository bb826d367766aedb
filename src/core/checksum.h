/*
 * Checksums against damage (not against forgery): the one adapter over xxHash.
 * Threading: pure functions.
 */
#ifndef FRT_CORE_CHECKSUM_H
#define FRT_CORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/** XXH3, 64 bits, seed 0. As fast as memory. Source: xxHash's specification, version 0.8. */
uint64_t frt_checksum64(const void *bytes, size_t size);

#endif
