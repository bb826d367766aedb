/*
 * The inside of a gallery: the store, and indexes of the collections that were asked about of late.
 *
 *     gallery.c           life, collections          gallery_faces.c      lists, deletions, subjects
 *     gallery_index.c     store → index: load, follow, save, rebuild
 *     gallery_load.c      loads that outlast a request
 *     gallery_keeper.c    the background thread: jobs, maintenance, snapshots, self-checks
 *     gallery_feed.c      the thread that follows what others change
 *     gallery_enroll.c    gallery_identify.c         gallery_ndjson.c     import, export
 *     gallery_subjects.c  what searches remember of subjects
 *
 * An index follows its collection: before it is used, the changes since its sequence number are applied.
 * Whoever needs them applies them (one at a time a collection: its turn), so that a face is found as soon as
 * its enrollment has returned, also when another process enrolled it. Searches hold a reference to the index
 * and no lock.
 *
 * Indexes live in a cache (cache/cache.h, "index"): so many collections, so many bytes, so long after the last
 * search. What leaves it lives on while somebody searches in it, and loses nothing, since the store is the
 * truth: who asks next opens the snapshot and follows. Of several who ask for an index that is not there one
 * loads it; that of a large collection has a thread for it, and requests wait only as long as they have time.
 * An index that leaves with changes worth a snapshot is handed to the keeper, who writes one.
 *
 * Locks, in order: enroll_lock (one enrollment that looks for duplicates at a time) → a load under way (whoever
 * waits for it holds no turn) → an entry's turn → the cache's lock, the gallery's lock (the list of entries),
 * the keeper's lock (jobs), the feed's (who is told of numbers) and that of the loads, all leaves. enroll_lock
 * and turn are held across SQL, with a bounded wait: they order whole use cases and guard nothing that a search
 * reads.
 */
#ifndef FRT_ENGINE_GALLERY_STATE_H
#define FRT_ENGINE_GALLERY_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"
#include "engine/pack_locate.h"
#include "frt/gallery.h"
#include "index/index.h"
#include "store/store.h"

enum {
    GALLERY_WAIT_MS = 30000,         /* longest wait for a turn */
    GALLERY_LOAD_APART_FROM = 20000, /* faces: a second's work on a busy machine */
    GALLERY_PATH_MAX = FRT_LOCATE_PATH_MAX + 64
};

struct gallery_entry;

/** An index and how far it has followed the store. Reference-counted. */
struct gallery_index {
    atomic_uint refs;
    struct gallery_entry *entry; /* whose it is; a reference */
    struct frt_index *index;
    _Atomic uint64_t seq;     /* it has every change up to here */
    uint64_t saved_seq;       /* of the snapshot on disk; 0 = none. With the turn */
    _Atomic uint64_t unsaved; /* changes since; written with the turn */
    int64_t changed_ns;       /* when the last change was applied. With the turn */
};

/** How the self-check went: of the hits that an exact search finds, how many the quick one found. */
struct gallery_recall {
    _Atomic uint64_t wanted, found;
};

/** What is remembered of a collection whether its index is in memory or not. Reference-counted. */
struct gallery_entry {
    struct gallery_entry *next; /* guarded by the gallery's lock */
    struct frt_gallery *gallery;
    uint64_t key;
    uint32_t dim;
    atomic_uint refs;
    pthread_mutex_t turn;
    struct gallery_recall recall;
    _Atomic uint64_t searches;
    atomic_bool exact_only; /* the self-check found too many losses: lists are not used */
    atomic_bool gone;       /* the collection was deleted */
};

/** Indexes that came into being: from a snapshot, or from the store's rows. */
struct gallery_counts {
    _Atomic uint64_t loads, load_us, builds, build_us;
};

struct gallery_keeper; /* gallery_keeper.c */
struct gallery_feed;   /* gallery_feed.c */
struct gallery_loads;  /* gallery_load.c */
struct frt_cache;

