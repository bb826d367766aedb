/* The threshold of a collection's searches: its settings, its own table and the pack's, together. Threading:
 * pure. */
#ifndef FRT_ENGINE_GALLERY_THRESHOLDS_H
#define FRT_ENGINE_GALLERY_THRESHOLDS_H

#include "engine/threshold_basis.h"
#include "store/store.h"

struct gallery_thresholds {
    struct frt_threshold_table
        own; /* what the rule's table points at, if the collection has one: stays in its place */
    struct frt_threshold_rule rule; /* threshold NaN: nothing is known */
};

/**
 * basis       of the pack in use; NULL = none. One of another model than the collection's is not used.
 * every_face  a stranger is compared with every face, not with every person's template.
 * out         filled in its place; not to be copied.
 */
void gallery_thresholds_make(const struct frt_store_collection *row, const struct frt_threshold_basis *basis,
                             bool every_face, struct gallery_thresholds *out);

#endif
