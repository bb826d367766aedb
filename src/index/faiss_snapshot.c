/*
 * Snapshots of the FAISS engine. Every byte: docs/formats/index-faiss-v1.md.
 *
 *     header │ part with lists │ flat part │ … in blocks of 1 MiB, each followed by the checksum of all so far
 *
 * FAISS's own file format is not used: faiss::read_index trusts what it reads. Here every size is compared with
 * what is left of the file before memory is taken, and every row must be there once.
 *
 * Threading: saving holds maintain_lock, and works on a view of the moment at which it began.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checksum.h"
#include "core/mem.h"
#include "index/faiss_engine.h"

/* A block: the checksum of the block before, then up to PAYLOAD bytes of content; on disk the content, then the
 * checksum of both. So a block that is missing or elsewhere is found out, too. */
enum { PAYLOAD = 1 << 20, SUM = sizeof(uint64_t), VERSION = 1, MAX_LISTS = 65536 };
static const char magic[8] = {'F', 'R', 'T', 'F', 'A', 'I', 'S', 'S'};
static const uint32_t byte_order = 0x01020304;

/* Written and read as it lies in memory: little-endian machines only, which byte_order makes sure of. */
struct file_header {
    char magic[8];
    uint32_t version, byte_order;
    uint8_t store_id[16];
    uint64_t collection_key, seq;
    uint64_t content_bytes; /* header included, checksums not */
    uint64_t max_key, trained_at;
    double built_loss;
    uint32_t dim, n_parts;
};
_Static_assert(sizeof(struct file_header) == 88, "no padding: see docs/formats/index-faiss-v1.md");
struct part_header {
    uint32_t n, n_lists; /* 0 = flat */
};

static enum frt_status io_error(struct frt_error *err, const char *path, int why)
{
    return frt_fail(err, why == ENOSPC || why == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", path,
                    strerror(why));
}

/* ----------------------------------------------------------------- writing */

struct out {
    int fd;
    char *block; /* SUM + PAYLOAD + SUM */
    size_t used; /* of the payload */
    int failed;  /* errno */
    /* of the part that is written */
    const struct frt_faiss_gather *gather;
};

static void flush(struct out *out)
{
    const uint64_t sum = frt_checksum64(out->block, SUM + out->used);
    memcpy(out->block + SUM + out->used, &sum, sizeof sum);
    const char *at = out->block + SUM;
    for (size_t size = out->used + SUM; size > 0 && out->failed == 0;) {
        const ssize_t n = write(out->fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out->failed = n < 0 ? errno : EIO;
            break;
        }
        at += n;
        size -= (size_t)n;
    }
    memcpy(out->block, &sum, sizeof sum);
    out->used = 0;
}

static void put(struct out *out, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0 && out->failed == 0) {
        const size_t n = size < PAYLOAD - out->used ? size : PAYLOAD - out->used;
        memcpy(out->block + SUM + out->used, at, n);
        out->used += n;
        at += n;
        size -= n;
        if (out->used == PAYLOAD)
            flush(out);
    }
}

static bool put_row(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    struct out *out = arg;
    (void)list;
    put(out, &row, sizeof row);
    put(out, vector, out->gather->dim * sizeof *vector);
    return out->failed == 0;
}

/* Sizes of the lists as they will be: only what stands. */
static bool count_row(void *arg, uint32_t row, uint32_t list, const float *vector)
{
    uint32_t *sizes = arg;
    (void)row;
    (void)vector;
    sizes[list]++;
    return true;
}

static enum frt_status put_part(struct out *out, const struct frt_faiss_gather *gather,
                                const struct frt_faiss_part *lists, struct frt_error *err)
{
    const struct part_header h = {gather->n, lists != NULL ? lists->n_lists : 0};
    out->gather = gather;
    put(out, &h, sizeof h);
    put(out, gather->keys, gather->n * sizeof *gather->keys);
    put(out, gather->groups, gather->n * sizeof *gather->groups);
    if (lists != NULL) {
        uint32_t *sizes = frt_alloc_zero(lists->n_lists, sizeof *sizes);
        if (sizes == NULL)
            return frt_fail_nomem(err, "a snapshot");
        (void)frt_faiss_gather_visit(gather, count_row, sizes);
        put(out, lists->module->ivf_centroids(lists->ivf),
            (size_t)lists->n_lists * gather->dim * sizeof(float));
        put(out, sizes, lists->n_lists * sizeof *sizes);
        frt_free(sizes);
    }
    (void)frt_faiss_gather_visit(gather, put_row, out);
    return FRT_OK;
}

static uint64_t part_bytes(const struct frt_faiss_gather *gather, const struct frt_faiss_part *lists)
{
    const uint64_t vector = gather->dim * sizeof(float);
    return sizeof(struct part_header) + gather->n * (12 + 4 + vector) +
           (lists != NULL ? lists->n_lists * (vector + 4) : 0);
}

