/*
 * Detections and embeddings of photos as instances share them (cache/shared_cache.h): what the caches of this
 * process keep, without frames and crops. Layout: docs/formats/redis-v1.md.
 *
 * Asked once a photo, for both kinds together, inside the flight of the cache in front: of many callers with
 * the same photo one asks. What is found keeps the time it has left, and is not written again.
 *
 * Threading: as frt_embed.
 */
#ifndef FRT_ENGINE_SHARED_PHOTO_H
#define FRT_ENGINE_SHARED_PHOTO_H

#include "engine/analyse_work.h"

/** Ask for what others have made of this photo, unless that was done; w->shared_photo and w->shared_embedded.
 */
void frt_shared_look(struct frt_work *w);
/** Let others have what was made here. */
void frt_shared_give_embedded(const struct frt_work *w, const struct frt_embedded *embedded);
void frt_shared_give_photo(const struct frt_work *w, const struct frt_photo *photo);

/** Embeddings as bytes, appended. */
void frt_embedded_write(const struct frt_embedded *embedded, size_t dim, struct frt_buf *out);
/** The opposite; NULL: it is none of that dimension. Owned. */
struct frt_embedded *frt_embedded_read(const void *bytes, size_t size, size_t dim);
/** Detections likewise. */
void frt_photo_write(const struct frt_photo *photo, struct frt_buf *out);
struct frt_photo *frt_photo_read(const void *bytes, size_t size);

#endif
