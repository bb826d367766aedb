/*
 * The FAISS engine, the half of it that is ours: what FAISS does not have. FAISS's indexes may not be searched
 * while something is added, and know neither groups nor cheap deletes.
 *
 *     index ─ view (immutable list of parts) ─┬─ lists: a trained IVFFlat of the plug-in's; never added to
 *                                             ├─ flat: vectors in rows, searched exhaustively by FAISS
 *                                             └─ tail: a flat part that is appended to
 *
 * FAISS's ids are rows of a part; keys, groups and a removed bit stand beside. A search takes a reference to
 * the view and never waits; a writer appends behind a part's published count, or publishes a new view. Lists
 * are trained, and later merged with what has been added since, beside the old ones, and take their place at
 * once.
 *
 * Rules: exhaustive below 1,000 vectors (options.ivf_from), lists above: n_lists = min(4096, max(100, n / 10)),
 * probes = min(50, max(10, n_lists / 10)); FAISS gets vectors in batches of 1,000.
 *
 * Locks, in the order in which they are taken:
 *     maintain_lock   one maintenance or save at a time
 *     write_lock      add, remove, and the moment at which maintenance swaps parts
 *     view_lock       the pointer to the view, for a few instructions; a leaf
 *
 * Files: index_faiss_driver.c (finds the plug-in), faiss_engine.c (life, add, remove), faiss_search.c,
 * faiss_maintain.c, faiss_snapshot.c.
 */
#ifndef FRT_INDEX_FAISS_ENGINE_H
#define FRT_INDEX_FAISS_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "index/faiss_shim.h"
#include "index/index_engine.h"

enum {
    FRT_FAISS_IVF_FROM = 1000,
    FRT_FAISS_BATCH = 1000,
    FRT_FAISS_MAX_PARTS = 4096,
    FRT_FAISS_PART_MIN = 1024, /* vectors of a tail; those of a large index are larger, up to */
    FRT_FAISS_PART_MAX = 65536
};

struct frt_faiss_part {
    atomic_uint refs;
    const struct frt_faiss_module *module;
    uint32_t capacity, dim;
    atomic_uint n; /* published */
    atomic_uint n_removed;
    uint64_t *keys;
    uint32_t *groups;
    void *removed_memory;      /* owned; what `removed` points to */
    _Atomic uint64_t *removed; /* bit i: row i */
    float *vectors;            /* f32[capacity][dim]; NULL = lists */
    struct frt_faiss_ivf *ivf; /* NULL = flat */
    uint32_t n_lists;          /* of ivf */
    const float **listed;      /* [capacity], of ivf: where the vector of each row lies */
    size_t bytes;
    bool ascending, sealed; /* the writer's: keys grow; nothing is added any more */
};

struct frt_faiss_view {
    atomic_uint refs;
    uint32_t n;
    struct frt_faiss_part *parts[]; /* oldest first; references */
};

struct frt_faiss_engine {
    struct frt_index index; /* first: see index_engine.h */
    const struct frt_faiss_module *module;
    pthread_mutex_t maintain_lock, write_lock, view_lock;
    struct frt_faiss_view *view; /* guarded by view_lock; replaced only with write_lock */
    uint64_t max_key;            /* greatest ever added; the writer's */
    /* guarded by view_lock */
    double built_loss;
    uint64_t trained_at; /* vectors when lists were last trained; 0 = never */
};

/** The plug-in, loaded at the first call. Errors: FRT_EUNAVAILABLE (what was looked for where, what to do). */
FRT_NODISCARD enum frt_status frt_faiss_load(const struct frt_faiss_module **out, struct frt_error *err);

/** Of lists on a GPU; zeros where the plug-in was not loaded. */
void frt_faiss_gpu_figures_get(struct frt_faiss_gpu_figures *out);

/** An engine without vectors. */
FRT_NODISCARD enum frt_status frt_faiss_make(const struct frt_index_options *options,
                                             struct frt_faiss_engine **out, struct frt_error *err);

/** An empty part: flat (with room for vectors), or, without `flat`, for lists that come later. */
FRT_NODISCARD enum frt_status frt_faiss_part_new(const struct frt_faiss_engine *engine, uint32_t capacity,
                                                 bool flat, struct frt_faiss_part **out, struct frt_error *err);
