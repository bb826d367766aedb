#include "engine/faces.h"

#include "core/mem.h"

enum frt_status frt_faces_new(size_t n, size_t dim, struct frt_faces **out, struct frt_error *err)
{
    size_t floats = 0;
    struct frt_faces *faces = frt_alloc_zero(1, sizeof *faces);
    if (faces == NULL)
        return frt_fail_nomem(err, "faces");
    if (n > 0) {
        faces->faces = frt_alloc_zero(n, sizeof *faces->faces);
        if (faces->faces == NULL)
            goto nomem;
        if (dim > 0) {
            if (!frt_mul_size(n, dim, &floats))
                goto nomem;
            faces->embeddings = frt_alloc_zero(floats, sizeof(float));
            if (faces->embeddings == NULL)
                goto nomem;
        }
    }
    faces->n = n;
    faces->dim = dim;
    *out = faces;
    return FRT_OK;
nomem:
    frt_faces_free(faces);
    return frt_fail_nomem(err, "faces");
}

void frt_faces_free(struct frt_faces *faces)
{
    if (faces == NULL)
        return;
    frt_free(faces->faces);
    frt_free(faces->embeddings);
    frt_free(faces);
}

size_t frt_faces_count(const struct frt_faces *faces)
{
    return faces->n;
}

const struct frt_face *frt_faces_get(const struct frt_faces *faces, size_t i)
{
    return i < faces->n ? &faces->faces[i] : NULL;
}

const float *frt_faces_embedding(const struct frt_faces *faces, size_t i)
{
    return i < faces->n && faces->embeddings != NULL ? faces->embeddings + i * faces->dim : NULL;
}

struct frt_timing frt_faces_timing(const struct frt_faces *faces)
{
    return faces->timing;
}

enum frt_status frt_face_check_live(const struct frt_face *face, struct frt_error *err)
{
    if ((face->attributes & FRT_ATTRIBUTE_LIVENESS) == 0 || face->liveness.real)
        return FRT_OK;
    return frt_fail(err, FRT_ESPOOF, "no live face: spoof confidence %.3f",
                    (double)face->liveness.spoof_confidence);
}

void frt_timing_add(struct frt_timing *sum, const struct frt_timing *t)
{
    sum->decode_ms += t->decode_ms;
    sum->detect_ms += t->detect_ms;
    sum->align_ms += t->align_ms;
    sum->embed_ms += t->embed_ms;
    sum->attribute_ms += t->attribute_ms;
    sum->inference_ms += t->inference_ms;
    sum->wait_ms += t->wait_ms;
    /* of several photos, the one that a cache helped least is told */
    if (sum->cached == FRT_CACHED_NOT || (t->cached != FRT_CACHED_NOT && t->cached < sum->cached))
        sum->cached = t->cached;
    sum->total_ms += t->total_ms;
}

const char *frt_cached_name(enum frt_cached cached)
{
    static const char *const names[] = {"", "miss", "image", "embedding", "shared", "redis"};
    return names[cached];
}

struct frt_timing frt_timing_mean(const struct frt_timing *sum, size_t n)
{
    const double d = n > 0 ? (double)n : 1;
    return (struct frt_timing){.decode_ms = sum->decode_ms / d,
                               .detect_ms = sum->detect_ms / d,
                               .align_ms = sum->align_ms / d,
                               .embed_ms = sum->embed_ms / d,
                               .attribute_ms = sum->attribute_ms / d,
                               .inference_ms = sum->inference_ms / d,
                               .total_ms = sum->total_ms / d};
}
