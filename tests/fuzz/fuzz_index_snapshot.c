/* rooms: index simd core */
/*
 * Snapshot files that somebody made up: the checksums are put right first, so that what lies behind them is
 * reached. Opened, searched, added to, saved: nothing may read or write outside, whatever the file says.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/checksum.h"
#include "core/mem.h"
#include "index/index.h"

enum { HEADER = 4096, CHUNK = 1 << 20, DIM_AT = 48, TABLE_AT = 88, MOST = 1 << 20 };

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

/* Sizes and sums as a writer would have them; everything else stays as it came. */
static void repair(uint8_t *file, size_t size)
{
    uint64_t table = 0;
    memcpy(&table, file + TABLE_AT, sizeof table);
    if (table < HEADER || table > size || table % 8 != 0)
        return;
    const uint64_t chunks = (table - HEADER + CHUNK - 1) / CHUNK;
    if (size - table != chunks * 8)
        return;
    for (uint64_t i = 0; i < chunks; i++) {
        const uint64_t first = HEADER + i * CHUNK, end = table - first < CHUNK ? table : first + CHUNK;
        put64(file + table + i * 8, frt_checksum64(file + first, (size_t)(end - first)));
    }
    put64(file + TABLE_AT + 8, chunks);
    put64(file + TABLE_AT + 16, frt_checksum64(file + table, (size_t)chunks * 8));
    put64(file + TABLE_AT + 24, size);
    put64(file + HEADER - 8, frt_checksum64(file, HEADER - 8));
}

static void use(struct frt_index *index, uint32_t dim)
{
    float *vector = frt_alloc_zero(dim, sizeof *vector);
    struct frt_index_hit hits[10];
    size_t n = 0;
    const uint64_t key = UINT64_C(1) << 40;
    const uint32_t group = 1;
    if (vector == NULL)
        return;
    vector[0] = 1;
    struct frt_index_query query = {.vectors = vector, .n = 1, .k = 10, .min_score = -1, .one_thread = true};
    enum frt_status status = frt_index_search(index, &query, hits, &n, NULL);
    query.exhaustive = true;
    if (status == FRT_OK)
        status = frt_index_search(index, &query, hits, &n, NULL);
    if (status == FRT_OK && n > 0)
        status = frt_index_remove(index, 1, &hits[0].key, NULL, NULL);
    if (status == FRT_OK)
        status = frt_index_add(index, 1, &key, &group, vector, NULL);
    (void)frt_index_stats_get(index);
    (void)status;
    frt_free(vector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    uint32_t dim = 0;
    if (size < HEADER || size > MOST)
        return 0;
    uint8_t *file = frt_alloc(size);
    if (file == NULL)
        return 0;
    memcpy(file, data, size);
    repair(file, size);
    memcpy(&dim, file + DIM_AT, sizeof dim);
    const int fd = memfd_create("snapshot", 0);
    if (fd >= 0 && write(fd, file, size) == (ssize_t)size && dim >= 8 && dim <= 1024) {
        struct frt_index_tag tag = {0};
        struct frt_index *index = NULL;
        const struct frt_index_options options = {.dim = dim, .threads = 1};
        memcpy(tag.store_id, file + 16, sizeof tag.store_id);
        memcpy(&tag.collection_key, file + 32, sizeof tag.collection_key);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (frt_index_load(&options, path, &tag, &index, NULL) == FRT_OK) {
            use(index, dim);
            frt_index_free(index);
        }
    }
    if (fd >= 0)
        (void)close(fd);
    frt_free(file);
    return 0;
}
