/*
 * The store: the only truth about collections, subjects, faces, users and keys.
 *
 *     frt_store_* ── store_*.c, by concept ── db.h ─┬─ sqlite_db.c ── one SQLite file (WAL)
 *                                                   └─ postgres_db.c ── a PostgreSQL server, for several
 * instances
 *
 * Durable: when a writing call returns FRT_OK its change is on disk. Atomic: a call changes everything it
 * says or nothing. Every change of a collection's faces gets a sequence number, greater than all before it in
 * the whole store, and is seen in the order of these numbers: whoever has seen one has seen, or can see, all
 * before it. frt_store_changes hands out what happened since one, deletions included, so that an
 * index derived from the store can catch up. Face keys, collection keys and subject keys are never used again.
 *
 * Texts are UTF-8 without control characters. Structs that hold text borrow it: from the caller on the way
 * in, from the page (freed with frt_store_page_free) on the way out.
 *
 * Threading: internally locked; call from any thread. Reads run side by side and never wait for the writer;
 * writes take turns and wait for their turn at most the busy time (FRT_EOVERLOADED after it). Other processes
 * may use the same file at the same time.
 *
 * Errors that every call may give: FRT_EIO (the disk; the text names the file and what the system said),
 * FRT_ESTORAGE_FULL (no space: nothing was changed, reads go on, writes work again once there is room),
 * FRT_ESTORE_DAMAGED (the file is no store, or corrupt), FRT_EUNAVAILABLE (read-only file or folder),
 * FRT_EOVERLOADED (another writer held the file too long), FRT_ENOMEM. Of a server, too: FRT_EUNAVAILABLE (it
 * does not answer, or refuses; nothing was changed, unless the text says that this could not be found out).
 */
#ifndef FRT_STORE_STORE_H
#define FRT_STORE_STORE_H

#include "core/clock.h"
#include "core/crypto.h"
#include "core/status.h"

enum {
    FRT_STORE_NAME_MAX = 128,           /* collection: [A-Za-z0-9._-], not starting with a dot */
    FRT_STORE_SUBJECT_MAX = 256,        /* bytes */
    FRT_STORE_FACE_ID_MAX = 128,        /* bytes; no '/' */
    FRT_STORE_METADATA_MAX = 16 * 1024, /* bytes; a JSON object as text; "" = {} */
    FRT_STORE_CALIBRATION_MAX = 32 * 1024,
    FRT_STORE_MODEL_MAX = 200,    /* bytes; "name version" of the embedder */
    FRT_STORE_PAGE_MAX = 1000,    /* rows of a page */
    FRT_STORE_CROP_MAX = 1 << 20, /* bytes */
    FRT_STORE_BATCH_MAX = 10000   /* faces of one frt_store_faces_add */
};

struct frt_store;

struct frt_store_options {
    const char *path;   /* database file; made if absent (mode 0600), with its folder; or store_address.h */
    bool read_only;     /* never change anything; the file, or the tables, must be there */
    uint32_t readers;   /* connections kept for reading; 0 = 8 */
    uint32_t busy_ms;   /* longest wait for another writer; 0 = 5000 */
    uint32_t answer_ms; /* a server: longest that a call takes, with all its waits and tries; 0 = 10000. What
                           says that it may take minutes may take ten */
    const struct frt_clock *clock; /* NULL = the system's; wall time of created_ms */
    const uint8_t *crop_key; /* [FRT_SEAL_KEY_BYTES]: crops are sealed with it; NULL = they are not. Copied */
};

/** Open, make or migrate. Errors: FRT_ENOTFOUND (read_only), FRT_ESTORE_DAMAGED (not a store of ours, corrupt,
 * or made by a newer version: the text says which), FRT_EINVAL (its crops were sealed with another key). */
FRT_NODISCARD enum frt_status frt_store_open(const struct frt_store_options *options, struct frt_store **out,
                                             struct frt_error *err);