struct frt_gallery {
    struct frt_store *store;
    uint8_t store_id[16];
    char path[GALLERY_PATH_MAX], index_folder[GALLERY_PATH_MAX];
    enum frt_index_engine engine;
    uint32_t threads;
    bool read_only, keep_crops;
    pthread_mutex_t enroll_lock;
    pthread_mutex_t lock;
    struct gallery_entry *entries;
    struct frt_cache *indexes; /* of struct gallery_index, by the collection's key */
    struct gallery_keeper *keeper;
    struct gallery_feed *feed;
    _Atomic uint64_t known_seq; /* the greatest number of a change that was seen in the store */
    struct gallery_loads *loads;
    uint64_t load_apart_from; /* GALLERY_LOAD_APART_FROM, but for tests; set before use */
    struct gallery_counts counts;
    struct frt_cache *subjects; /* gallery_subjects.h */
};

/** Wait for a turn at most GALLERY_WAIT_MS. Errors: FRT_EOVERLOADED. */
FRT_NODISCARD enum frt_status gallery_take(pthread_mutex_t *turn, struct frt_error *err);

/* ------------------------------------------------------------------- index */

/** The entry of a collection, made when it is not there. A reference: gallery_entry_release. */
FRT_NODISCARD enum frt_status gallery_entry_get(struct frt_gallery *gallery, uint64_t key, uint32_t dim,
                                                struct gallery_entry **out, struct frt_error *err);
/** The entry when there is one, else NULL. A reference. */
struct gallery_entry *gallery_entry_find(struct frt_gallery *gallery, uint64_t key);
void gallery_entry_release(struct gallery_entry *entry);
/** References to all entries, at most `max`; how many. */
size_t gallery_entries(struct frt_gallery *gallery, struct gallery_entry **out, size_t max);

/** The index that somebody wants. */
struct gallery_want {
    uint64_t seq;        /* with every change up to here */
    uint64_t faces;      /* of the collection */
    int64_t deadline_ms; /* monotonic; 0 = none */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};
/**
 * The index of a collection.
 * load_ms  out: what loading or following took; may be NULL.
 * Errors: FRT_EINDEX_NOT_READY (it is being loaded, and will not be in time; with retry_after_s),
 * FRT_ECANCELLED, FRT_EOVERLOADED, FRT_ENOMEM, and what the store and the index say.
 */
FRT_NODISCARD enum frt_status gallery_index_get(struct frt_gallery *gallery, struct gallery_entry *entry,
                                                const struct gallery_want *want, struct gallery_index **out,
                                                double *load_ms, struct frt_error *err);
/** As gallery_index_get without a deadline. progress  as gallery_index_rebuild's. */
FRT_NODISCARD enum frt_status gallery_index_load(struct frt_gallery *gallery, struct gallery_entry *entry,
                                                 uint64_t seq, bool (*progress)(void *arg, uint64_t have),
                                                 void *arg, struct gallery_index **out, struct frt_error *err);
/** As gallery_index_get, if the index is loaded and has every change already; else NULL. A reference. */
struct gallery_index *gallery_index_at_hand(struct gallery_entry *entry, uint64_t seq);
/** The present index, whatever it has; NULL when none is loaded. No use of it as the cache counts. A reference.
 */
struct gallery_index *gallery_index_peek(struct gallery_entry *entry);
/** The index of a collection, if it is loaded, follows up to `seq`. No use of it. */
void gallery_index_follow(struct frt_gallery *gallery, uint64_t key, uint64_t seq);
/** Tell the cache what it takes now. */
void gallery_index_weigh(struct gallery_index *index);
void gallery_index_release(struct gallery_index *index);

/** Build the index anew from the store and put it in the place of the present one.
 *  progress  called with the faces so far; false ends the work (FRT_ECANCELLED). May be NULL. */
FRT_NODISCARD enum frt_status gallery_index_rebuild(struct frt_gallery *gallery, struct gallery_entry *entry,
                                                    bool (*progress)(void *arg, uint64_t have), void *arg,
                                                    struct frt_error *err);
