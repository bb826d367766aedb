/* rooms: cache engine store index model vision infer_remote infer net image simd metrics core */
/*
 * What Redis gives back, and the address that a setting names: any bytes are read or refused. The first byte
 * says as what: a sealed value (whose key is known here, so that seeds get through), embeddings, detections, or
 * an address. What was read keeps its promises: embeddings of length 1, finite numbers, and the same bytes when
 * it is written again.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cache/redis_address.h"
#include "cache/shared_value.h"
#include "core/mem.h"
#include "engine/shared_photo.h"

enum { DIM = 4, MAX_TEXT = 600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_found(const struct frt_detection *found, size_t n, size_t n_ready)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(found[i].box.x) || !(found[i].score >= 0 && found[i].score <= 1) ||
            (i < n_ready && !found[i].has_landmarks))
            abort();
}

static void embedded(const uint8_t *data, size_t size)
{
    struct frt_embedded *e = frt_embedded_read(data, size, DIM);
    struct frt_buf again;
    if (e == NULL)
        return;
    check_found(e->found, e->n, e->n_embedded);
    for (size_t i = 0; i < e->n_embedded; i++) {
        double sum = 0;
        for (size_t k = 0; k < DIM; k++)
            sum += (double)e->embeddings[i * DIM + k] * (double)e->embeddings[i * DIM + k];
        if (!(fabs(sqrt(sum) - 1) < 0.0011))
            abort();
    }
    frt_buf_init(&again, 1 << 20);
    frt_embedded_write(e, DIM, &again);
    if (frt_buf_status(&again) != FRT_OK || again.size != size)
        abort();
    frt_buf_deinit(&again);
    frt_embedded_free(e);
}

static void photo(const uint8_t *data, size_t size)
{
    struct frt_photo *p = frt_photo_read(data, size);
    struct frt_buf again;
    if (p == NULL)
        return;
    check_found(p->found, p->n, p->n_landmarks);
    frt_buf_init(&again, 1 << 20);
    frt_photo_write(p, &again);
    if (frt_buf_status(&again) != FRT_OK || again.size != size)
        abort();
    frt_buf_deinit(&again);
    frt_photo_free(p);
}

/* Its time is taken from the value, so that an old seed is good for ever. */
static void sealed(const uint8_t *data, size_t size)
{
    static const uint8_t secret[32] = {7};
    struct frt_shared_keys keys;
    int64_t now = 0, left = 0;
    uint8_t *out = frt_alloc(size + 1);
    if (out == NULL)
        return;
    for (int i = 0; size >= 20 && i < 8; i++)
        now |= (int64_t)((uint64_t)data[12 + i] << 8 * i);
    frt_shared_keys_derive(secret, &keys);
    if (frt_shared_unseal(&keys, "frt:1:{fuzz}:e", now > INT64_MIN + 9 ? now - 9 : now, 60000, data, size, out,
                          &left) == FRT_SHARED_GOOD) {
        if (left != 9)
            abort();
        embedded(out, size - FRT_SHARED_EXTRA_BYTES);
    }
    frt_free(out);
}

static void address(const uint8_t *data, size_t size)
{
    char text[MAX_TEXT], shown[FRT_REDIS_TEXT_SIZE];
    struct frt_redis_address a;
    const size_t n = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, n);
    text[n] = '\0';
    if (frt_redis_address_parse(text, &a, NULL) != FRT_OK)
        return;
    if (a.n_hosts == 0 || a.n_hosts > FRT_REDIS_MAX_HOSTS || a.hosts[0].name[0] == '\0')
        abort();
    (void)frt_redis_address_text(&a, shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const uint8_t *, size_t) = {sealed, embedded, photo, address};
    if (size > 0)
        kinds[data[0] % 4](data + 1, size - 1);
    return 0;
}
