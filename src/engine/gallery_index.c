/* From the store to an index and back to disk. Design: gallery_state.h. */
#include <assert.h>
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
    SAVE_QUIET_S = 60,    /* as is any change after so long without one */
    KEEP_NUMBERS = 100000 /* deletions that other processes, which save when they do, may still want */
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
    (void)pthread_mutex_destroy(&entry->turn);
    frt_free(entry);
}

enum frt_status gallery_entry_get(struct frt_gallery *gallery, uint64_t key, uint32_t dim,
                                  struct gallery_entry **out, struct frt_error *err)
{
    struct gallery_entry *fresh = frt_alloc_zero(1, sizeof *fresh);
    if (fresh == NULL)
        return frt_fail_nomem(err, "an index");
    fresh->gallery = gallery;
    fresh->key = key;
    fresh->dim = dim;
    atomic_init(&fresh->refs, 2); /* the list's and the caller's */
    (void)pthread_mutex_init(&fresh->turn, NULL);
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

/* CONSUMES index, also on failure. */
static enum frt_status wrap(struct gallery_entry *entry, struct frt_index *index, uint64_t seq,
                            struct gallery_index **out, struct frt_error *err)
{
    struct gallery_index *fresh = frt_alloc_zero(1, sizeof *fresh);
    if (fresh == NULL) {
        frt_index_free(index);
        return frt_fail_nomem(err, "an index");
    }
    atomic_init(&fresh->refs, 1);
    atomic_init(&fresh->seq, seq);
    fresh->saved_seq = seq;
    fresh->index = index;
    fresh->entry = entry;
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed); /* the caller holds one */
    *out = fresh;
    return FRT_OK;
}

static enum frt_status index_new(const struct frt_gallery *gallery, struct gallery_entry *entry,
                                 struct gallery_index **out, struct frt_error *err)
{
    const struct frt_index_options options = index_options(gallery, entry);
    struct frt_index *index = NULL;
    enum frt_status status = frt_index_new(&options, &index, err);
    return status == FRT_OK ? wrap(entry, index, 0, out, err) : status;
}

void gallery_index_release(struct gallery_index *index)
{
    /* acq_rel: the last one sees what all others did */
    if (index == NULL || atomic_fetch_sub_explicit(&index->refs, 1, memory_order_acq_rel) != 1)
        return;
    frt_index_free(index->index);
    gallery_entry_release(index->entry);
    frt_free(index);
}

/* ------------------------------------------------------------- in the cache */

static struct frt_cache_key cache_key(const struct gallery_entry *entry)
{
    struct frt_cache_key key = {{0}};
    memcpy(key.bytes, &entry->key, sizeof entry->key); /* counted by the store, never used twice */
    return key;
}

static size_t weight(const struct gallery_index *index)
{
    return sizeof *index + frt_index_stats_get(index->index).bytes;
}

/* The loan ends here; the reference does what it did. */
static struct gallery_index *keep(struct frt_gallery *gallery, struct frt_cache_loan *loan)
{
    struct gallery_index *index = loan->value;
    if (index != NULL) /* relaxed: the loan holds one */
        atomic_fetch_add_explicit(&index->refs, 1, memory_order_relaxed);
    frt_cache_return(gallery->indexes, loan);
    return index;
}

struct gallery_index *gallery_index_peek(struct gallery_entry *entry)
{
    const struct frt_cache_key key = cache_key(entry);
    struct frt_cache_loan loan = {0};
    (void)frt_cache_peek(entry->gallery->indexes, &key, &loan);
    return keep(entry->gallery, &loan);
}

/* In the place of the present one and of one that is being loaded. CONSUMES index. With the turn. */
static void set_current(struct gallery_entry *entry, struct gallery_index *index)
{
    const struct frt_cache_key key = cache_key(entry);
    struct gallery_index *before = gallery_index_peek(entry);
    if (before != NULL)
        atomic_store(&before->unsaved, 0); /* what it has, the new one has */
    gallery_index_release(before);
    (void)frt_cache_remove(entry->gallery->indexes, &key);
    if (atomic_load(&entry->gone))
        gallery_index_release(index);
    else
        frt_cache_put(entry->gallery->indexes, &key, index, weight(index));
}