/* The folder's entry for the file is on disk, too. */
static bool sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    const int n = slash == NULL ? snprintf(folder, sizeof folder, ".")
                                : snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    const int fd = n < 0 || (size_t)n >= sizeof folder ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool good = fsync(fd) == 0;
    (void)close(fd);
    return good;
}

static enum frt_status write_content(struct frt_faiss_engine *engine, struct out *out,
                                     const struct frt_index_tag *tag, struct frt_error *err)
{
    struct frt_faiss_gather listed = {0}, flat = {0};
    const struct frt_faiss_part *lists = NULL;
    struct file_header h = {.version = VERSION,
                            .byte_order = byte_order,
                            .collection_key = tag->collection_key,
                            .seq = tag->seq,
                            .dim = engine->index.options.dim,
                            .n_parts = 1};
    (void)pthread_mutex_lock(&engine->write_lock);
    struct frt_faiss_view *view = frt_faiss_view_get(engine);
    enum frt_status status = frt_faiss_gather_init(&flat, view, h.dim, FRT_FAISS_ONLY_FLAT, err);
    for (uint32_t i = 0; i < view->n; i++)
        lists = view->parts[i]->ivf != NULL ? view->parts[i] : lists;
    if (status == FRT_OK && lists != NULL)
        status = frt_faiss_gather_init(&listed, view, h.dim, FRT_FAISS_ONLY_IVF, err);
    h.max_key = engine->max_key;
    (void)pthread_mutex_unlock(&engine->write_lock);
    if (status != FRT_OK)
        goto done;
    (void)pthread_mutex_lock(&engine->view_lock);
    h.built_loss = engine->built_loss;
    h.trained_at = engine->trained_at;
    (void)pthread_mutex_unlock(&engine->view_lock);
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.store_id, tag->store_id, sizeof h.store_id);
    h.content_bytes = sizeof h + part_bytes(&flat, NULL);
    if (lists != NULL) {
        h.n_parts = 2;
        h.content_bytes += part_bytes(&listed, lists);
    }
    put(out, &h, sizeof h);
    if (lists != NULL)
        status = put_part(out, &listed, lists, err);
    if (status == FRT_OK)
        status = put_part(out, &flat, NULL, err);
    if (status == FRT_OK && out->used > 0)
        flush(out);
done:
    out->gather = NULL;
    frt_faiss_gather_deinit(&listed);
    frt_faiss_gather_deinit(&flat);
    frt_faiss_view_release(view);
    return status;
}

enum frt_status frt_faiss_save(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                               struct frt_error *err)
{
    struct frt_faiss_engine *engine = (struct frt_faiss_engine *)(void *)index;
    struct out out = {.fd = -1};
    char temporary[4096];
    enum frt_status status;
    const int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return frt_fail(err, FRT_EINVAL, "the path of a snapshot is too long");
    (void)pthread_mutex_lock(&engine->maintain_lock);
    out.block = frt_alloc_zero(1, SUM + PAYLOAD + SUM);
    if (out.block == NULL) {
        status = frt_fail_nomem(err, "a snapshot");
        goto done;
    }
    out.fd = mkstemp(temporary); /* mode 0600 */
    if (out.fd < 0) {
        status = io_error(err, path, errno);
        goto done;
    }
    status = write_content(engine, &out, tag, err);
    if (status == FRT_OK && out.failed == 0 && fsync(out.fd) != 0)
        out.failed = errno;
    if (status == FRT_OK && out.failed != 0)
        status = io_error(err, path, out.failed);
    if (status == FRT_OK && (rename(temporary, path) != 0 || !sync_folder(path)))
        status = io_error(err, path, errno);
    if (status != FRT_OK)
        (void)unlink(temporary);
done:
    if (out.fd >= 0)
        (void)close(out.fd);
    frt_free(out.block);
    (void)pthread_mutex_unlock(&engine->maintain_lock);
    return status;
}

/* ----------------------------------------------------------------- opening */

struct in {
    int fd;
    const char *path;
    char *block;         /* as in writing */
    size_t used, filled; /* of the payload */
    uint64_t left;       /* content that has not been handed out */
    uint64_t on_disk;    /* bytes that have not been read */
    enum frt_status status;
    struct frt_error *err;
};

static void damaged(struct in *in, const char *what)
{
    if (in->status == FRT_OK)
        in->status = frt_fail(in->err, FRT_ESTORE_DAMAGED, "%s: %s; the index is built anew from the store",
                              in->path, what);
}

