/* From the store to an index and back to disk. Design: gallery_state.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/trace.h"
#include "engine/gallery_state.h"

enum {
    BATCH = 1000,         /* changes applied at once */
    SAVE_FACES = 5000,    /* smaller collections are read from the store as fast */
    SAVE_CHANGES = 20000, /* so many changes, and a tenth of the faces, are worth a snapshot */
    SAVE_QUIET_S = 60     /* as is any change after so long without one */
};

/* ----------------------------------------------------------------- entries */

struct gallery_entry *gallery_entry_find(struct frt_gallery *gallery, uint64_t key)
{
    (void)pthread_mutex_lock(&gallery->lock);
    struct gallery_entry *entry = gallery->entries;
    while (entry != NULL && entry->key != key)
        entry = entry->next;
    if (entry != NULL) /* relaxed: the list holds a reference */
        atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&gallery->lock);
    return entry;
}

void gallery_entry_release(struct gallery_entry *entry)
{
    /* acq_rel: the last one sees what all others did */
    if (entry == NULL || atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) != 1)
        return;
    gallery_index_release(entry->current);
    (void)pthread_mutex_destroy(&entry->turn);
    (void)pthread_mutex_destroy(&entry->lock);
    frt_free(entry);
}

enum frt_status gallery_entry_get(struct frt_gallery *gallery, uint64_t key, uint32_t dim,
                                  struct gallery_entry **out, struct frt_error *err)
{
    struct gallery_entry *fresh = frt_alloc_zero(1, sizeof *fresh);
    if (fresh == NULL)
        return frt_fail_nomem(err, "an index");
    fresh->key = key;
    fresh->dim = dim;
    atomic_init(&fresh->refs, 2); /* the list's and the caller's */
    (void)pthread_mutex_init(&fresh->turn, NULL);
    (void)pthread_mutex_init(&fresh->lock, NULL);
    (void)pthread_mutex_lock(&gallery->lock);
    struct gallery_entry *entry = gallery->entries;
    while (entry != NULL && entry->key != key)
        entry = entry->next;
    if (entry == NULL) {
        fresh->next = gallery->entries;
        gallery->entries = fresh;
        entry = fresh;
        fresh = NULL;
    } else {
        atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&gallery->lock);
    if (fresh != NULL) {
        atomic_store(&fresh->refs, 1);
        gallery_entry_release(fresh);
    }
    *out = entry;
    return FRT_OK;
}

size_t gallery_entries(struct frt_gallery *gallery, struct gallery_entry **out, size_t max)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&gallery->lock);
    for (struct gallery_entry *e = gallery->entries; e != NULL && n < max; e = e->next) {
        atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
        out[n++] = e;
    }
    (void)pthread_mutex_unlock(&gallery->lock);
    return n;
}

/* ------------------------------------------------------------------- index */

static void snapshot_path(const struct frt_gallery *gallery, uint64_t key, char out[GALLERY_PATH_MAX + 40])
{
    (void)snprintf(out, GALLERY_PATH_MAX + 40, "%s/%llu.%s", gallery->index_folder, (unsigned long long)key,
                   gallery->engine == FRT_INDEX_FAISS ? "faiss" : "frtx");
}

static struct frt_index_options index_options(const struct frt_gallery *gallery,
                                              const struct gallery_entry *entry)
{
    return (struct frt_index_options){.engine = gallery->engine,
                                      .dim = entry->dim,
                                      .threads = gallery->threads,
                                      .ivf_from = atomic_load(&entry->exact_only) ? UINT64_MAX : 0};
}

static enum frt_status index_new(const struct frt_gallery *gallery, const struct gallery_entry *entry,
                                 struct gallery_index **out, struct frt_error *err)
{
    const struct frt_index_options options = index_options(gallery, entry);
    struct gallery_index *index = frt_alloc_zero(1, sizeof *index);
    if (index == NULL)
        return frt_fail_nomem(err, "an index");
    atomic_init(&index->refs, 1);
    enum frt_status status = frt_index_new(&options, &index->index, err);
    if (status != FRT_OK) {
        frt_free(index);
        return status;
    }
    *out = index;
    return FRT_OK;
}

void gallery_index_release(struct gallery_index *index)
{
    /* acq_rel: the last one sees what all others did */
    if (index == NULL || atomic_fetch_sub_explicit(&index->refs, 1, memory_order_acq_rel) != 1)
        return;
    frt_index_free(index->index);
    frt_free(index);
}

struct gallery_index *gallery_index_peek(struct gallery_entry *entry)
{
    (void)pthread_mutex_lock(&entry->lock);
    struct gallery_index *index = entry->current;
    if (index != NULL) /* relaxed: the entry holds a reference */
        atomic_fetch_add_explicit(&index->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&entry->lock);
    return index;
}

