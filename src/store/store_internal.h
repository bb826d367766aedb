/*
 * The inside of the store, shared by its files:
 *
 *     store.c              life: open, close, figures       store_address.c   what FRT_STORE means
 *     store_turn.c         whose turn it is: connections, transactions, another try
 *     store_collections.c  store_purge.c  store_faces.c  store_add.c store_subjects.c  store_changes.c
 * store_access.c store_crops.c        crops of faces, sealed or not    store_migrate.c   embeddings of another
 * model store_page.c         rows handed out, and the memory of their texts     store_check.c  what names may
 * be store_news.c         waiting for what others change store_sqlite.c       backend: a file, its settings
 * store_schema.c    its tables     sqlite_db.c
 *
 * The files by concept know tables and SQL and no database; a backend knows how its connections come to be; an
 * adapter (db.h) alone knows a database's library.
 *
 * A read or write is a loop around its work, because what a server's loss or another's transaction has undone
 * is done once more, as long as there is time:
 *
 *     struct store_turn turn = {.store = store};
 *     while (store_write(&turn, &status, err))
 *         status = work(turn.db, …, err);
 *     return status;
 *
 * Locks: turn_lock (whose turn it is to write), pool_lock (free readers, back-off) and news_lock, leaves all.
 * None is held while SQL runs: a writer holds the turn, a flag.
 */
#ifndef FRT_STORE_STORE_INTERNAL_H
#define FRT_STORE_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/db.h"
#include "store/store.h"

enum { STORE_MAX_READERS = 64, STORE_FACE_ID_MADE = 15 };

struct store_backend {
    const char *kind; /* "sqlite" */
    /** Make or bring up to date what has to be there; set the store's path, id and writer. */
    enum frt_status (*open)(struct frt_store *store, const char *address, struct frt_error *err);
    /** A connection, before end_ms (monotonic). */
    enum frt_status (*connect)(struct frt_store *store, bool writer, int64_t end_ms, struct db **out,
                               struct frt_error *err);
    /** Was the transaction made whose commit the lost connection had begun? NULL: commits leave no doubt. */
    enum frt_status (*look_up)(struct frt_store *store, struct db *fresh, bool *made, struct frt_error *err);
    /** Return when there may be a change with a greater number than `after`, or the time is up, or somebody is
     *  to wake. */
    enum frt_status (*wait)(struct frt_store *store, uint64_t after, int64_t end_ms, struct frt_error *err);
    void (*close)(struct frt_store *store); /* NULL: nothing is left to close */
};

struct frt_store {
    const struct store_backend *backend;
    char *path;                       /* what texts call it: a file, or a server without a password */
    struct frt_store_options options; /* path not used */
    uint8_t id[16];
    void *own; /* the backend's */

    pthread_mutex_t turn_lock;
    pthread_cond_t turn_free;
    bool turn_taken;
    uint32_t writers_waiting;
    uint64_t writers_refused;
    struct db *writer; /* NULL when read-only, or lost; used by whoever has the turn */

    pthread_mutex_t pool_lock;
    pthread_cond_t reader_free;
    struct db *idle[STORE_MAX_READERS];
    uint32_t n_idle, n_readers; /* open: idle and lent */
    uint32_t readers_waiting;
    uint64_t readers_refused;
    /* Counts, for figures alone: relaxed. */
    _Atomic uint64_t reconnects, errors;

    pthread_mutex_t news_lock;
    pthread_cond_t news; /* something was changed here, or whoever waits is to wake */
    uint64_t changes_here, changes_seen;
    bool wake;

    uint8_t crop_key[FRT_SEAL_KEY_BYTES];
    bool has_crop_key,
        seals_crops; /* there is a key; crops of this store were sealed before. Set when opened */

    /* NULL = nobody. Set after its argument, which does not change afterwards: a thread that waits for changes
     * may read already. */
    void (*_Atomic watch)(void *arg, double ms);
    void *watch_arg;
};

/* ------------------------------------------------------------------- turns */

struct store_turn {
    struct frt_store *store;
    bool slow;     /* it may take minutes */
    bool at_once;  /* it takes a connection that is free this moment, or FRT_EOVERLOADED */
    struct db *db; /* out: to work with */
    /* its own */
    bool under_way;
    uint32_t tries;
    int64_t end_ms;
};

/**
 * A connection to read with: true while `*status` is to be made (again); false when it is final. The work must
 * be fit to be done again from its start.
 */
bool store_read(struct store_turn *turn, enum frt_status *status, struct frt_error *err);
/** As store_read, a transaction that writes: committed when *status is FRT_OK, else undone. */
bool store_write(struct store_turn *turn, enum frt_status *status, struct frt_error *err);

/** Sleep a while, more with each try, with chance; not past end_ms. False: there is no time left. */
bool store_pause(uint32_t tries, int64_t end_ms);
int64_t store_monotonic_ms(void);
/** `ms` from now, for pthread_cond_timedwait. */
struct timespec store_time_of(int64_t monotonic_ms);

/** Take `n` sequence numbers: the first. In a transaction. */
FRT_NODISCARD enum frt_status store_take_seqs(struct db *db, uint64_t n, uint64_t *first,
                                              struct frt_error *err);
/** The same in two steps: begun, and waited for. CONSUMES stmt. */
FRT_NODISCARD enum frt_status store_ask_seqs(struct db *db, uint64_t n, struct db_stmt **out,
                                             struct frt_error *err);
