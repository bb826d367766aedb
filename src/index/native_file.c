/*
 * Snapshots of the native engine. Every byte: docs/formats/index-v1.md.
 *
 *     header (4,096) │ arrays of one or two segments, each at a multiple of 64 │ checksum of each MiB of them
 *
 * Saving: segments without lists become one, in order, without what has been removed; a segment with lists is
 * written as it lies, what has been removed as gaps. The header is written last, to a file that gets its name
 * only when it is whole and on disk.
 *
 * Opening: the file is mapped, its pages are fetched and all checksums compared (MiB by MiB, by the whole
 * team), and whatever a damaged or made-up file could use to lead a search astray (places, orders, lists) is
 * checked. Vectors are used from the mapping.
 *
 * Threading: saving holds maintain_lock, and works on a view of the moment at which it began.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checksum.h"
#include "core/mem.h"
#include "index/native.h"

enum { HEADER_BYTES = 4096, CHUNK_BYTES = 1 << 20, ALIGNMENT = 64, MAX_SEGMENTS = 2, VERSION = 1 };
static const char magic[8] = {'F', 'R', 'T', 'I', 'N', 'D', 'E', 'X'};
static const uint32_t byte_order = 0x01020304;

struct file_segment {
    uint64_t offset; /* of the first array */
    uint32_t n, gaps, n_lists, has_order;
};

/* Written and read as it lies in memory: little-endian machines only, which byte_order makes sure of. */
struct file_header {
    char magic[8];
    uint32_t version, byte_order;
    uint8_t store_id[16];
    uint64_t collection_key, seq;
    uint32_t dim, code_bits;
    uint64_t max_key, trained_at;
    uint32_t probes, n_segments;
    double built_loss;
    uint64_t table_offset, n_chunks, table_checksum, file_bytes;
    struct file_segment segments[MAX_SEGMENTS];
};
_Static_assert(sizeof(struct file_header) == 120 + MAX_SEGMENTS * 24,
               "no padding: see docs/formats/index-v1.md");

/* ------------------------------------------------------------------ layout */

enum array {
    KEYS,
    GROUPS,
    FACTORS,
    ROW_SCALES,
    CODES,
    ROWS,
    ORDER,
    LIST_FIRST,
    CENTROIDS,
    CENTROID_SCALES,
    N_ARRAYS
};

/* Bytes of each array of a segment. false: they do not fit in memory. */
static bool array_bytes(const struct frt_encoder *e, const struct file_segment *s, size_t out[N_ARRAYS])
{
    const size_t blocks = ((size_t)s->n + FRT_CODE_BLOCK - 1) / FRT_CODE_BLOCK,
                 padded = blocks * FRT_CODE_BLOCK;
    const size_t lists = s->n_lists;
    const size_t counts[N_ARRAYS] = {
        s->n,  s->n, padded, s->n, blocks, s->n, s->has_order != 0 ? s->n : 0, lists > 0 ? lists + 1 : 0,
        lists, lists};
    const size_t sizes[N_ARRAYS] = {8, 4, 4, 4, e->block_bytes, e->row_bytes, 4, 4, e->row_bytes, 4};
    for (int i = 0; i < N_ARRAYS; i++) {
        size_t padded_bytes;
        if (!frt_mul_size(counts[i], sizes[i], &out[i]) || !frt_add_size(out[i], ALIGNMENT, &padded_bytes))
            return false;
    }
    return true;
}