/** What texts may call the store at an address (frt_store_options.path): without a password. Cut to fit. */
void frt_store_describe(const char *path, char *out, size_t size);
/** Close. No other call may run. NULL is fine. */
void frt_store_close(struct frt_store *store);
/** Let `done` hear what each read or write took, from its connection on, on the thread that did it. Once;
 * what others do meanwhile may go untold. */
void frt_store_watch(struct frt_store *store, void (*done)(void *arg, double ms), void *arg);
struct frt_store_stats {
    uint32_t limit, busy, waiting; /* connections: there may be, in use, and who waits for one */
    uint64_t refused;              /* waited longer than the busy time */
    uint64_t reconnects;           /* connections to a server that were lost */
    uint64_t errors;               /* calls that failed by the database, not by what was asked of it */
    const char *kind;              /* "sqlite", "postgresql" */
};
struct frt_store_stats frt_store_stats_get(struct frt_store *store);
/** Can the store be read and written right now? For readiness. */
FRT_NODISCARD enum frt_status frt_store_check(struct frt_store *store, struct frt_error *err);
/** Random number of the store, made with it: what is derived from a store names it. */
void frt_store_id(const struct frt_store *store, uint8_t out[16]);
/** Sequence number of the last change of any collection, by whatever process; 0 = none yet. A few microseconds.
 */
FRT_NODISCARD enum frt_status frt_store_last_seq(struct frt_store *store, uint64_t *out, struct frt_error *err);

enum { FRT_STORE_NEWS_MAX = 64 };
struct frt_store_news {
    uint64_t last_seq;                 /* of the last committed change */
    uint64_t keys[FRT_STORE_NEWS_MAX]; /* collections that have changed after the number asked about */
    size_t n;
    bool more; /* there are others: look at every one that counts */
};
/**
 * Wait until a change with a number greater than `after_seq` has been committed, by whatever process. One
 * thread at a time.
 *
 * deadline_ms  monotonic (frt_now_ns() / 1000000).
 * news         out: last_seq <= after_seq: the time is up, or frt_store_wake.
 * Not numbered, and not told of: settings of collections, new collections, users and keys.
 * Errors: FRT_EUNAVAILABLE (no connection to the server; call again), those of store.h.
 */
FRT_NODISCARD enum frt_status frt_store_wait_changes(struct frt_store *store, uint64_t after_seq,
                                                     int64_t deadline_ms, struct frt_store_news *news,
                                                     struct frt_error *err);
/** The wait under way, or else the next one, returns at once. */
void frt_store_wake(struct frt_store *store);

/** Rows and the memory their texts live in. Owned by the caller: frt_store_page_free (NULL is fine). */
struct frt_store_page;
void frt_store_page_free(struct frt_store_page *page);

/* ------------------------------------------------------------- collections */

struct frt_store_collection {
    uint64_t key; /* out */
    const char *name;
    const char *model;        /* embedder "name version"; "" until the first face fixes it */
    uint32_t dim;             /* 0 until then */
    float threshold;          /* cosine; NaN = the pack's default */
    double target_fpir;       /* NaN = none */
    const char *metadata;     /* JSON object; "" = {} */
    const char *calibration;  /* threshold table of its own people, JSON; "" = none */
    uint64_t faces, subjects; /* out; counted exactly, kept by the writer */
    uint64_t seq;             /* out: of the last change to its faces; 0 = none */
    int64_t created_ms;       /* out: since 1970 */
};

/** Bits: which settings a patch changes. */
enum frt_store_setting {
    FRT_STORE_SET_THRESHOLD = 1 << 0,
    FRT_STORE_SET_TARGET_FPIR = 1 << 1,
    FRT_STORE_SET_METADATA = 1 << 2,
    FRT_STORE_SET_CALIBRATION = 1 << 3
};

/** Add a collection: name, threshold, target_fpir, metadata, calibration of `row` are read (model and dim, too,
 * when dim is not 0). Errors: FRT_ECONFLICT (stands already), FRT_EINVAL (name, metadata, numbers). */
FRT_NODISCARD enum frt_status frt_store_collection_add(struct frt_store *store,
                                                       const struct frt_store_collection *row,
                                                       struct frt_error *err);