/* CONSUMES index. */
static void set_current(struct gallery_entry *entry, struct gallery_index *index)
{
    (void)pthread_mutex_lock(&entry->lock);
    struct gallery_index *before = entry->current;
    entry->current = index;
    (void)pthread_mutex_unlock(&entry->lock);
    gallery_index_release(before);
}

/* The snapshot on disk, or an empty index. A damaged snapshot is told of and not used. */
static enum frt_status open_index(struct frt_gallery *gallery, struct gallery_entry *entry,
                                  struct gallery_index **out, struct frt_error *err)
{
    char path[GALLERY_PATH_MAX + 40];
    const struct frt_index_options options = index_options(gallery, entry);
    struct frt_index_tag tag = {.collection_key = entry->key};
    struct frt_error why = {0};
    struct frt_index *loaded = NULL;
    struct gallery_index *index = NULL;
    memcpy(tag.store_id, gallery->store_id, sizeof tag.store_id);
    snapshot_path(gallery, entry->key, path);
    enum frt_status status = frt_index_load(&options, path, &tag, &loaded, &why);
    if (status == FRT_ENOTFOUND)
        return index_new(gallery, entry, out, err);
    if (status != FRT_OK) {
        frt_log(FRT_LOG_WARN, "index snapshot not used", FRT_LOG_STR("why", why.text), FRT_LOG_END);
        return index_new(gallery, entry, out, err);
    }
    index = frt_alloc_zero(1, sizeof *index);
    if (index == NULL) {
        frt_index_free(loaded);
        return frt_fail_nomem(err, "an index");
    }
    atomic_init(&index->refs, 1);
    index->index = loaded;
    index->saved_seq = tag.seq;
    atomic_init(&index->seq, tag.seq);
    *out = index;
    return FRT_OK;
}

/* Apply one page of changes: deletions, and additions as "put", so that a change may come twice. */
static enum frt_status apply(struct gallery_index *index, const struct frt_store_change *rows, size_t n,
                             uint32_t dim, struct frt_error *err)
{
    uint64_t *keys = frt_alloc_array(n, sizeof *keys), *added = frt_alloc_array(n, sizeof *added);
    uint32_t *groups = frt_alloc_array(n, sizeof *groups);
    float *vectors = frt_alloc_array(n, dim * sizeof *vectors);
    enum frt_status status = FRT_OK;
    size_t n_added = 0;
    if (keys == NULL || added == NULL || groups == NULL || vectors == NULL) {
        status = frt_fail_nomem(err, "changes of an index");
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = rows[i].key;
        if (rows[i].embedding == NULL)
            continue;
        added[n_added] = rows[i].key;
        groups[n_added] = (uint32_t)rows[i].subject_key;
        memcpy(vectors + n_added++ * dim, rows[i].embedding, dim * sizeof *vectors);
    }
    status = frt_index_remove(index->index, n, keys, NULL, err);
    if (status == FRT_OK)
        status = frt_index_add(index->index, n_added, added, groups, vectors, err);
    if (status == FRT_OK) {
        atomic_store_explicit(&index->seq, rows[n - 1].seq, memory_order_release);
        index->unsaved += n;
        index->changed_ns = frt_now_ns();
    }
done:
    frt_free(keys);
    frt_free(added);
    frt_free(groups);
    frt_free(vectors);
    return status;
}

/* Apply changes until none is left and `seq` is reached. *again: changes have been forgotten; begin with an
 * empty index. With the turn. */
static enum frt_status follow(struct frt_gallery *gallery, struct gallery_entry *entry,
                              struct gallery_index *index, uint64_t seq,
                              bool (*progress)(void *arg, uint64_t done), void *arg, bool *again,
                              struct frt_error *err)
{
    uint64_t done = 0, forgotten_before = 0;
    *again = false;
    for (;;) {
        struct frt_store_page *page = NULL;
        const struct frt_store_change *rows = NULL;
        const uint64_t after = atomic_load_explicit(&index->seq, memory_order_relaxed);
        uint64_t complete_from = 0;
        size_t n = 0;
        enum frt_status status =
            frt_store_changes(gallery->store, entry->key, after, BATCH, &page, &rows, &n, &complete_from, err);
        /* whoever begins with nothing misses no deletion that was forgotten before it began */
        if (after == 0)
            forgotten_before = complete_from;
        if (status == FRT_OK && after != 0 && complete_from > after && complete_from > forgotten_before)
            *again = true;
        else if (status == FRT_OK && n > 0)
            status = apply(index, rows, n, entry->dim, err);
        frt_store_page_free(page);
        if (status != FRT_OK || *again)
            return status;
        done += n;
        if (progress != NULL && !progress(arg, done))
            return frt_fail(err, FRT_ECANCELLED, "the rebuild was stopped");
        if (n < BATCH) {
            /* numbers that were taken by faces that were not added in the end */
            seq = seq > forgotten_before ? seq : forgotten_before;
            if (atomic_load_explicit(&index->seq, memory_order_relaxed) < seq)
                atomic_store_explicit(&index->seq, seq, memory_order_release);
            return FRT_OK;
        }
    }
}

