/*
 * Replacement policies beside exact LRU, as far as it takes to compare them: which keys would be in a cache of
 * so many, and what a hit costs when several threads have one. No values, no times, no bytes.
 *
 *     lru        a hit moves to the end of one list: every hit takes the list's lock
 *     sieve      Zhang et al., NSDI 2024: a hit sets a mark; a hand walks from old to new, takes marks off and
 *                throws out the first without
 *     s3fifo     Yang et al., SOSP 2023: a small queue on trial (a tenth), a main queue, and a list of who was
 *                thrown out of the small one; a hit counts to three
 *     s3fifo-30  the same with three tenths on trial, and a place in the main queue for the first hit
 *     w-tinylfu  Einziger, Friedman, Manes 2017: a window of a hundredth, then a segmented LRU that lets in
 * only whoever was asked for more often than who would have to go (count-min sketch of bytes to 15, halved
 * every ten capacities)
 *
 * Keys are numbers from 0 on and index one array, so that no policy pays for a hash table and all do the same
 * work beside their own.
 *
 * Threading: policy_access from any number of threads. A key's place is guarded by one of STRIPES locks, the
 * lists by one lock; lists before stripe. lru takes the lists' lock for everything; w-tinylfu moves a key that
 * was hit only when the lists' lock is free (as its authors' program does in batches); the others never
 * touch the lists on a hit.
 */
#ifndef BENCH_POLICIES_POLICY_H
#define BENCH_POLICIES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum policy_kind {
    POLICY_LRU = 0,
    POLICY_SIEVE,
    POLICY_S3FIFO,
    POLICY_S3FIFO_30,
    POLICY_WTINYLFU,
    POLICY_COUNT
};

struct policy;

const char *policy_name(enum policy_kind kind);
/** NULL without memory. */
struct policy *policy_new(enum policy_kind kind, uint32_t capacity, uint32_t n_keys);
void policy_free(struct policy *policy);
/** Was the key there? It is afterwards, or was weighed and turned away. key < n_keys. */
bool policy_access(struct policy *policy, uint32_t key);
/** Keys that are there; never more than the capacity. For checks, while no other call runs. */
uint32_t policy_resident(const struct policy *policy);

#endif