/** Change the settings that `which` names. Errors: FRT_ECOLLECTION_NOT_FOUND, FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_store_collection_patch(struct frt_store *store, uint32_t which,
                                                         const struct frt_store_collection *row,
                                                         struct frt_error *err);
/** One collection. Errors: FRT_ECOLLECTION_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_collection_get(struct frt_store *store, const char *name,
                                                       struct frt_store_page **page,
                                                       struct frt_store_collection *out, struct frt_error *err);
/** As frt_store_collection_get, but it waits for nobody: FRT_EOVERLOADED when no connection is free. */
FRT_NODISCARD enum frt_status frt_store_collection_glance(struct frt_store *store, const char *name,
                                                          struct frt_store_page **page,
                                                          struct frt_store_collection *out,
                                                          struct frt_error *err);
/** Collections whose name is greater than `after` ("" = from the start), by name (bytes), at most `limit`. */
FRT_NODISCARD enum frt_status frt_store_collection_list(struct frt_store *store, const char *after,
                                                        size_t limit, struct frt_store_page **page,
                                                        const struct frt_store_collection **rows, size_t *n,
                                                        struct frt_error *err);
/** Delete with everything in it. faces: how many went; may be NULL. Errors: FRT_ECOLLECTION_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_collection_delete(struct frt_store *store, const char *name,
                                                          uint64_t *faces, struct frt_error *err);

/* ------------------------------------------------------------------- faces */

struct frt_store_face {
    uint64_t key;         /* out: never used again */
    uint64_t seq;         /* out: of its addition, or of its last change of threshold */
    uint64_t subject_key; /* out: stays when the subject is renamed */
    const char *face_id;  /* in: NULL or "" = the store makes one from the key ("f" and 13 base-32 digits) */
    const char *subject;
    const float *embedding; /* f32[dim], unit; out: aligned copy, NULL unless asked for */
    const char *metadata;   /* JSON object; "" = {} */
    struct frt_box box;     /* pixels of the photo; zeros when it came as an embedding */
    float confidence;       /* of the detector, 0..1; 0 = unknown */
    float quality;          /* 0..1; NaN = unknown */
    float threshold;        /* cosine this face alone is accepted from; NaN = the collection's */
    int64_t created_ms;     /* out */
    const uint8_t *crop;    /* in: kept with the face; NULL = none. frt_store_crop_get reads it */
    size_t crop_size;       /* at most FRT_STORE_CROP_MAX */
};

struct frt_store_add {
    const char *collection;
    const char *model; /* "name version" of the embedder that made the embeddings */
    uint32_t dim;
    const struct frt_store_face *faces;
    size_t n;         /* 1..FRT_STORE_BATCH_MAX */
    bool new_subject; /* refuse (FRT_ECONFLICT) when a subject of these stands already */
    /* NULL = whatever happened; else nothing is added, *moved is set and FRT_ECONFLICT said when the
     * collection's seq is no longer `seen_seq`: what was found out about its faces may have changed. */
    bool *moved;
    uint64_t seen_seq;
    /* rejected[n] or NULL: with it, a face that cannot be taken (its id stands already; its values are wrong)
     * gets its status there and the rest is added; without it, one such face fails the call. */
    enum frt_status *rejected;
    struct frt_error *reasons; /* [n] or NULL; filled with `rejected` */
    /* When not 0: faces whose threshold is changed in the same transaction, as frt_store_face_threshold would.
     */
    const uint64_t *lower_keys;
    const float *lower_thresholds;
    size_t n_lower;
};

/**
 * Add faces, all in one transaction.
 *
 * keys, seqs  out [n], each may be NULL: key and sequence number of each; 0 for a rejected one.
 * made        out: NULL, or a page whose rows (frt_store_page_faces) are the added faces with their ids.
 * Errors: FRT_ECOLLECTION_NOT_FOUND; FRT_EMODEL_MISMATCH (the collection holds faces of another model or size;
 * the text names both); FRT_ECONFLICT (a face_id or, with new_subject, a subject stands already); FRT_EINVAL.
 */
