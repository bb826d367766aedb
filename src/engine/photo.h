/*
 * What the steps of a photo leave behind, as the caches keep it, and the key it is found by.
 *
 *     bytes ─ key ─┬─ photo:    detections, landmarks, aligned crops, the coarse frame
 *                  └─ embedded: detections, landmarks, embeddings
 *
 * Detections stand largest first, so that whoever wants at most k faces takes the first k: one entry serves
 * all, once its first ones reach as far.
 *
 * A key is SHA-256 over the photo's bytes and all that the result depends on: with anything weaker somebody
 * could make a photo that is answered with another person's embedding.
 *
 * Threading: immutable once in a cache.
 */
#ifndef FRT_ENGINE_PHOTO_H
#define FRT_ENGINE_PHOTO_H

#include "cache/cache.h"
#include "engine/pack.h"

struct frt_photo {
    struct frt_detection *found; /* [n], largest first */
    size_t n;
    size_t n_landmarks; /* the first ones that have them */
    uint8_t *chips;     /* u8[n_chips][chip_bytes], of the first ones */
    size_t n_chips;
    struct frt_frame coarse; /* pixels NULL: not kept */
    int64_t until_ns;        /* of a shared cache's (monotonic): not to be used from then on; 0 = no such end */
};
void frt_photo_free(void *value);
/** What it costs to keep. */
size_t frt_photo_bytes(const struct frt_photo *photo, size_t chip_bytes);

struct frt_embedded {
    struct frt_detection *found; /* [n], largest first; the first n_embedded with landmarks */
    size_t n;
    float *embeddings; /* f32[n_embedded][dim] */
    size_t n_embedded;
    int64_t until_ns; /* as a photo's */
};
void frt_embedded_free(void *value);
size_t frt_embedded_bytes(const struct frt_embedded *embedded, size_t dim);

/** Key of an encoded image under a pack and the options that detections depend on. False: pixels that the
 *  caller handed over, which are not cached. */
bool frt_photo_key(const struct frt_pack *pack, const struct frt_image *image,
                   const struct frt_detect_options *options, struct frt_cache_key *out);
/** As frt_photo_key, of the encoded bytes, whether they are an image or not. */
void frt_photo_key_of(const struct frt_pack *pack, const void *bytes, size_t size,
                      const struct frt_detect_options *options, struct frt_cache_key *out);

#endif