void gallery_index_weigh(struct gallery_index *index)
{
    const struct frt_cache_key key = cache_key(index->entry);
    struct gallery_index *current = gallery_index_peek(index->entry);
    if (current == index)
        (void)frt_cache_resize(index->entry->gallery->indexes, &key, weight(index));
    gallery_index_release(current);
}

void gallery_index_leave(void *value)
{
    struct gallery_index *index = value;
    const struct frt_gallery *gallery = index->entry->gallery;
    if (atomic_load(&index->unsaved) > 0 && !gallery->read_only && !atomic_load(&index->entry->gone))
        gallery_keeper_take_leave(gallery->keeper, index);
    else
        gallery_index_release(index);
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
    memcpy(tag.store_id, gallery->store_id, sizeof tag.store_id);
    snapshot_path(gallery, entry->key, path);
    enum frt_status status = frt_index_load(&options, path, &tag, &loaded, &why);
    if (status == FRT_ENOTFOUND)
        return index_new(gallery, entry, out, err);
    if (status != FRT_OK) {
        frt_log(FRT_LOG_WARN, "index snapshot not used", FRT_LOG_STR("why", why.text), FRT_LOG_END);
        return index_new(gallery, entry, out, err);
    }
    return wrap(entry, loaded, tag.seq, out, err);
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
        atomic_fetch_add(&index->unsaved, n);
        index->changed_ns = frt_now_ns();
    }
done:
    frt_free(keys);
    frt_free(added);
    frt_free(groups);
    frt_free(vectors);
    return status;
}

/* tell: as gallery_index_rebuild's progress; NULL = nobody is told. */
struct progress {
    bool (*tell)(void *arg, uint64_t have);
    void *arg;
};

/* Apply changes until none is left and `seq` is reached. *again: changes have been forgotten; begin with an
 * empty index. With the turn. */
