#include "engine/gallery_subjects.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "simd/dot.h"

enum { DEFAULT_SUBJECTS = 8192, DEFAULT_BYTES = 32 << 20, DEFAULT_TTL_MS = 3600000 };

enum frt_status gallery_subjects_new(const struct frt_cache_limits *limits, struct frt_cache **out,
                                     struct frt_error *err)
{
    const struct frt_cache_options options = {.name = "subject",
                                              .entries =
                                                  limits->entries == 0 ? DEFAULT_SUBJECTS : limits->entries,
                                              .bytes = limits->bytes == 0 ? DEFAULT_BYTES : limits->bytes,
                                              .ttl_ms = limits->ttl_ms == 0 ? DEFAULT_TTL_MS : limits->ttl_ms,
                                              .free_value = frt_free};
    return frt_cache_new(&options, out, err);
}

/* A bijection, so that different questions have different first words. Source: Steele, Lea, Flood, Fast
 * splittable pseudorandom number generators, 2014. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct frt_cache_key key_of(const struct frt_store_collection *row, uint32_t group)
{
    uint64_t words[FRT_CACHE_KEY_BYTES / sizeof(uint64_t)] = {0, row->key, group, row->seq};
    struct frt_cache_key key;
    words[0] = mix(mix(mix(row->key) ^ group) ^ row->seq);
    memcpy(key.bytes, words, sizeof key.bytes);
    return key;
}

/* ------------------------------------------------------------------ making */

struct making {
    struct frt_gallery *gallery;
    const struct frt_store_collection *row;
    uint32_t group;
};

/* The mean of the embeddings, of length 1; false when they cancel out. */
static bool fuse(const struct frt_store_face *faces, size_t n, uint32_t dim, float *out)
{
    memset(out, 0, dim * sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < dim; j++)
            out[j] += faces[i].embedding[j];
    const float norm = sqrtf(frt_dot_f32(out, out, dim));
    for (uint32_t j = 0; j < dim && norm > 0; j++)
        out[j] /= norm;
    return norm > 0;
}

static const char *copy_text(char **at, const char *text)
{
    const size_t size = strlen(text) + 1;
    const char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

/* One block: the subject, its rows, the fused mean, embeddings, texts. */
static struct gallery_subject *pack_subject(const struct frt_store_face *rows, size_t n, uint32_t dim,
                                            size_t *bytes)
{
    size_t texts = 0;
    const size_t vectors = n > 1 ? n + 1 : n;
    for (size_t i = 0; i < n; i++)
        texts += strlen(rows[i].face_id) + strlen(rows[i].subject) + strlen(rows[i].metadata) + 3;
    *bytes = sizeof(struct gallery_subject) + n * sizeof *rows + vectors * dim * sizeof(float) + texts;
    struct gallery_subject *subject = frt_alloc(*bytes);
    if (subject == NULL)
        return NULL;
    struct frt_store_face *faces = (struct frt_store_face *)(void *)(subject + 1);
    float *vector = (float *)(void *)(faces + n);
    char *text = (char *)(vector + vectors * dim);
    for (size_t i = 0; i < n; i++, vector += dim) {
        faces[i] = rows[i];
        faces[i].face_id = copy_text(&text, rows[i].face_id);
        faces[i].subject = copy_text(&text, rows[i].subject);
        faces[i].metadata = copy_text(&text, rows[i].metadata);
        memcpy(vector, rows[i].embedding, dim * sizeof *vector);
        faces[i].embedding = vector;
    }
    *subject = (struct gallery_subject){.faces = faces, .n = n};
    if (n > 1 && fuse(faces, n, dim, vector))
        subject->fused = vector;
    return subject;
}

static enum frt_status make(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    const struct making *making = arg;
    struct frt_store_page *page = NULL;
    size_t n = 0;
    enum frt_status status = frt_store_faces_of(making->gallery->store, making->row, making->group,
                                                GALLERY_SUBJECT_FACES, &page, err);
    if (status != FRT_OK)
        return status;
    const struct frt_store_face *rows = frt_store_page_faces(page, &n);
    *value = pack_subject(rows, n, making->row->dim, bytes);
    frt_store_page_free(page);
    return *value != NULL ? FRT_OK : frt_fail_nomem(err, "a subject");
}

/* ------------------------------------------------------------------- calls */

enum frt_status gallery_subject_get(struct frt_gallery *gallery, const struct frt_store_collection *row,
                                    uint32_t group, bool at_hand, struct gallery_subject_loan *out,
                                    struct frt_error *err)
{
    struct making making = {gallery, row, group};
    struct frt_cache_loan loan = {0};
    const struct frt_cache_key key = key_of(row, group);
    enum frt_status status = FRT_OK;
    if (!at_hand)
        status = frt_cache_fetch(gallery->subjects, &key, NULL, make, &making, &loan, NULL, err);
    else if (!frt_cache_get(gallery->subjects, &key, &loan))
        status = frt_fail(err, FRT_EUNAVAILABLE, "a subject is not at hand");
    if (status == FRT_OK)
        *out = (struct gallery_subject_loan){.subject = loan.value, .loan = loan};
    return status;
}

void gallery_subject_return(struct frt_gallery *gallery, struct gallery_subject_loan *loan)
{
    frt_cache_return(gallery->subjects, &loan->loan);
    loan->subject = NULL;
}

const struct frt_store_face *gallery_subject_face(const struct gallery_subject *subject, uint64_t key)
{
    size_t low = 0, high = subject->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (subject->faces[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < subject->n && subject->faces[low].key == key ? &subject->faces[low] : NULL;
}
