/*
 * Made-up galleries and probes for bench_search, as much like faces as its measurements need.
 *
 * Components are Gaussian with variances exp(-j / tau), tau chosen so that two different people lie at 0 ±
 * 0.06. Threading: one owner; they are made by as many threads as there are cores, the same on every machine.
 */
#ifndef FRT_BENCH_SEARCH_FACE_SETS_H
#define FRT_BENCH_SEARCH_FACE_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FACE_SET_PROBES = 1000, FACE_SET_ARCHIVE_PHOTOS = 250 };

struct face_set {
    uint32_t dim, photos; /* of each person, one after the other; 0 = 1 */
    size_t n, n_probes;
    float *gallery; /* f32[n][dim] */
    float *probes;  /* f32[n_probes][dim] */
    uint32_t *mate; /* [n_probes]: number in the gallery; of an archive, of the person's first photo */
    float *exact;   /* [n_probes]: cosine to it; of an archive, to the nearest photo of the person */
};

/** Identities spread evenly, one face each; probes near 0.6 ± 0.08 of theirs. */
void face_set_even(struct face_set *set, uint32_t dim, size_t n);
/** 250 photos of each person (a year at one door), two of them near 0.6 ± 0.08; probes are further photos. Of
 * 50 photos each, k-means spreads people over lists so that the index takes none: measured with 200,000 faces.
 */
void face_set_archive(struct face_set *set, uint32_t dim, size_t n);
/** Real faces among made-up ones with their covariance; false, with a word on stderr: FRT_BENCH_SEEDS names no
 *  file. */
bool face_set_seeds(struct face_set *set, size_t n);
void face_set_deinit(struct face_set *set);

/** Is number `id` of the gallery what probe p is looked for with? */
bool face_set_is_mate(const struct face_set *set, size_t p, uint64_t id);

/** Ends the program when memory is NULL. */
void *bench_need(void *memory);

#endif