static uint64_t aligned(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ----------------------------------------------------------------- writing */

struct out {
    int fd;
    char *buffer; /* of the present chunk */
    size_t used;
    uint64_t offset; /* in the file, of what comes next */
    uint64_t *sums;
    size_t n_sums, max_sums;
    int failed; /* errno */
};

static bool write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const char *at = bytes;
    while (size > 0) {
        const ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static void flush_chunk(struct out *out)
{
    if (out->failed == 0 && out->n_sums == out->max_sums) {
        const size_t max = out->max_sums == 0 ? 1024 : out->max_sums * 2;
        uint64_t *sums = frt_realloc(out->sums, max * sizeof *sums);
        if (sums == NULL)
            out->failed = ENOMEM;
        else {
            out->sums = sums;
            out->max_sums = max;
        }
    }
    if (out->failed != 0 || out->used == 0)
        return;
    out->sums[out->n_sums++] = frt_checksum64(out->buffer, out->used);
    if (!write_at(out->fd, out->buffer, out->used, out->offset - out->used))
        out->failed = errno;
    out->used = 0;
}

static void put(struct out *out, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0 && out->failed == 0) {
        const size_t n = size < CHUNK_BYTES - out->used ? size : CHUNK_BYTES - out->used;
        memcpy(out->buffer + out->used, at, n);
        out->used += n;
        out->offset += n;
        at += n;
        size -= n;
        if (out->used == CHUNK_BYTES)
            flush_chunk(out);
    }
}

static void put_zeros(struct out *out, size_t size)
{
    static const char zeros[ALIGNMENT];
    for (; size > 0; size -= size < ALIGNMENT ? size : ALIGNMENT)
        put(out, zeros, size < ALIGNMENT ? size : ALIGNMENT);
}

static void put_aligned(struct out *out)
{
    put_zeros(out, (size_t)(aligned(out->offset) - out->offset));
}

/* One vector of some segment. */
struct place {
    const struct frt_segment *segment;
    uint32_t at;
};

static int by_place_key(const void *a, const void *b, void *arg)
{
    uint32_t i, j;
    memcpy(&i, a, sizeof i);
    memcpy(&j, b, sizeof j);
    const uint64_t *keys = arg;
    if (keys[i] != keys[j])
        return keys[i] - 1 < keys[j] - 1 ? -1 : 1; /* key 0, a gap: last */
    return (i > j) - (i < j);
}

/* The arrays of places[0..n), in that order; a place without segment is a gap. keys u64[n]: theirs. */
static enum frt_status put_arrays(struct out *out, const struct frt_encoder *e, const struct place *places,
                                  const uint64_t *keys, uint32_t n, bool with_order, struct frt_error *err)
{
    static const uint64_t zero = 0;
    char block[FRT_CODE_BLOCK * (FRT_MAX_DIM / 8)];
    uint32_t *order = NULL;
    const size_t word = e->kind == FRT_CODE_BITS ? 8 : 4;
    put(out, keys, (size_t)n * sizeof *keys);
    put_aligned(out);
    for (uint32_t i = 0; i < n; i++)
        put(out, keys[i] != 0 ? &places[i].segment->groups[places[i].at] : (const void *)&zero,
            sizeof(uint32_t));
    put_aligned(out);
    for (uint32_t i = 0; i < n; i++)
        put(out, keys[i] != 0 ? &places[i].segment->factors[places[i].at] : (const void *)&zero, sizeof(float));
    put_zeros(out, (FRT_CODE_BLOCK - n % FRT_CODE_BLOCK) % FRT_CODE_BLOCK * sizeof(float));
    put_aligned(out);
    for (uint32_t i = 0; i < n; i++)
        put(out, keys[i] != 0 ? &places[i].segment->row_scales[places[i].at] : (const void *)&zero,
            sizeof(float));
    put_aligned(out);
    for (uint32_t i = 0; i < n; i += FRT_CODE_BLOCK) {
        memset(block, 0, e->block_bytes);
        for (uint32_t lane = 0; lane < FRT_CODE_BLOCK && i + lane < n; lane++) {
            const struct place *p = &places[i + lane];
            if (keys[i + lane] == 0)
                continue;
            const char *from = (const char *)p->segment->codes + p->at / FRT_CODE_BLOCK * e->block_bytes;
            for (uint32_t w = 0; w < e->words; w++)
                memcpy(block + (w * FRT_CODE_BLOCK + lane) * word,
                       from + (w * FRT_CODE_BLOCK + p->at % FRT_CODE_BLOCK) * word, word);
        }
        put(out, block, e->block_bytes);
    }
    put_aligned(out);
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i] != 0)
            put(out, places[i].segment->rows + (size_t)places[i].at * e->row_bytes, e->row_bytes);
        else
            put_zeros(out, e->row_bytes);
    }
    put_aligned(out);
    if (with_order) {
        order = frt_alloc_array(n, sizeof *order);
        if (order == NULL)
            return frt_fail_nomem(err, "the order of an index");
        for (uint32_t i = 0; i < n; i++)
            order[i] = i;
        uint64_t *sortable = frt_alloc_array(n, sizeof *sortable);
        if (sortable == NULL) {
            frt_free(order);
            return frt_fail_nomem(err, "the order of an index");
        }
        memcpy(sortable, keys, (size_t)n * sizeof *keys);
        qsort_r(order, n, sizeof *order, by_place_key, sortable);
        frt_free(sortable);
        put(out, order, (size_t)n * sizeof *order);
        frt_free(order);
    }
    put_aligned(out);
    return FRT_OK;
}