/* An index stands that did not before: counts it and says so. from  "snapshot", "store", "rebuild". */
static void tell_made(struct frt_gallery *gallery, const struct gallery_entry *entry,
                      const struct gallery_index *index, const char *from, int64_t start_ns)
{
    const bool loaded = strcmp(from, "snapshot") == 0;
    const double ms = frt_elapsed_ms(start_ns);
    struct gallery_counts *counts = &gallery->counts;
    /* relaxed: only counts */
    atomic_fetch_add_explicit(loaded ? &counts->loads : &counts->builds, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(loaded ? &counts->load_us : &counts->build_us, (uint64_t)(ms * 1000),
                              memory_order_relaxed);
    frt_log(FRT_LOG_INFO, loaded ? "index loaded" : "index built", FRT_LOG_INT("collection", entry->key),
            FRT_LOG_STR("from", from), FRT_LOG_INT("faces", frt_index_stats_get(index->index).vectors),
            FRT_LOG_NUM("ms", ms), FRT_LOG_END);
}

static enum frt_status bring_up_to_date(struct frt_gallery *gallery, struct gallery_entry *entry, uint64_t seq,
                                        struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    struct gallery_index *index = gallery_index_peek(entry);
    bool again = false, fresh = index == NULL, snapshot = false;
    enum frt_status status = FRT_OK;
    if (fresh)
        status = open_index(gallery, entry, &index, err);
    snapshot = fresh && status == FRT_OK && index->saved_seq > 0;
    if (status == FRT_OK && index != NULL)
        status = follow(gallery, entry, index, seq, NULL, NULL, &again, err);
    if (status == FRT_OK && again) {
        gallery_index_release(index);
        fresh = true;
        snapshot = false;
        status = index_new(gallery, entry, &index, err);
        if (status == FRT_OK && index != NULL)
            status = follow(gallery, entry, index, seq, NULL, NULL, &again, err);
    }
    if (status == FRT_OK && again)
        status = frt_fail(err, FRT_EOVERLOADED, "the collection changes too fast; try again");
    if (status == FRT_OK && fresh)
        tell_made(gallery, entry, index, snapshot ? "snapshot" : "store", start);
    if (status == FRT_OK && fresh)
        set_current(entry, index);
    else
        gallery_index_release(index);
    return status;
}

enum frt_status gallery_index_get(struct frt_gallery *gallery, struct gallery_entry *entry, uint64_t seq,
                                  struct gallery_index **out, double *load_ms, struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    struct gallery_index *index = gallery_index_peek(entry);
    enum frt_status status = FRT_OK;
    const bool loaded = index != NULL;
    const char *note = "hit";
    const int span = frt_trace_begin("index");
    /* acquire: pairs with the store of seq behind the changes it stands for */
    if (index == NULL || atomic_load_explicit(&index->seq, memory_order_acquire) < seq) {
        gallery_index_release(index);
        index = NULL;
        const int wait = frt_trace_begin_wait("index-wait");
        status = gallery_take(&entry->turn, err);
        frt_trace_end(wait, NULL);
        if (status != FRT_OK)
            goto done;
        note = loaded ? "followed" : "loaded";
        index = gallery_index_peek(entry);
        const bool behind = index == NULL || atomic_load_explicit(&index->seq, memory_order_acquire) < seq;
        gallery_index_release(index);
        if (behind)
            status = bring_up_to_date(gallery, entry, seq, err);
        index = status == FRT_OK ? gallery_index_peek(entry) : NULL;
        (void)pthread_mutex_unlock(&entry->turn);
    }
done:
    frt_trace_end(span, note);
    if (status == FRT_OK) {
        *out = index;
        if (load_ms != NULL)
            *load_ms = frt_elapsed_ms(start);
    }
    return status;
}

/* The new index is filled without the turn, from the store as it goes; only what came meanwhile is applied with
 * it. */
enum frt_status gallery_index_rebuild(struct frt_gallery *gallery, struct gallery_entry *entry,
                                      bool (*progress)(void *arg, uint64_t done), void *arg,
                                      struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    struct gallery_index *index = NULL;
    bool again = false;
    enum frt_status status = index_new(gallery, entry, &index, err);
    if (status == FRT_OK && index != NULL)
        status = follow(gallery, entry, index, 0, progress, arg, &again, err);
    if (status == FRT_OK)
        status = gallery_take(&entry->turn, err);
    if (status == FRT_OK) {
        if (!again && index != NULL)
            status = follow(gallery, entry, index, 0, NULL, NULL, &again, err);
        if (status == FRT_OK && !again) {
            tell_made(gallery, entry, index, "rebuild", start);
            set_current(entry, index);
            index = NULL;
        } else if (status == FRT_OK) {
            status = frt_fail(err, FRT_EOVERLOADED, "the collection changed too much meanwhile; try again");
        }
        (void)pthread_mutex_unlock(&entry->turn);
    }
    gallery_index_release(index);
    return status;
}

/* --------------------------------------------------------------- snapshots */

static bool due(const struct gallery_index *index, uint64_t faces, bool closing)
{
    if (index->unsaved == 0 || faces < SAVE_FACES)
        return false;
    const bool quiet = frt_elapsed_ms(index->changed_ns) > SAVE_QUIET_S * 1000.0;
    return closing ? index->unsaved > faces / 50
                   : quiet || (index->unsaved >= SAVE_CHANGES && index->unsaved >= faces / 10);
}

enum frt_status gallery_index_save_due(struct frt_gallery *gallery, struct gallery_entry *entry, bool closing,
                                       struct frt_error *err)
{
    char path[GALLERY_PATH_MAX + 40];
    struct frt_index_tag tag = {.collection_key = entry->key};
    enum frt_status status = FRT_OK;
    if (gallery->read_only || atomic_load(&entry->gone) || gallery_take(&entry->turn, NULL) != FRT_OK)
        return FRT_OK;
    struct gallery_index *index = gallery_index_peek(entry);
    const uint64_t faces = index != NULL ? frt_index_stats_get(index->index).vectors : 0;
    const bool wanted = index != NULL && due(index, faces, closing);
    uint64_t before = 0;
    if (wanted) {
        tag.seq = atomic_load_explicit(&index->seq, memory_order_relaxed);
        before = index->saved_seq;
        index->unsaved = 0;
    }
    (void)pthread_mutex_unlock(&entry->turn);
    if (wanted) {
        /* changes may go on meanwhile: what is written has at least those up to tag.seq, and later ones are
         * applied again when it is opened */
        const int64_t start = frt_now_ns();
        memcpy(tag.store_id, gallery->store_id, sizeof tag.store_id);
        snapshot_path(gallery, entry->key, path);
        (void)mkdir(gallery->index_folder, 0700); /* what is wrong shows at the file */
        status = frt_index_save(index->index, path, &tag, err);
        if (status == FRT_OK && gallery_take(&entry->turn, NULL) == FRT_OK) {
            index->saved_seq = tag.seq;
            (void)pthread_mutex_unlock(&entry->turn);
        }
        if (status == FRT_OK)
            frt_log(FRT_LOG_INFO, "index saved", FRT_LOG_INT("faces", faces),
                    FRT_LOG_NUM("ms", frt_elapsed_ms(start)), FRT_LOG_END);
        /* whoever follows from an older snapshot than the last but one starts anew */
        if (status == FRT_OK && before > 0)
            status = frt_store_changes_forget(gallery->store, entry->key, before, err);
        if (atomic_load(&entry->gone)) /* deleted while it was being written */
            (void)unlink(path);
    }
    gallery_index_release(index);
    return status;
}

bool gallery_index_drop(struct frt_gallery *gallery, uint64_t key)
{
    char path[GALLERY_PATH_MAX + 40];
    struct gallery_entry *entry = NULL;
    (void)pthread_mutex_lock(&gallery->lock);
    for (struct gallery_entry **at = &gallery->entries; *at != NULL; at = &(*at)->next) {
        if ((*at)->key == key) {
            entry = *at;
            *at = entry->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&gallery->lock);
    if (entry != NULL)
        atomic_store(&entry->gone, true);
    gallery_entry_release(entry);
    snapshot_path(gallery, key, path);
    return unlink(path) == 0;
}

void gallery_entries_free(struct frt_gallery *gallery)
{
    struct gallery_entry *entry = gallery->entries;
    gallery->entries = NULL;
    while (entry != NULL) {
        struct gallery_entry *next = entry->next;
        struct frt_error why = {0};
        if (gallery_index_save_due(gallery, entry, true, &why) != FRT_OK)
            frt_log(FRT_LOG_WARN, "index not saved", FRT_LOG_STR("why", why.text), FRT_LOG_END);
        gallery_entry_release(entry);
        entry = next;
    }
}