static enum frt_status follow(struct frt_gallery *gallery, struct gallery_entry *entry,
                              struct gallery_index *index, uint64_t seq, const struct progress *progress,
                              bool *again, struct frt_error *err)
{
    uint64_t forgotten_before = 0;
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
        if (progress->tell != NULL && !progress->tell(progress->arg, frt_index_stats_get(index->index).vectors))
            return frt_fail(err, FRT_ECANCELLED, "the work was stopped");
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
    assert(index != NULL);
    const bool loaded = strcmp(from, "snapshot") == 0;
    const double ms = frt_elapsed_ms(start_ns);
    const uint64_t faces = index != NULL ? frt_index_stats_get(index->index).vectors : 0;
    struct gallery_counts *counts = &gallery->counts;
    /* relaxed: only counts */
    atomic_fetch_add_explicit(loaded ? &counts->loads : &counts->builds, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(loaded ? &counts->load_us : &counts->build_us, (uint64_t)(ms * 1000),
                              memory_order_relaxed);
    frt_log(FRT_LOG_INFO, loaded ? "index loaded" : "index built", FRT_LOG_INT("collection", entry->key),
            FRT_LOG_STR("from", from), FRT_LOG_INT("faces", faces), FRT_LOG_NUM("ms", ms), FRT_LOG_END);
}

/* *index follows, or is one made anew in its place (*fresh; the former is released). With the turn. */
static enum frt_status bring_up_to_date(struct frt_gallery *gallery, struct gallery_entry *entry, uint64_t seq,
                                        const struct progress *progress, struct gallery_index **index,
                                        bool *fresh, struct frt_error *err)
{
    bool again = false;
    enum frt_status status = follow(gallery, entry, *index, seq, progress, &again, err);
    *fresh = again;
    if (status == FRT_OK && again) {
        struct gallery_index *anew = NULL;
        status = index_new(gallery, entry, &anew, err);
        if (status == FRT_OK) {
            gallery_index_release(*index);
            *index = anew;
            status = follow(gallery, entry, anew, seq, progress, &again, err);
        }
    }
    if (status == FRT_OK && again)
        status = frt_fail(err, FRT_EOVERLOADED, "the collection changes too fast; try again");
    return status;
}

/* The turn, and in a trace the wait for it. */
static enum frt_status take_turn(struct gallery_entry *entry, struct frt_error *err)
{
    const int wait = frt_trace_begin_wait("index-wait");
    enum frt_status status = gallery_take(&entry->turn, err);
    frt_trace_end(wait, NULL);
    return status;
}

struct loading {
    struct frt_gallery *gallery;
    struct gallery_entry *entry;
    uint64_t seq;
    const struct progress *progress;
};

/* An index that is not there (frt_cache_fetch). */
static enum frt_status load(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    const struct loading *l = arg;
    const int64_t start = frt_now_ns();
    bool fresh = false, opened = false;
    enum frt_status status = take_turn(l->entry, err);
    if (status != FRT_OK)
        return status;
    struct gallery_index *index = gallery_index_peek(l->entry); /* a rebuild may have ended just now */
    if (index == NULL) {
        opened = true;
        status = open_index(l->gallery, l->entry, &index, err);
    }
    if (status == FRT_OK)
        status = bring_up_to_date(l->gallery, l->entry, l->seq, l->progress, &index, &fresh, err);
    if (status == FRT_OK && (opened || fresh))
        tell_made(l->gallery, l->entry, index, !fresh && index->saved_seq > 0 ? "snapshot" : "store", start);
    (void)pthread_mutex_unlock(&l->entry->turn);
    if (status != FRT_OK) {
        gallery_index_release(index);
        return status;
    }
    assert(index != NULL);
    *value = index;
    *bytes = weight(index);
    return FRT_OK;
}

/* acquire: pairs with the store of seq behind the changes it stands for */
static bool behind(const struct gallery_index *index, uint64_t seq)
{
    return atomic_load_explicit(&index->seq, memory_order_acquire) < seq;
}

static enum frt_status catch_up(struct frt_gallery *gallery, struct gallery_entry *entry, uint64_t seq,
                                const struct progress *progress, struct gallery_index **index,
                                struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    bool fresh = false;
    if (!behind(*index, seq))
        return FRT_OK;
    enum frt_status status = take_turn(entry, err);
    if (status != FRT_OK)
        return status;
    if (behind(*index, seq)) {
        status = bring_up_to_date(gallery, entry, seq, progress, index, &fresh, err);
        assert(*index != NULL); /* it stays what it was, or there is a new one */
        if (status == FRT_OK && fresh) {
            tell_made(gallery, entry, *index, "store", start);
            atomic_fetch_add_explicit(&(*index)->refs, 1, memory_order_relaxed); /* the caller holds one */
            set_current(entry, *index);
        } else if (status == FRT_OK) {
            gallery_index_weigh(*index);
        }
    }
    (void)pthread_mutex_unlock(&entry->turn);
    return status;
}

/* The index that the cache has, or that it has after this. */
static enum frt_status get_loaded(struct frt_gallery *gallery, struct gallery_entry *entry, uint64_t seq,
                                  const struct progress *progress, struct gallery_index **out,
                                  enum frt_cache_source *source, struct frt_error *err)
{
    const struct frt_cache_key key = cache_key(entry);
    const struct frt_cache_wait wait = {.deadline_ms = frt_now_ns() / 1000000 + GALLERY_WAIT_MS};
    struct loading loading = {gallery, entry, seq, progress};
    struct frt_cache_loan loan = {0};
    enum frt_status status = frt_cache_fetch(gallery->indexes, &key, &wait, load, &loading, &loan, source, err);
    if (status == FRT_ETIMEOUT)
        return frt_fail(err, FRT_EOVERLOADED, "the collection's index was not loaded within %d s; try again",
                        GALLERY_WAIT_MS / 1000);
    if (status != FRT_OK)
        return status;
    *out = keep(gallery, &loan);
    if (atomic_load(&entry->gone)) /* deleted while it was loaded: nobody asks for it again */
        (void)frt_cache_remove(gallery->indexes, &key);
    return FRT_OK;
}

static const struct progress untold;

enum frt_status gallery_index_load(struct frt_gallery *gallery, struct gallery_entry *entry, uint64_t seq,
                                   bool (*progress)(void *arg, uint64_t have), void *arg,
                                   struct gallery_index **out, struct frt_error *err)
{
    const struct progress told = {progress, arg};
    struct gallery_index *index = NULL;
    enum frt_status status = get_loaded(gallery, entry, seq, &told, &index, NULL, err);
    if (status == FRT_OK)
        status = catch_up(gallery, entry, seq, &told, &index, err);
    if (status != FRT_OK) {
        gallery_index_release(index);
        return status;
    }
    *out = index;
    return FRT_OK;
}

/* Is so much to be done before this index can be used that a request may not have the time? */
static bool takes_long(const struct frt_gallery *gallery, struct gallery_entry *entry,
                       const struct gallery_want *want)
{
    if (want->deadline_ms == 0 || want->faces < gallery->load_apart_from)
        return false;
    struct gallery_index *index = gallery_index_peek(entry);
    const uint64_t seq = index != NULL ? atomic_load_explicit(&index->seq, memory_order_acquire) : 0;
    gallery_index_release(index);
    return want->seq > seq && want->seq - seq >= gallery->load_apart_from;
}

enum frt_status gallery_index_get(struct frt_gallery *gallery, struct gallery_entry *entry,
                                  const struct gallery_want *want, struct gallery_index **out, double *load_ms,
                                  struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    const int span = frt_trace_begin("index");
    struct gallery_index *index = NULL;
    enum frt_cache_source source = FRT_CACHE_MADE;
    const char *note = NULL;
    enum frt_status status = takes_long(gallery, entry, want)
                                 ? gallery_load_await(gallery->loads, entry, want, &index, err)
                                 : get_loaded(gallery, entry, want->seq, &untold, &index, &source, err);
    if (status == FRT_OK && index != NULL) {
        note = source == FRT_CACHE_MADE     ? "loaded"
               : source == FRT_CACHE_SHARED ? "another's work"
               : behind(index, want->seq)   ? "followed"
                                            : "hit";
        status = catch_up(gallery, entry, want->seq, &untold, &index, err);
    }
    frt_trace_end(span, note);
    if (status != FRT_OK) {
        gallery_index_release(index);
        return status;
    }
    *out = index;
    if (load_ms != NULL)
        *load_ms = frt_elapsed_ms(start);
    return FRT_OK;
}

struct gallery_index *gallery_index_at_hand(struct gallery_entry *entry, uint64_t seq)
{
    const struct frt_cache_key key = cache_key(entry);
    struct frt_cache_loan used = {0};
    struct gallery_index *index = gallery_index_peek(entry);
    if (index != NULL && behind(index, seq)) {
        gallery_index_release(index);
        index = NULL;
    }
    if (index != NULL && frt_cache_get(entry->gallery->indexes, &key, &used))
        frt_cache_return(entry->gallery->indexes, &used);
    return index;
}

void gallery_index_follow(struct frt_gallery *gallery, uint64_t key, uint64_t seq)
{
    struct gallery_entry *entry = gallery_entry_find(gallery, key);
    struct gallery_index *index = entry != NULL ? gallery_index_peek(entry) : NULL;
    struct frt_error why = {0};
    if (index != NULL && catch_up(gallery, entry, seq, &untold, &index, &why) != FRT_OK)
        frt_log(FRT_LOG_DEBUG, "index did not follow", FRT_LOG_STR("why", why.text), FRT_LOG_END);
    gallery_index_release(index);
    gallery_entry_release(entry);
}

/* The new index is filled without the turn, from the store as it goes; only what came meanwhile is applied with
 * it. */
enum frt_status gallery_index_rebuild(struct frt_gallery *gallery, struct gallery_entry *entry,
                                      bool (*progress)(void *arg, uint64_t have), void *arg,
                                      struct frt_error *err)
{
    const struct progress told = {progress, arg};
    const int64_t start = frt_now_ns();
    struct gallery_index *index = NULL;
    bool again = false;
    enum frt_status status = index_new(gallery, entry, &index, err);
    if (status == FRT_OK && index != NULL)
        status = follow(gallery, entry, index, 0, &told, &again, err);
    if (status == FRT_OK)
        status = gallery_take(&entry->turn, err);
    if (status == FRT_OK) {
        if (!again && index != NULL)
            status = follow(gallery, entry, index, 0, &untold, &again, err);
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
    const uint64_t unsaved = atomic_load(&index->unsaved);
    if (unsaved == 0 || faces < SAVE_FACES)
        return false;
    const bool quiet = frt_elapsed_ms(index->changed_ns) > SAVE_QUIET_S * 1000.0;
    return closing ? unsaved > faces / 50 : quiet || (unsaved >= SAVE_CHANGES && unsaved >= faces / 10);
}

static enum frt_status save(struct gallery_index *index, bool closing, struct frt_error *err)
{
    struct gallery_entry *entry = index->entry;
    struct frt_gallery *gallery = entry->gallery;
    char path[GALLERY_PATH_MAX + 40];
    struct frt_index_tag tag = {.collection_key = entry->key};
    enum frt_status status = FRT_OK;
    if (gallery->read_only || atomic_load(&entry->gone) || gallery_take(&entry->turn, NULL) != FRT_OK)
        return FRT_OK;
    const uint64_t faces = frt_index_stats_get(index->index).vectors;
    const bool wanted = due(index, faces, closing);
    uint64_t before = 0;
    if (wanted) {
        tag.seq = atomic_load_explicit(&index->seq, memory_order_relaxed);
        before = index->saved_seq;
        atomic_store(&index->unsaved, 0);
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
        /* whoever follows from an older snapshot than the last but one, or from further behind, starts anew */
        const uint64_t for_others = tag.seq > KEEP_NUMBERS ? tag.seq - KEEP_NUMBERS : 0;
        before = before < for_others ? before : for_others;
        if (status == FRT_OK && before > 0)
            status = frt_store_changes_forget(gallery->store, entry->key, before, err);
        if (atomic_load(&entry->gone)) /* deleted while it was being written */
            (void)unlink(path);
    }
    return status;
}

/* Has another process deleted the collection, or brought it to another model under another key? */
static bool is_gone(struct frt_gallery *gallery, const struct gallery_entry *entry)
{
    struct frt_store_page *page = NULL;
    const struct frt_store_change *rows = NULL;
    uint64_t complete_from = 0;
    size_t n = 0;
    enum frt_status status = frt_store_changes(gallery->store, entry->key, (uint64_t)INT64_MAX, 1, &page, &rows,
                                               &n, &complete_from, NULL);
    frt_store_page_free(page);
    return status == FRT_ECOLLECTION_NOT_FOUND;
}

enum frt_status gallery_index_save_due(struct frt_gallery *gallery, struct gallery_entry *entry, bool closing,
                                       struct frt_error *err)
{
    struct gallery_index *index = gallery_index_peek(entry);
    if (index != NULL && is_gone(gallery, entry)) {
        gallery_index_release(index);
        (void)gallery_index_drop(gallery, entry->key);
        return FRT_OK;
    }
    enum frt_status status = index != NULL ? save(index, closing, err) : FRT_OK;
    gallery_index_release(index);
    return status;
}

/* Whoever took its place saves what both have. */
enum frt_status gallery_index_save_left(struct gallery_index *index, struct frt_error *err)
{
    struct gallery_index *other = gallery_index_peek(index->entry);
    enum frt_status status = other == NULL ? save(index, true, err) : FRT_OK;
    gallery_index_release(other);
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
    if (entry != NULL) {
        const struct frt_cache_key of = cache_key(entry);
        atomic_store(&entry->gone, true);
        (void)frt_cache_remove(gallery->indexes, &of);
    }
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
    frt_cache_free(gallery->indexes);
}
