/*
 * The inside of the store, shared by its files:
 *
 *     store.c              life: open, schema, migrations, taking turns
 *     store_collections.c  store_faces.c  store_subjects.c  store_changes.c  store_access.c
 *     store_crops.c        crops of faces, sealed or not      store_migrate.c  embeddings of another model
 *     store_page.c         rows handed out, and the memory of their texts
 *     sqlite_db.c          the adapter
 *
 * Locks: turn_lock (whose turn it is to write; a leaf) and pool_lock (free readers; a leaf). Neither is held
 * while SQL runs: a writer holds the turn, a flag.
 */
#ifndef FRT_STORE_STORE_INTERNAL_H
#define FRT_STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "store/sqlite_db.h"
#include "store/store.h"

enum { STORE_MAX_READERS = 64, STORE_FACE_ID_MADE = 15 };

struct frt_store {
    char *path;
    struct frt_store_options options; /* path not used */
    uint8_t id[16];

    pthread_mutex_t turn_lock;
    pthread_cond_t turn_free;
    bool turn_taken;
    uint32_t writers_waiting;
    uint64_t writers_refused;
    struct db *writer; /* NULL when read-only; used by whoever has the turn */

    pthread_mutex_t pool_lock;
    pthread_cond_t reader_free;
    struct db *idle[STORE_MAX_READERS];
    uint32_t n_idle, n_readers; /* open: idle and lent */
    uint32_t readers_waiting;
    uint64_t readers_refused;

    uint8_t crop_key[FRT_SEAL_KEY_BYTES];
    bool has_crop_key,
        seals_crops; /* there is a key; crops of this store were sealed before. Set when opened */

    void (*watch)(void *arg, double ms); /* set before threads start; NULL = nobody */
    void *watch_arg;
};

/** A reader, waiting at most the busy time. Give it back with store_reader_done. */
FRT_NODISCARD enum frt_status store_reader(struct frt_store *store, struct db **out, struct frt_error *err);
/** A reader that is free this moment; NULL when none is. */
struct db *store_reader_at_once(struct frt_store *store);
void store_reader_done(struct frt_store *store, struct db *db);

/** The turn to write, and a transaction. */
FRT_NODISCARD enum frt_status store_begin(struct frt_store *store, struct db **out, struct frt_error *err);
/** Commit when `status` is FRT_OK, else roll back; give the turn back. Returns what the caller should return.
 */
FRT_NODISCARD enum frt_status store_end(struct frt_store *store, enum frt_status status, struct frt_error *err);

/** Take `n` sequence numbers: the first. In a transaction. */
FRT_NODISCARD enum frt_status store_take_seqs(struct db *db, uint64_t n, uint64_t *first,
                                              struct frt_error *err);
int64_t store_now_ms(const struct frt_store *store);

/* -------------------------------------------------------------------- page */

enum store_row_kind { STORE_COLLECTIONS, STORE_FACES, STORE_SUBJECTS, STORE_CHANGES, STORE_USERS, STORE_KEYS };

/** An empty page of rows of a kind. */
FRT_NODISCARD enum frt_status store_page_new(enum store_row_kind kind, struct frt_store_page **out,
                                             struct frt_error *err);
/** Room for one more row, zeroed; NULL without memory. Rows move: take no pointers before the page is complete.
 */
void *store_page_row(struct frt_store_page *page);
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

/** Is the key the one that this store's crops are sealed with? The first key that comes is. db: a writer in no
 *  transaction, or NULL (read-only: nothing is noted). Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status store_crops_check_key(struct frt_store *store, struct db *writer,
                                                    struct db *reader, struct frt_error *err);
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
/** Delete faces that `select` (with ?1 = which) lists as (key, subject), note the deletions, keep the counts.
 */
FRT_NODISCARD enum frt_status store_delete_faces(struct db *db, uint64_t collection, const char *select,
                                                 uint64_t which, uint64_t *deleted, uint64_t *seq,
                                                 struct frt_error *err);

#endif