/* Live vectors of the view's segments without lists, or all places of one with lists (removed ones as gaps). */
static enum frt_status put_segment(struct out *out, const struct frt_encoder *e, const struct frt_view *view,
                                   const struct frt_segment *listed, struct file_segment *entry,
                                   struct frt_error *err)
{
    struct place *places = NULL;
    uint64_t *keys = NULL, total = 0, last = 0;
    bool ascending = true;
    uint32_t n = 0, gaps = 0;
    enum frt_status status = FRT_OK;
    for (uint32_t s = 0; s < view->n; s++) {
        if ((view->segments[s]->n_lists > 0) == (listed != NULL))
            total += frt_segment_count(view->segments[s]);
    }
    if (total > UINT32_MAX / 2)
        return frt_fail(err, FRT_EINVAL, "%llu vectors do not fit in a snapshot", (unsigned long long)total);
    places = frt_alloc_array((size_t)total + 1, sizeof *places);
    keys = frt_alloc_array((size_t)total + 1, sizeof *keys);
    if (places == NULL || keys == NULL) {
        status = frt_fail_nomem(err, "a snapshot");
        goto done;
    }
    for (uint32_t s = 0; s < view->n; s++) {
        const struct frt_segment *segment = view->segments[s];
        const uint32_t count = frt_segment_count(segment);
        if ((segment->n_lists > 0) != (listed != NULL))
            continue;
        for (uint32_t at = 0; at < count && n < total; at++) {
            const bool removed = frt_segment_is_removed(segment, at);
            if (removed && listed == NULL)
                continue;
            places[n] = (struct place){segment, at};
            keys[n] = removed ? 0 : segment->keys[at];
            gaps += removed;
            ascending = ascending && keys[n] > last;
            last = keys[n++];
        }
    }
    *entry = (struct file_segment){.offset = out->offset,
                                   .n = n,
                                   .gaps = gaps,
                                   .n_lists = listed != NULL ? listed->n_lists : 0,
                                   .has_order = !ascending};
    status = put_arrays(out, e, places, keys, n, !ascending, err);
    if (listed != NULL && status == FRT_OK) {
        put(out, listed->list_first, ((size_t)listed->n_lists + 1) * sizeof *listed->list_first);
        put_aligned(out);
        put(out, listed->centroids, (size_t)listed->n_lists * e->row_bytes);
        put_aligned(out);
        put(out, listed->centroid_scales, (size_t)listed->n_lists * sizeof *listed->centroid_scales);
        put_aligned(out);
    }
done:
    frt_free(places);
    frt_free(keys);
    return status;
}

static enum frt_status io_error(struct frt_error *err, const char *path, int why)
{
    if (why == ENOMEM)
        return frt_fail_nomem(err, "a snapshot");
    return frt_fail(err, why == ENOSPC || why == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", path,
                    strerror(why));
}