/** NULL is fine. */
void frt_faiss_part_release(struct frt_faiss_part *part);
/** The lists are whole: note where each row lies, and what they take. */
FRT_NODISCARD enum frt_status frt_faiss_part_list(struct frt_faiss_part *part, struct frt_error *err);
/** Row of a key that stands (is not removed). */
bool frt_faiss_part_find(const struct frt_faiss_part *part, uint64_t key, uint32_t *row);
static inline bool frt_faiss_part_removed(const struct frt_faiss_part *part, uint32_t row)
{
    return (atomic_load_explicit(&part->removed[row / 64], memory_order_relaxed) >> (row % 64) & 1) != 0;
}
/** Set the bit. */
void frt_faiss_part_remove(struct frt_faiss_part *part, uint32_t row);

/** The current view, with a reference of the caller's. */
struct frt_faiss_view *frt_faiss_view_get(struct frt_faiss_engine *engine);
/** NULL is fine. */
void frt_faiss_view_release(struct frt_faiss_view *view);
/** A view of parts; each gets a further reference. */
FRT_NODISCARD enum frt_status frt_faiss_view_new(struct frt_faiss_part *const *parts, uint32_t n,
                                                 struct frt_faiss_view **out, struct frt_error *err);
/** Make `view` the current one. CONSUMES view. With write_lock. */
void frt_faiss_publish(struct frt_faiss_engine *engine, struct frt_faiss_view *view);

/** How many lists a search looks into. */
static inline uint32_t frt_faiss_probes(uint32_t n_lists)
{
    const uint32_t tenth = n_lists / 10 > 10 ? n_lists / 10 : 10;
    return tenth < 50 ? tenth : 50;
}
/** A failure of the plug-in's as a status. */
FRT_NODISCARD enum frt_status frt_faiss_failed(struct frt_error *err, const struct frt_faiss_failure *why);

/* ---------------------------------------------------------- faiss_search.c */

enum frt_status frt_faiss_search(struct frt_index *index, const struct frt_index_query *query,
                                 struct frt_index_hit *hits, size_t *n_hits, struct frt_error *err);

/* ---------------------------------------------------------- faiss_gather.c */

/** What stands in a view, by key: rows of the part that will hold it. */
struct frt_faiss_gather {
    const struct frt_faiss_view *view; /* borrowed */
    uint32_t dim, n;
    uint64_t *keys;     /* [n], growing */
    uint32_t *groups;   /* [n] */
    uint32_t **rows;    /* [view->n][count]: new row of each row; UINT32_MAX = not gathered */
    uint32_t *counts;   /* [view->n]: rows looked at */
    uint32_t *n_before; /* [view->n]: removed when looked at */
};
enum frt_faiss_kinds { FRT_FAISS_ALL, FRT_FAISS_ONLY_FLAT, FRT_FAISS_ONLY_IVF };
FRT_NODISCARD enum frt_status frt_faiss_gather_init(struct frt_faiss_gather *gather,
                                                    const struct frt_faiss_view *view, uint32_t dim,
                                                    enum frt_faiss_kinds kinds, struct frt_error *err);
void frt_faiss_gather_deinit(struct frt_faiss_gather *gather);
/**
 * Every gathered vector once, in no particular order.
 * visit  row: the new one; list: the list of an IVF part in which it stands, else UINT32_MAX; false = stop.
 * Returns false when it was stopped.
 */
bool frt_faiss_gather_visit(const struct frt_faiss_gather *gather,
                            bool (*visit)(void *arg, uint32_t row, uint32_t list, const float *vector),
                            void *arg);

/* ------------------------------------------------- faiss_maintain.c, faiss_snapshot.c */

bool frt_faiss_wants_maintenance(struct frt_index *index);
enum frt_status frt_faiss_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                   struct frt_error *err);
enum frt_status frt_faiss_save(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                               struct frt_error *err);
enum frt_status frt_faiss_open(const struct frt_index_options *options, const char *path,
                               struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err);

#endif