FRT_NODISCARD enum frt_status frt_store_faces_add(struct frt_store *store, const struct frt_store_add *add,
                                                  uint64_t *keys, uint64_t *seqs, struct frt_store_page **made,
                                                  struct frt_error *err);
/** The faces of a page; *n of them. */
const struct frt_store_face *frt_store_page_faces(const struct frt_store_page *page, size_t *n);

/** One face by its id. Errors: FRT_ECOLLECTION_NOT_FOUND, FRT_EFACE_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_face_get(struct frt_store *store, const char *collection,
                                                 const char *face_id, bool embedding,
                                                 struct frt_store_page **page, struct frt_error *err);

/**
 * Faces by key, for the hits of a search: rows in the order of `keys`; a key that stands no more is left out.
 * Cost: a few microseconds a key. Errors: the common ones.
 */
FRT_NODISCARD enum frt_status frt_store_faces_by_key(struct frt_store *store, uint64_t collection_key,
                                                     const uint64_t *keys, size_t n, bool embedding,
                                                     struct frt_store_page **page, struct frt_error *err);

/**
 * The first faces of a subject, with embeddings, in order of key, at most `limit`; none when there is no such
 * subject (any more).
 * row  of the collection, as it was read.
 */
FRT_NODISCARD enum frt_status frt_store_faces_of(struct frt_store *store,
                                                 const struct frt_store_collection *row, uint64_t subject_key,
                                                 size_t limit, struct frt_store_page **page,
                                                 struct frt_error *err);

/** Faces in order of key, those with key > after, at most `limit`; subject NULL = all.
 *  Errors: FRT_ECOLLECTION_NOT_FOUND, FRT_ESUBJECT_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_faces_list(struct frt_store *store, const char *collection,
                                                   const char *subject, uint64_t after, size_t limit,
                                                   bool embedding, struct frt_store_page **page,
                                                   struct frt_error *err);

/** Delete a face; its subject goes with its last face. seq: out, may be NULL.
 *  Errors: FRT_ECOLLECTION_NOT_FOUND, FRT_EFACE_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_face_delete(struct frt_store *store, const char *collection,
                                                    const char *face_id, uint64_t *seq, struct frt_error *err);
/** Set the thresholds of faces by key (NaN = the collection's). Keys that stand no more are passed over. */
FRT_NODISCARD enum frt_status frt_store_face_thresholds(struct frt_store *store, uint64_t collection_key,
                                                        const uint64_t *keys, const float *thresholds, size_t n,
                                                        struct frt_error *err);

/* ---------------------------------------------------------------- subjects */

struct frt_store_subject {
    uint64_t key;
    const char *name;
    uint64_t faces;
    int64_t created_ms;
};

/** Subjects whose name is greater than `after`, by name (bytes), at most `limit`. */
FRT_NODISCARD enum frt_status frt_store_subject_list(struct frt_store *store, const char *collection,
                                                     const char *after, size_t limit,
                                                     struct frt_store_page **page,
                                                     const struct frt_store_subject **rows, size_t *n,
                                                     struct frt_error *err);
/** Errors: FRT_ECOLLECTION_NOT_FOUND, FRT_ESUBJECT_NOT_FOUND, FRT_ECONFLICT (the new name stands already),
 * FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_store_subject_rename(struct frt_store *store, const char *collection,
                                                       const char *from, const char *to, struct frt_error *err);
/** Delete a subject with all its faces. faces: how many went; may be NULL. */
FRT_NODISCARD enum frt_status frt_store_subject_delete(struct frt_store *store, const char *collection,
                                                       const char *subject, uint64_t *faces,
                                                       struct frt_error *err);

/* ----------------------------------------------------------------- changes */

struct frt_store_change {
    uint64_t seq;
    uint64_t key;           /* of the face */
    uint64_t subject_key;   /* 0 when deleted */
    const float *embedding; /* f32[dim]; NULL = the face was deleted */
};

