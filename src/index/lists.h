/*
 * Lists of similar vectors (an inverted file): trained by spherical k-means on a sample, checked before they
 * are used.
 *
 * The check asks what lists would lose here: for pairs of one group (two faces of a subject) or, where there
 * are few, vectors with noise added until they are a poor mate's distance away, it ranks the lists by their
 * centres as a search would, and notes at which rank the mate's list comes. The number of lists to look into
 * follows from that: so many that all but MAX_LOSS of the mates are found. If that is no small part of all
 * lists, lists are not worth having, and every vector is looked at: on galleries without clusters that is how
 * it ends.
 *
 * Threading: works on the caller's thread alone, so that searches keep the other cores.
 * Source: Sculley, Web-scale k-means clustering, 2010 (on samples); Dhillon and Modha 2001 (spherical).
 */
#ifndef FRT_INDEX_LISTS_H
#define FRT_INDEX_LISTS_H

#include "index/native.h"

struct frt_lists {
    uint32_t n;        /* lists; 0 = not worth having here */
    uint32_t probes;   /* to look into */
    double loss;       /* of the check, at that number */
    float *centroids;  /* f32[n][dim], rotated, unit; owned */
    uint32_t *list_of; /* [vectors] of the places given; owned */
};

/** A vector of a view. */
struct frt_place {
    const struct frt_segment *segment;
    uint32_t at;
};

/**
 * Train and check.
 * places  the vectors, [n].
 * stop    asked now and then; true ends with FRT_ECANCELLED.
 * Errors: FRT_ENOMEM, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_lists_train(const struct frt_native *native, const struct frt_place *places,
                                              uint32_t n, bool (*stop)(void *arg), void *arg,
                                              struct frt_lists *out, struct frt_error *err);
void frt_lists_deinit(struct frt_lists *lists);

#endif