static enum frt_status write_file(struct frt_native *native, struct out *out, const struct frt_index_tag *tag,
                                  const char *path, struct frt_error *err)
{
    char page[HEADER_BYTES] = {0};
    struct file_header header = {.version = VERSION,
                                 .byte_order = byte_order,
                                 .collection_key = tag->collection_key,
                                 .seq = tag->seq,
                                 .dim = native->encoder.dim,
                                 .code_bits = native->encoder.kind};
    enum frt_status status = FRT_OK;
    struct frt_view *view = frt_native_view(native);
    memcpy(header.magic, magic, sizeof magic);
    memcpy(header.store_id, tag->store_id, sizeof header.store_id);
    (void)pthread_mutex_lock(&native->view_lock);
    header.probes = native->probes;
    header.built_loss = native->built_loss;
    header.trained_at = native->trained_at;
    (void)pthread_mutex_unlock(&native->view_lock);
    out->offset = HEADER_BYTES;
    for (uint32_t s = 0; s < view->n && status == FRT_OK; s++) {
        if (view->segments[s]->n_lists > 0 && header.n_segments == 0)
            status = put_segment(out, &native->encoder, view, view->segments[s],
                                 &header.segments[header.n_segments++], err);
    }
    if (status == FRT_OK)
        status = put_segment(out, &native->encoder, view, NULL, &header.segments[header.n_segments++], err);
    frt_view_release(view);
    if (status != FRT_OK)
        return status;
    flush_chunk(out);
    (void)pthread_mutex_lock(&native->write_lock);
    header.max_key = native->max_key;
    (void)pthread_mutex_unlock(&native->write_lock);
    header.table_offset = out->offset;
    header.n_chunks = out->n_sums;
    header.table_checksum = frt_checksum64(out->sums, out->n_sums * sizeof *out->sums);
    header.file_bytes = out->offset + out->n_sums * sizeof *out->sums;
    memcpy(page, &header, sizeof header);
    const uint64_t sum = frt_checksum64(page, HEADER_BYTES - sizeof sum);
    memcpy(page + HEADER_BYTES - sizeof sum, &sum, sizeof sum);
    if (out->failed == 0 && !(write_at(out->fd, out->sums, out->n_sums * sizeof *out->sums, out->offset) &&
                              write_at(out->fd, page, sizeof page, 0) && fsync(out->fd) == 0))
        out->failed = errno;
    return out->failed != 0 ? io_error(err, path, out->failed) : FRT_OK;
}

/* The folder's entry for the file is on disk, too. */
static bool sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    const int n = slash == NULL ? snprintf(folder, sizeof folder, ".")
                                : snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    if (n < 0 || (size_t)n >= sizeof folder)
        return false;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool good = fsync(fd) == 0;
    (void)close(fd);
    return good;
}

enum frt_status frt_native_save(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                                struct frt_error *err)
{
    struct frt_native *native = (struct frt_native *)(void *)index;
    struct out out = {.fd = -1};
    char temporary[4096];
    enum frt_status status;
    const int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return frt_fail(err, FRT_EINVAL, "the path of a snapshot is too long");
    (void)pthread_mutex_lock(&native->maintain_lock);
    out.buffer = frt_alloc(CHUNK_BYTES);
    if (out.buffer == NULL) {
        status = frt_fail_nomem(err, "a snapshot");
        goto done;
    }
    out.fd = mkstemp(temporary); /* mode 0600 */
    if (out.fd < 0) {
        status = io_error(err, path, errno);
        goto done;
    }
    status = write_file(native, &out, tag, path, err);
    if (status == FRT_OK && (rename(temporary, path) != 0 || !sync_folder(path)))
        status = io_error(err, path, errno);
    if (status != FRT_OK)
        (void)unlink(temporary);
done:
    if (out.fd >= 0)
        (void)close(out.fd);
    frt_free(out.buffer);
    frt_free(out.sums);
    (void)pthread_mutex_unlock(&native->maintain_lock);
    return status;
}

/* ----------------------------------------------------------------- opening */

struct check {
    const char *file;
    const uint64_t *sums;
    uint64_t table_offset, n_chunks;
    _Atomic uint64_t next;
    atomic_bool wrong;
};

static void check_chunks(void *arg, uint32_t worker)
{
    struct check *check = arg;
    (void)worker;
    while (!atomic_load_explicit(&check->wrong, memory_order_relaxed)) {
        const uint64_t i = atomic_fetch_add_explicit(&check->next, 1, memory_order_relaxed);
        if (i >= check->n_chunks)
            break;
        const uint64_t first = HEADER_BYTES + i * CHUNK_BYTES;
        const uint64_t end =
            check->table_offset - first < CHUNK_BYTES ? check->table_offset : first + CHUNK_BYTES;
        frt_mapping_fetch(check->file + first, (size_t)(end - first));
        if (frt_checksum64(check->file + first, (size_t)(end - first)) != check->sums[i])
            atomic_store(&check->wrong, true);
    }
}

static enum frt_status damaged(struct frt_error *err, const char *path, const char *what)
{
    return frt_fail(err, FRT_ESTORE_DAMAGED, "%s: %s; the index is built anew from the store", path, what);
}