/* The next block, checked. */
static void fill(struct in *in)
{
    if (in->on_disk <= SUM) {
        damaged(in, "the file is cut short");
        return;
    }
    const size_t want = in->on_disk < PAYLOAD + SUM ? (size_t)in->on_disk : PAYLOAD + SUM;
    for (size_t have = 0; have < want;) {
        const ssize_t n = read(in->fd, in->block + SUM + have, want - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            in->status = io_error(in->err, in->path, errno);
        else if (n == 0)
            damaged(in, "the file is cut short");
        if (in->status != FRT_OK)
            return;
        have += (size_t)n;
    }
    uint64_t sum;
    in->filled = want - SUM;
    in->used = 0;
    in->on_disk -= want;
    memcpy(&sum, in->block + SUM + in->filled, sizeof sum);
    if (sum != frt_checksum64(in->block, SUM + in->filled)) {
        damaged(in, "a checksum is wrong");
        return;
    }
    memcpy(in->block, &sum, sizeof sum);
}

/* Content, in the order of the file; zeros after a failure. */
static void get(struct in *in, void *out, size_t size)
{
    char *to = out;
    if (in->status == FRT_OK && size > in->left)
        damaged(in, "a part's sizes are wrong");
    while (size > 0 && in->status == FRT_OK) {
        if (in->used == in->filled)
            fill(in);
        if (in->status != FRT_OK)
            break;
        const size_t n = size < in->filled - in->used ? size : in->filled - in->used;
        memcpy(to, in->block + SUM + in->used, n);
        in->used += n;
        in->left -= n;
        to += n;
        size -= n;
    }
    if (size > 0)
        memset(to, 0, size);
}

static void get_header(struct in *in, const struct frt_index_tag *tag, uint32_t dim, uint64_t file_bytes,
                       struct file_header *h)
{
    in->left = sizeof *h;
    get(in, h, sizeof *h);
    if (in->status != FRT_OK)
        return;
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        damaged(in, "no snapshot of a FAISS index");
    else if (h->version != VERSION || h->byte_order != byte_order)
        damaged(in, "a snapshot of another version or byte order");
    else if (memcmp(h->store_id, tag->store_id, sizeof h->store_id) != 0 ||
             h->collection_key != tag->collection_key)
        damaged(in, "the snapshot of another collection or store");
    else if (h->dim != dim)
        damaged(in, "a snapshot of other dimensions");
    else if (h->content_bytes < sizeof *h || h->content_bytes > file_bytes ||
             file_bytes - h->content_bytes != (h->content_bytes + PAYLOAD - 1) / PAYLOAD * SUM)
        damaged(in, "the file's size is wrong");
    else if (h->n_parts < 1 || h->n_parts > 2)
        damaged(in, "the number of parts is wrong");
    else
        in->left = h->content_bytes - sizeof *h;
}

/* Rows with their vectors: `count` of them, into a list or, flat, where they belong. */
static enum frt_status get_rows(struct in *in, struct frt_faiss_part *part, uint32_t dim, uint32_t list,
                                uint32_t count, float *vector, struct frt_error *err)
{
    struct frt_faiss_failure why;
    if (part->ivf != NULL && !part->module->ivf_reserve(part->ivf, list, count, &why))
        return frt_faiss_failed(err, &why);
    for (uint32_t i = 0; i < count && in->status == FRT_OK; i++) {
        uint32_t row;
        get(in, &row, sizeof row);
        get(in, vector, dim * sizeof *vector);
        if (in->status != FRT_OK)
            break;
        /* the bits serve as a list of the rows that came */
        if (row >= part->capacity || frt_faiss_part_removed(part, row)) {
            damaged(in, "a part's rows are wrong");
            break;
        }
        atomic_fetch_or_explicit(&part->removed[row / 64], UINT64_C(1) << (row % 64), memory_order_relaxed);
        const int64_t id = row;
        if (part->vectors != NULL)
            memcpy(part->vectors + (size_t)row * dim, vector, dim * sizeof *vector);
        else if (!part->module->ivf_append(part->ivf, list, 1, &id, vector, &why))
            return frt_faiss_failed(err, &why);
    }
    return in->status;
}

static enum frt_status get_part(struct in *in, const struct frt_faiss_engine *engine,
                                struct frt_faiss_part **out, struct frt_error *err)
{
    struct frt_faiss_part *part = NULL;
    struct frt_faiss_failure why;
    struct part_header h;
    float *floats = NULL, *vector = NULL;
    uint32_t *sizes = NULL;
    const uint32_t dim = engine->index.options.dim;
    const uint64_t vector_bytes = dim * sizeof(float);
    enum frt_status status = FRT_OK;
    get(in, &h, sizeof h);
    if (in->status == FRT_OK && (h.n_lists > MAX_LISTS || h.n > UINT32_MAX / 2 ||
                                 h.n * (16 + vector_bytes) + h.n_lists * (vector_bytes + 4) > in->left))
        damaged(in, "a part's sizes are wrong");
    if (in->status != FRT_OK)
        return in->status;
    status = frt_faiss_part_new(engine, h.n, h.n_lists == 0, &part, err);
    if (status != FRT_OK)
        return status;
    part->sealed = true;
    part->n_lists = h.n_lists;
    vector = frt_alloc_array(dim, sizeof *vector);
    sizes = frt_alloc_array((size_t)h.n_lists + 1, sizeof *sizes);
    floats = frt_alloc_array((size_t)h.n_lists * dim + 1, sizeof *floats);
    if (vector == NULL || sizes == NULL || floats == NULL) {
        status = frt_fail_nomem(err, "a snapshot");
        goto done;
    }
    get(in, part->keys, h.n * sizeof *part->keys);
    get(in, part->groups, h.n * sizeof *part->groups);
    get(in, floats, h.n_lists * vector_bytes);
    get(in, sizes, h.n_lists * sizeof *sizes);
    uint64_t last = 0, sum = 0;
    for (uint32_t i = 0; i < h.n && in->status == FRT_OK; i++) {
        if (part->keys[i] <= last)
            damaged(in, "a part's keys are wrong");
        last = part->keys[i];
    }
    for (uint32_t i = 0; i < h.n_lists; i++)
        sum += sizes[i];
    if (h.n_lists > 0 && sum != h.n)
        damaged(in, "a part's lists are wrong");
    status = in->status;
    if (status != FRT_OK)
        goto done;
    if (h.n_lists > 0 && !engine->module->ivf_new(dim, h.n_lists, floats, &part->ivf, &why)) {
        status = frt_faiss_failed(err, &why);
        goto done;
    }
    for (uint32_t list = 0; list < h.n_lists && status == FRT_OK; list++)
        status = get_rows(in, part, dim, list, sizes[list], vector, err);
    if (h.n_lists == 0)
        status = get_rows(in, part, dim, 0, h.n, vector, err);
    if (status != FRT_OK)
        goto done;
    memset(part->removed_memory, 0, ((size_t)h.n / 64 + 1) * sizeof(uint64_t));
    if (part->ivf != NULL)
        status = frt_faiss_part_list(part, err);
    if (status != FRT_OK)
        goto done;
    atomic_init(&part->n, h.n);
    *out = part;
    part = NULL;
done:
    frt_faiss_part_release(part);
    frt_free(vector);
    frt_free(sizes);
    frt_free(floats);
    return status;
}

enum frt_status frt_faiss_open(const struct frt_index_options *options, const char *path,
                               struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err)
{
    struct frt_faiss_engine *engine = NULL;
    struct frt_faiss_part *parts[2] = {NULL, NULL};
    struct frt_faiss_view *view = NULL;
    struct file_header h;
    struct stat st;
    struct in in = {.path = path, .err = err, .fd = -1};
    enum frt_status status = frt_faiss_make(options, &engine, err);
    if (status != FRT_OK)
        return status;
    in.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in.fd < 0 || fstat(in.fd, &st) != 0) {
        status = errno == ENOENT ? frt_fail(err, FRT_ENOTFOUND, "%s: no such file", path)
                                 : io_error(err, path, errno);
        goto done;
    }
    in.block = frt_alloc_zero(1, SUM + PAYLOAD + SUM);
    if (in.block == NULL) {
        status = frt_fail_nomem(err, "a snapshot");
        goto done;
    }
    in.on_disk = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    get_header(&in, tag, options->dim, in.on_disk, &h);
    status = in.status;
    uint32_t n = 0;
    for (uint32_t i = 0; status == FRT_OK && i < h.n_parts; i++)
        status = get_part(&in, engine, &parts[i], err);
    if (status == FRT_OK && in.left != 0) {
        damaged(&in, "the file's size is wrong");
        status = in.status;
    }
    for (uint32_t i = 0; status == FRT_OK && i < h.n_parts; i++) {
        if (parts[i] == NULL || parts[i]->capacity == 0)
            continue; /* an empty one */
        struct frt_faiss_part *empty = parts[n];
        parts[n++] = parts[i];
        if (parts[i] != empty)
            parts[i] = empty;
    }
    if (status == FRT_OK)
        status = frt_faiss_view_new(parts, n, &view, err);
    if (status != FRT_OK)
        goto done;
    frt_faiss_publish(engine, view);
    engine->max_key = h.max_key;
    engine->trained_at = h.trained_at;
    engine->built_loss = h.built_loss;
    tag->seq = h.seq;
    *out = &engine->index;
    engine = NULL;
done:
    frt_faiss_part_release(parts[0]); /* the view has its own references */
    frt_faiss_part_release(parts[1]);
    if (engine != NULL)
        frt_index_free(&engine->index);
    if (in.fd >= 0)
        (void)close(in.fd);
    frt_free(in.block);
    return status;
}