/**
 * What happened to a collection's faces after sequence number `after`, in order, at most `limit` (any number up
 * to FRT_STORE_BATCH_MAX). A face that was added and deleted since shows up as deleted only. From 0 it is every
 * face that stands.
 *
 * complete_from  out: deletions up to this number have been forgotten (frt_store_changes_forget). A reader that
 * has followed up to `after` and sees a greater number here has missed some and must start again from 0; one
 * that is on its way from 0 only when the number has grown since its first page.
 */
FRT_NODISCARD enum frt_status frt_store_changes(struct frt_store *store, uint64_t collection_key,
                                                uint64_t after, size_t limit, struct frt_store_page **page,
                                                const struct frt_store_change **rows, size_t *n,
                                                uint64_t *complete_from, struct frt_error *err);
/** Deletions up to `seq` need not be kept for readers any more. */
FRT_NODISCARD enum frt_status frt_store_changes_forget(struct frt_store *store, uint64_t collection_key,
                                                       uint64_t seq, struct frt_error *err);

/* ------------------------------------------------------------ users and keys */

enum frt_role { FRT_ROLE_NONE = 0, FRT_ROLE_READER, FRT_ROLE_WRITER, FRT_ROLE_ADMIN };

struct frt_store_user {
    const char *email;         /* 3..254 bytes with an '@', compared without case (stored in lower case) */
    const char *password_hash; /* frt_password_hash's text */
    enum frt_role role;
    int64_t created_ms; /* out */
    uint64_t version;   /* out: grows with every change; a token of an older one is no longer good */
};

/** Errors: FRT_ECONFLICT (stands already), FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_store_user_add(struct frt_store *store, const struct frt_store_user *row,
                                                 struct frt_error *err);
/** New password hash (NULL = as it is) or role (FRT_ROLE_NONE = as it is). Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status frt_store_user_change(struct frt_store *store, const char *email,
                                                    const char *password_hash, enum frt_role role,
                                                    struct frt_error *err);
FRT_NODISCARD enum frt_status frt_store_user_delete(struct frt_store *store, const char *email,
                                                    struct frt_error *err);
/** Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status frt_store_user_get(struct frt_store *store, const char *email,
                                                 struct frt_store_page **page, struct frt_store_user *out,
                                                 struct frt_error *err);
FRT_NODISCARD enum frt_status frt_store_user_list(struct frt_store *store, struct frt_store_page **page,
                                                  const struct frt_store_user **rows, size_t *n,
                                                  struct frt_error *err);

struct frt_store_key {
    const char *id;   /* shown in lists: "k_…" */
    const char *name; /* what it is for, 1..128 bytes */
    uint8_t hash[32]; /* SHA-256 of the key; the key itself is stored nowhere */
    enum frt_role role;
    int64_t created_ms; /* out */
    int64_t expires_ms; /* 0 = never */
};

FRT_NODISCARD enum frt_status frt_store_key_add(struct frt_store *store, const struct frt_store_key *row,
                                                struct frt_error *err);
/** Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status frt_store_key_delete(struct frt_store *store, const char *id,
                                                   struct frt_error *err);
/** By id (the part of a key that may be shown). Errors: FRT_ENOTFOUND. */
FRT_NODISCARD enum frt_status frt_store_key_get(struct frt_store *store, const char *id,
                                                struct frt_store_page **page, struct frt_store_key *out,
                                                struct frt_error *err);
FRT_NODISCARD enum frt_status frt_store_key_list(struct frt_store *store, struct frt_store_page **page,
                                                 const struct frt_store_key **rows, size_t *n,
                                                 struct frt_error *err);
/** Are there users or keys at all? */
FRT_NODISCARD enum frt_status frt_store_has_credentials(struct frt_store *store, bool *out,
                                                        struct frt_error *err);

/**
 * A secret of this store, made on first use from the system's randomness, 32 bytes: e.g. "jwt" signs tokens.
 * Errors: FRT_EINVAL (name: 1..32 of [a-z0-9_]).
 */
FRT_NODISCARD enum frt_status frt_store_secret(struct frt_store *store, const char *name, uint8_t out[32],
                                               struct frt_error *err);

#endif