static enum frt_status check_header(const struct frt_native *native, const char *file, uint64_t size,
                                    const struct frt_index_tag *tag, const char *path, struct file_header *out,
                                    struct frt_error *err)
{
    struct file_header h;
    uint64_t sum;
    if (size < HEADER_BYTES)
        return damaged(err, path, "too short for a snapshot");
    memcpy(&h, file, sizeof h);
    memcpy(&sum, file + HEADER_BYTES - sizeof sum, sizeof sum);
    if (memcmp(h.magic, magic, sizeof magic) != 0)
        return damaged(err, path, "no snapshot of an index");
    if (h.version != VERSION || h.byte_order != byte_order)
        return damaged(err, path, "a snapshot of another version or byte order");
    if (sum != frt_checksum64(file, HEADER_BYTES - sizeof sum))
        return damaged(err, path, "the header's checksum is wrong");
    if (memcmp(h.store_id, tag->store_id, sizeof h.store_id) != 0 || h.collection_key != tag->collection_key)
        return damaged(err, path, "the snapshot of another collection or store");
    if (h.dim != native->encoder.dim || h.code_bits != (uint32_t)native->encoder.kind)
        return damaged(err, path, "a snapshot of other dimensions or codes");
    if (h.file_bytes != size || h.table_offset < HEADER_BYTES || h.table_offset > size ||
        h.n_chunks != (h.table_offset - HEADER_BYTES + CHUNK_BYTES - 1) / CHUNK_BYTES ||
        size - h.table_offset != h.n_chunks * sizeof(uint64_t) || h.table_offset % sizeof(uint64_t) != 0)
        return damaged(err, path, "the file's size is wrong");
    if (h.n_segments < 1 || h.n_segments > MAX_SEGMENTS)
        return damaged(err, path, "the number of parts is wrong");
    *out = h;
    return FRT_OK;
}

/* Nothing in the arrays leads outside them. */
static bool sound(const struct frt_segment *s, uint32_t n)
{
    uint64_t last = 0;
    uint32_t gaps = 0;
    for (uint32_t i = 0; i < n; i++) {
        gaps += s->keys[i] == 0;
        if (s->order == NULL && s->keys[i] <= last)
            return false;
        last = s->keys[i];
    }
    if (gaps != s->gaps)
        return false;
    last = 0;
    for (uint32_t i = 0; s->order != NULL && i < n; i++) {
        if (s->order[i] >= n || (i < n - gaps ? s->keys[s->order[i]] <= last : s->keys[s->order[i]] != 0))
            return false;
        last = s->keys[s->order[i]];
    }
    for (uint32_t i = 0; i < s->n_lists; i++) {
        if (s->list_first[i] > s->list_first[i + 1] || s->list_first[i] % FRT_CODE_BLOCK != 0)
            return false;
    }
    return s->n_lists == 0 || (s->list_first[0] == 0 && s->list_first[s->n_lists] == n);
}

/* A segment over arrays of the mapping. */
static enum frt_status map_segment(const struct frt_encoder *e, char *file, uint64_t limit,
                                   const struct file_segment *entry, const char *path, struct frt_segment **out,
                                   struct frt_error *err)
{
    size_t bytes[N_ARRAYS];
    void *arrays[N_ARRAYS];
    uint64_t offset = entry->offset;
    if (entry->n > UINT32_MAX / 2 || entry->n_lists > entry->n || offset < HEADER_BYTES ||
        offset != aligned(offset) || offset > limit || !array_bytes(e, entry, bytes))
        return damaged(err, path, "a part's sizes are wrong");
    for (int i = 0; i < N_ARRAYS; i++) {
        if (bytes[i] > limit - offset || aligned(offset + bytes[i]) > limit)
            return damaged(err, path, "a part's sizes are wrong");
        arrays[i] = file + offset;
        offset = aligned(offset + bytes[i]);
    }
    struct frt_segment *s = frt_alloc_zero(1, sizeof *s);
    if (s == NULL)
        return frt_fail_nomem(err, "a part of an index");
    atomic_init(&s->refs, 1);
    const size_t words = (size_t)entry->n / 64 + 1;
    s->side_memory = frt_alloc_zero(words, sizeof(uint64_t));
    if (s->side_memory == NULL) {
        frt_segment_release(s);
        return frt_fail_nomem(err, "a part of an index");
    }
    s->removed = s->side_memory;
    s->keys = arrays[KEYS];
    s->groups = arrays[GROUPS];
    s->factors = arrays[FACTORS];
    s->row_scales = arrays[ROW_SCALES];
    s->codes = arrays[CODES];
    s->rows = arrays[ROWS];
    s->order = entry->has_order != 0 ? arrays[ORDER] : NULL;
    s->n_lists = entry->n_lists;
    s->list_first = arrays[LIST_FIRST];
    s->centroids = arrays[CENTROIDS];
    s->centroid_scales = arrays[CENTROID_SCALES];
    s->capacity = entry->n;
    s->gaps = entry->gaps;
    s->ascending = s->order == NULL;
    s->bytes = (size_t)(offset - entry->offset) + words * sizeof(uint64_t);
    s->sealed = true;
    atomic_init(&s->n, entry->n);
    if (!sound(s, entry->n)) {
        frt_segment_release(s);
        return damaged(err, path, "a part's keys or lists are wrong");
    }
    for (uint32_t i = 0; s->gaps > 0 && i < entry->n; i++) {
        if (s->keys[i] == 0)
            atomic_fetch_or_explicit(&s->removed[i / 64], UINT64_C(1) << (i % 64), memory_order_relaxed);
    }
    *out = s;
    return FRT_OK;
}

