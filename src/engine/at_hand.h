/*
 * Answers that are in memory already, for a thread that must not wait: it may take a lock that is held for
 * moments and read a row of the store, but it decodes nothing, infers nothing, loads no index and never waits
 * for anybody. What it looks at is bounded (below, and the size of the index), or there is no answer.
 *
 * Threading: as frt_embed and frt_identify.
 */
#ifndef FRT_ENGINE_AT_HAND_H
#define FRT_ENGINE_AT_HAND_H

#include "frt/gallery.h"

enum { FRT_AT_HAND_BYTES = 256 * 1024 /* of a photo: its key is a hash over them */ };

/** What frt_embed would answer of the image that these bytes are, if the embedding cache has it; false: ask
 * frt_embed. Counts a hit, no miss. */
bool frt_embed_at_hand(const struct frt_pack *pack, const void *photo, size_t size,
                       const struct frt_detect_options *options, struct frt_faces **out);

/** What frt_identify would answer, if embedding, index and subjects are in memory and up to date, and the index
 *  is small; false, out untouched: ask frt_identify, which also says what is wrong. */
bool frt_identify_at_hand(struct frt_gallery *gallery, const struct frt_pack *pack, const char *collection,
                          const void *photo, size_t size, const struct frt_identify_options *options,
                          struct frt_identified *out);

#endif
