#include "engine/photo.h"

#include <assert.h>
#include <string.h>

#include "core/mem.h"
#include "core/sha256.h"

void frt_photo_free(void *value)
{
    struct frt_photo *photo = value;
    if (photo == NULL)
        return;
    frt_free(photo->found);
    frt_free(photo->chips);
    frt_frame_deinit(&photo->coarse);
    frt_free(photo);
}

size_t frt_photo_bytes(const struct frt_photo *photo, size_t chip_bytes)
{
    return sizeof *photo + photo->n * sizeof *photo->found + photo->n_chips * chip_bytes +
           (photo->coarse.pixels == NULL ? 0 : photo->coarse.height_px * photo->coarse.stride_bytes);
}

void frt_embedded_free(void *value)
{
    struct frt_embedded *embedded = value;
    if (embedded == NULL)
        return;
    frt_free(embedded->found);
    frt_free(embedded->embeddings);
    frt_free(embedded);
}

size_t frt_embedded_bytes(const struct frt_embedded *embedded, size_t dim)
{
    return sizeof *embedded + embedded->n * sizeof *embedded->found +
           embedded->n_embedded * dim * sizeof *embedded->embeddings;
}

bool frt_photo_key(const struct frt_pack *pack, const struct frt_image *image,
                   const struct frt_detect_options *options, struct frt_cache_key *out)
{
    size_t size = 0;
    const void *bytes = frt_image_bytes(image, &size);
    if (bytes != NULL)
        frt_photo_key_of(pack, bytes, size, options, out);
    return bytes != NULL;
}

void frt_photo_key_of(const struct frt_pack *pack, const void *bytes, size_t size,
                      const struct frt_detect_options *options, struct frt_cache_key *out)
{
    struct {
        char pack_id[FRT_SHA256_HEX_SIZE], detector[FRT_SPEC_NAME_MAX];
        char min_confidence[sizeof(float)], min_size_px[sizeof(float)], opening[sizeof(uint64_t)], as_published;
    } asked; /* of char, so that no padding is hashed */
    memset(&asked, 0, sizeof asked);
    memcpy(asked.pack_id, pack->manifest->id, sizeof asked.pack_id);
    memcpy(asked.detector, pack->detector_name, strnlen(pack->detector_name, sizeof asked.detector));
    memcpy(asked.min_confidence, &options->min_confidence, sizeof asked.min_confidence);
    memcpy(asked.min_size_px, &options->min_size_px, sizeof asked.min_size_px);
    asked.as_published = (char)pack->as_published; /* a rewritten graph rounds differently */
    memcpy(asked.opening, &pack->opening, sizeof asked.opening);
    static_assert(sizeof out->bytes == FRT_SHA256_BYTES, "a key is a SHA-256");
    /* what was asked first: it has a fixed length, so no two questions run into one text */
    frt_sha256_two(&asked, sizeof asked, bytes, size, out->bytes);
}