static enum frt_status adopt(struct frt_native *native, struct frt_mapping *mapping, const char *path,
                             struct frt_index_tag *tag, struct frt_error *err)
{
    struct file_header h = {.n_segments = 0};
    struct frt_segment *segments[MAX_SEGMENTS] = {NULL};
    struct frt_view *view = NULL;
    uint32_t n = 0;
    char *file = mapping->bytes;
    enum frt_status status = check_header(native, file, mapping->size, tag, path, &h, err);
    if (status != FRT_OK)
        return status;
    struct check check = {.file = file,
                          .sums = (const uint64_t *)(const void *)(file + h.table_offset),
                          .table_offset = h.table_offset,
                          .n_chunks = h.n_chunks};
    if (frt_checksum64(check.sums, (size_t)h.n_chunks * sizeof *check.sums) != h.table_checksum)
        return damaged(err, path, "the checksum of the checksums is wrong");
    frt_search_team_run(native->team, native->index.options.threads - 1, check_chunks, &check);
    if (atomic_load(&check.wrong))
        return damaged(err, path, "a checksum is wrong");
    for (uint32_t i = 0; i < h.n_segments && status == FRT_OK; i++) {
        if (h.segments[i].n == 0)
            continue;
        status = map_segment(&native->encoder, file, h.table_offset, &h.segments[i], path, &segments[n], err);
        if (status == FRT_OK && segments[n] != NULL)
            segments[n++]->mapping = frt_mapping_retain(mapping);
    }
    if (status == FRT_OK)
        status = frt_view_new(segments, n, &view, err);
    for (uint32_t i = 0; i < n; i++)
        frt_segment_release(segments[i]); /* the view has its own references */
    if (status != FRT_OK)
        return status;
    frt_native_publish(native, view);
    native->max_key = h.max_key;
    native->probes = h.probes;
    native->built_loss = h.built_loss;
    native->trained_at = h.trained_at;
    tag->seq = h.seq;
    return FRT_OK;
}

enum frt_status frt_native_load(const struct frt_index_options *options, const char *path,
                                struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err)
{
    struct frt_native *native = NULL;
    struct frt_mapping *mapping = NULL;
    struct stat st;
    enum frt_status status;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? frt_fail(err, FRT_ENOTFOUND, "%s: no such file", path)
                               : io_error(err, path, errno);
    if (fstat(fd, &st) != 0) {
        status = io_error(err, path, errno);
        goto done;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < HEADER_BYTES) {
        status = damaged(err, path, "too short for a snapshot");
        goto done;
    }
    status = frt_mapping_new(fd, (size_t)st.st_size, &mapping, err);
    if (status == FRT_OK)
        status = frt_native_make(options, &native, err);
    if (status == FRT_OK)
        status = adopt(native, mapping, path, tag, err);
    if (status == FRT_OK) {
        *out = &native->index;
        native = NULL;
    }
done:
    if (native != NULL)
        frt_index_free(&native->index);
    frt_mapping_release(mapping);
    (void)close(fd);
    return status;
}