FRT_NODISCARD enum frt_status store_hear_seqs(struct db *db, uint64_t n, struct db_stmt *stmt, uint64_t *first,
                                              struct frt_error *err);
int64_t store_now_ms(const struct frt_store *store);
/** Ids of stores. */
FRT_NODISCARD enum frt_status store_read_id(struct db *db, uint8_t out[16], struct frt_error *err);
/** Collections whose deletion was begun. */
FRT_NODISCARD enum frt_status store_finish_deletions(struct frt_store *store, struct frt_error *err);

/** Tell whoever waits for changes that there is one. */
void store_tell_news(struct frt_store *store);
/** Sleep until then, or until store_tell_news. False: the time is up, or frt_store_wake. */
bool store_news_sleep(struct frt_store *store, int64_t ms, int64_t end_ms);
bool store_news_woken(struct frt_store *store);

extern const struct store_backend store_sqlite, store_postgres;

/* -------------------------------------------------------------------- page */

enum store_row_kind { STORE_COLLECTIONS, STORE_FACES, STORE_SUBJECTS, STORE_CHANGES, STORE_USERS, STORE_KEYS };

/** An empty page of rows of a kind. */
FRT_NODISCARD enum frt_status store_page_new(enum store_row_kind kind, struct frt_store_page **out,
                                             struct frt_error *err);
/** Room for one more row, zeroed; NULL without memory. Rows move: take no pointers before the page is complete.
 */
void *store_page_row(struct frt_store_page *page);
/** The page to *out when status is FRT_OK, else it is freed. CONSUMES page. Returns status. */
FRT_NODISCARD enum frt_status store_page_out(struct frt_store_page *page, struct frt_store_page **out,
                                             enum frt_status status);
/** Drop all rows; their texts stay. */
void store_page_reset(struct frt_store_page *page);
/** Drop the last row. */
void store_page_drop(struct frt_store_page *page);
void *store_page_rows(const struct frt_store_page *page, size_t *n);
/** A copy that lives as long as the page; NULL without memory. */
const char *store_page_text(struct frt_store_page *page, const char *text, size_t size);
/** A copy of a column's text. */
const char *store_page_column(struct frt_store_page *page, struct db_stmt *stmt, int column);
/** An aligned copy of an embedding blob. Errors: FRT_ESTORE_DAMAGED (length), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status store_page_embedding(struct frt_store_page *page, struct db_stmt *stmt,
                                                   int column, uint32_t dim, const float **out,
                                                   struct frt_error *err);

/* ------------------------------------------------------------------- crops */

/** Is the key the one that this store's crops are sealed with? The first key that comes is, unless the store is
 *  read-only: then nothing is noted. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status store_crops_check_key(struct frt_store *store, struct db *db,
                                                    struct frt_error *err);
/** Can a crop of this size be kept? Errors: FRT_EINVAL (too large; crops are sealed and there is no key). */
FRT_NODISCARD enum frt_status store_crop_check(const struct frt_store *store, size_t size,
                                               struct frt_error *err);
/** Keep a crop with a face. In a transaction. Errors: FRT_EINVAL (too large; crops are sealed and there is no
 *  key). */
FRT_NODISCARD enum frt_status store_crop_add(struct frt_store *store, struct db *db, uint64_t face,
                                             const uint8_t *crop, size_t size, struct frt_error *err);

/* ------------------------------------------------------------------ checks */

FRT_NODISCARD enum frt_status store_check_name(const char *name, struct frt_error *err);
FRT_NODISCARD enum frt_status store_check_subject(const char *subject, struct frt_error *err);
FRT_NODISCARD enum frt_status store_check_face_id(const char *face_id, struct frt_error *err);
FRT_NODISCARD enum frt_status store_check_metadata(const char *metadata, struct frt_error *err);

/** What most calls need to know of a collection. Errors: FRT_ECOLLECTION_NOT_FOUND. */
struct store_collection_facts {
    uint64_t key;
    uint32_t dim;
    char model[FRT_STORE_MODEL_MAX + 1];
};
FRT_NODISCARD enum frt_status store_collection_find(struct db *db, const char *name,
                                                    struct store_collection_facts *out, struct frt_error *err);
/** Key of a subject. Errors: FRT_ESUBJECT_NOT_FOUND. */
FRT_NODISCARD enum frt_status store_subject_find(struct db *db, uint64_t collection, const char *name,
                                                 uint64_t *key, struct frt_error *err);
/** Something of a collection's faces or subjects has changed that the index does not need to know, but whoever
 *  remembers rows does: its seq moves on. In a transaction. */
FRT_NODISCARD enum frt_status store_collection_touch(struct db *db, uint64_t collection, struct frt_error *err);
/** As frt_store_face_thresholds. In a transaction. */
FRT_NODISCARD enum frt_status store_set_thresholds(struct db *db, uint64_t collection, const uint64_t *keys,
                                                   const float *thresholds, size_t n, struct frt_error *err);
/** Delete faces that `select` (with ?1 = which) lists as (key, subject), note the deletions, keep the counts.
 */
FRT_NODISCARD enum frt_status store_delete_faces(struct db *db, uint64_t collection, const char *select,
                                                 uint64_t which, uint64_t *deleted, uint64_t *seq,
                                                 struct frt_error *err);

#endif