/** Write a snapshot when enough has changed (`closing`: when anything worth it has). */
FRT_NODISCARD enum frt_status gallery_index_save_due(struct frt_gallery *gallery, struct gallery_entry *entry,
                                                     bool closing, struct frt_error *err);
/** Write a snapshot of an index that has left the cache, if that is worth it and no other took its place. */
FRT_NODISCARD enum frt_status gallery_index_save_left(struct gallery_index *index, struct frt_error *err);
/** A value's leave of the cache (frt_cache_options.free_value). */
void gallery_index_leave(void *value);
/** The collection is gone: drop its entry and snapshot. True when there was a snapshot. */
bool gallery_index_drop(struct frt_gallery *gallery, uint64_t key);
void gallery_entries_free(struct frt_gallery *gallery);

/* ------------------------------------------------------------------- loads */

FRT_NODISCARD enum frt_status gallery_loads_new(struct frt_gallery *gallery, struct gallery_loads **out,
                                                struct frt_error *err);
/** Ends loads under way. Nobody may wait any more. NULL is fine. */
void gallery_loads_free(struct gallery_loads *loads);
/** Wait for the load of an index, begun if need be, as long as `want` has time. Errors: gallery_index_get's. */
FRT_NODISCARD enum frt_status gallery_load_await(struct gallery_loads *loads, struct gallery_entry *entry,
                                                 const struct gallery_want *want, struct gallery_index **out,
                                                 struct frt_error *err);

/* ------------------------------------------------------------------ keeper */

FRT_NODISCARD enum frt_status gallery_keeper_new(struct frt_gallery *gallery, bool background,
                                                 struct gallery_keeper **out, struct frt_error *err);
/** Ends jobs under way and joins the thread. NULL is fine. */
void gallery_keeper_free(struct gallery_keeper *keeper);
/** Perhaps look at this search again, exactly, later: one in a thousand. Cheap; never waits. */
void gallery_keeper_sample(struct gallery_keeper *keeper, struct gallery_entry *entry, const float *query,
                           uint32_t dim, uint32_t k, float min_score);
/** An index has left the cache with changes that no snapshot has. CONSUMES the reference. Never waits. */
void gallery_keeper_take_leave(struct gallery_keeper *keeper, struct gallery_index *index);
/** Estimate and lower end of its 95 % interval (Wilson); NaN before the first sample. */
void gallery_recall_estimate(const struct gallery_recall *recall, double *estimate, double *low);

/* -------------------------------------------------------------------- feed */

/** background  false: no thread; whoever searches follows by himself. */
FRT_NODISCARD enum frt_status gallery_feed_new(struct frt_gallery *gallery, bool background,
                                               struct gallery_feed **out, struct frt_error *err);
/** Joins the thread. NULL is fine. */
void gallery_feed_free(struct gallery_feed *feed);
/** This number has been seen in the store: every change up to it can be read there. */
void gallery_note_seq(struct frt_gallery *gallery, uint64_t seq);
/** Does it hear of changes; for how long has it not had all that it should have? */
void gallery_feed_figures(struct frt_gallery *gallery, bool *connected, double *behind_s);

/* ------------------------------------------------------------------- faces */

/** Copy rows of the store into owned ones. */
FRT_NODISCARD enum frt_status gallery_faces_copy(const struct frt_store_face *rows, size_t n, uint32_t dim,
                                                 struct frt_gallery_faces *out, struct frt_error *err);

/** FRT_EMODEL_MISMATCH: embeddings of another model than the collection's, and what to do. model: NULL = it was
 *  not named. */
FRT_NODISCARD enum frt_status gallery_mismatch(const struct frt_store_collection *row, const char *model,
                                               uint32_t dim, struct frt_error *err);

/** A collection's row. Frees with frt_store_page_free(*page). */
FRT_NODISCARD enum frt_status gallery_collection(struct frt_gallery *gallery, const char *name,
                                                 struct frt_store_page **page, struct frt_store_collection *out,
                                                 struct frt_error *err);

#endif
