/*
 * Bits for ids that nobody else has, without asking the kernel each time: a start of 128 random bits for each
 * thread, and from there on a generator. Not for secrets: who knows one value knows the next.
 * Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014.
 *
 * Threading: a state for each thread.
 */
#ifndef FRT_CORE_UNIQUE_BITS_H
#define FRT_CORE_UNIQUE_BITS_H

#include <stddef.h>
#include <stdint.h>

uint64_t frt_unique_bits(void);
/** `digits` lower-case hex digits of them and a NUL. */
void frt_unique_hex(char *out, size_t digits);

#endif
