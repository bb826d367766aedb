/*
 * FRT: galleries. Collections of enrolled faces: who is this, among a million?
 *
 *     frt_gallery (one database file) ── collections ── subjects (people) ── faces (one embedding each)
 *
 *     frt_gallery_open ─ frt_collection_put ─ frt_enroll / frt_enroll_embedding ─ frt_identify…
 *
 * A gallery is the SQLite file and, beside it, index snapshots that can be deleted at any time. Enrolling,
 * deleting and renaming are on disk when the call returns, and searches see them from then on.
 *
 * Texts handed in are borrowed for the call; a struct that is handed out owns its texts until its _deinit.
 * Conventions, threading words, coordinates: frt.h. Every struct's zero value is the documented default.
 */
#ifndef FRT_GALLERY_H
#define FRT_GALLERY_H

#include "frt/frt.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Internally locked: share between threads. */
struct frt_gallery;

/** Searches on a GPU (engine "cuda"; "faiss" where FAISS was built for one, without memory_bytes). Zeros are
 * the defaults. */
struct frt_gpu_search_options {
    uint32_t device;        /* number of the GPU */
    uint64_t memory_bytes;  /* of its memory, for indexes; 0 = three quarters of what is free */
    uint64_t scratch_bytes; /* of its memory, for searches under way; 0 = 512 MiB */
    uint64_t from;          /* faces from which on a collection is searched there; 0 = 50,000 */
};

enum frt_keep_crops {
    FRT_KEEP_CROPS_AS_SAID = 0 /* $FRT_KEEP_CROPS, else no */,
    FRT_KEEP_CROPS_YES,
    FRT_KEEP_CROPS_NO
};

struct frt_gallery_options {
    const char *path; /* database file, made if absent, or "postgresql://…"; NULL = $FRT_STORE or $FRT_DATABASE,
                         else frt.db in the data folder */
    const char *engine; /* "native", "faiss" or "cuda"; NULL = $FRT_INDEX_ENGINE, else native */
    uint32_t threads;   /* cores one search may use; 0 = all the process may use */
    bool read_only;     /* nothing is ever changed; the file must be there */
    /* Collections whose indexes are held in memory; entries: 0 = 50; bytes: of all together, but one is held
     * whatever its size, 0 = no bound; ttl_ms: after the last search in it, 0 = 2 h. */
    struct frt_cache_limits index_cache;
    /* Subjects whose faces a search need not read again; 0 = 8192, 32 MiB, 1 h from the first search. */
    struct frt_cache_limits subject_cache;
    bool background; /* start the thread that keeps indexes in shape, saves snapshots and follows what other
                        processes    change; without it that is done when a call needs it and at
                        frt_gallery_close
                      */
    /* Keep a crop of each face that is enrolled from a photo, so that another model can embed it
     * (docs/models.md); key_file: of the key that crops are sealed with; NULL = $FRT_KEY_FILE, "" = they are
     * not sealed. */
    enum frt_keep_crops keep_crops;
    const char *key_file;
    /* Folder of the indexes' snapshots; NULL = the file's path and ".index", of a server postgresql.index in
     * the data folder. */
    const char *index_folder;
    struct frt_gpu_search_options gpu_search; /* of the process: the first such gallery's count */
    uint32_t readers; /* reads of the database at once, at most 64; 0 = 8. One write goes on beside them */
};

/** Errors: FRT_ENOTFOUND (read_only), FRT_ESTORE_DAMAGED, FRT_EUNAVAILABLE (folder not writable; engine not in
 * this build), FRT_EINVAL (key file: holds no key, or not the one that this gallery's crops were sealed with),
 * FRT_EIO, FRT_ENOMEM. */
FRT_API FRT_NODISCARD enum frt_status frt_gallery_open(const struct frt_gallery_options *options,
                                                       struct frt_gallery **out, struct frt_error *err);
/** Saves what snapshots are due and closes. No other call may run. NULL is fine. */
FRT_API void frt_gallery_close(struct frt_gallery *gallery);
/** Can it be read and written? For readiness. */
FRT_API FRT_NODISCARD enum frt_status frt_gallery_check(struct frt_gallery *gallery, struct frt_error *err);

/**
 * The number of the last change that this gallery knows to be in its store; whatever one of its calls has
 * changed has this number or a smaller one once the call has returned. A search that begins now has every
 * change up to it, as does one of any other gallery on this store that knows this number.
 */
FRT_API uint64_t frt_gallery_known_seq(struct frt_gallery *gallery);
/** Let `told` hear, on a thread of the gallery (background), when that number may have grown, and about once a
 *  second. One at a time; NULL ends it, and then it does not run any more. */
FRT_API void frt_gallery_on_seq(struct frt_gallery *gallery, void (*told)(void *arg), void *arg);

/* ------------------------------------------------------------- collections */

/** Bits of struct frt_collection_settings.which */
enum frt_collection_setting {
    FRT_COLLECTION_THRESHOLD = 1 << 0,
    FRT_COLLECTION_TARGET_FPIR = 1 << 1,
    FRT_COLLECTION_METADATA = 1 << 2,
    FRT_COLLECTION_CALIBRATION = 1 << 3
};

struct frt_collection_settings {
    uint32_t
        which; /* the settings that are given; the others keep their value (a new collection: the default) */
    float threshold;      /* cosine from which a face is a match, -1..1; NaN = frt_pack_search_threshold */
    double target_fpir;   /* share of unknown probes that may come out as a match, 0..1; NaN = 0.01 */
    const char *metadata; /* JSON object, at most 16 KiB; NULL or "" = {} */
    /* Threshold table measured on its own people (docs/formats/thresholds-v1.md), at most 32 KiB; NULL or "" =
     * none: the pack's is used. */
    const char *calibration;
};

struct frt_collection_info {
    char name[129];
    char model[201]; /* embedder "name version" of its faces; "" until the first one */
    uint32_t dim;
    float threshold; /* NaN = frt_pack_search_threshold */
    double target_fpir;
    char *metadata;    /* owned */
    char *calibration; /* owned; "" = none */
    uint64_t faces, subjects, seq;
    int64_t created_ms; /* since 1970 */
    /* of the index; kind "" = not loaded */
    char index_engine[16], index_kind[16];
    uint64_t index_bytes;
    double recall_estimate, recall_low; /* NaN = not measured; recall_low: lower end of the 95 % interval */
    uint64_t index_behind;              /* numbers of changes that it has not followed yet */
};
FRT_API void frt_collection_info_deinit(struct frt_collection_info *info);

/**
 * Make a collection. Names: 1 to 128 of [A-Za-z0-9._-], not starting with a dot.
 * settings  NULL = defaults.
 * created   out: false when it stood already with the same settings; may be NULL.
 * Errors: FRT_ECONFLICT (stands with other settings), FRT_EINVAL (name, settings).
 */
FRT_API FRT_NODISCARD enum frt_status frt_collection_put(struct frt_gallery *gallery, const char *name,
                                                         const struct frt_collection_settings *settings,
                                                         bool *created, struct frt_error *err);
/** Errors of the calls below, too: FRT_ECOLLECTION_NOT_FOUND. */
FRT_API FRT_NODISCARD enum frt_status frt_collection_patch(struct frt_gallery *gallery, const char *name,
                                                           const struct frt_collection_settings *settings,
                                                           struct frt_error *err);
FRT_API FRT_NODISCARD enum frt_status frt_collection_get(struct frt_gallery *gallery, const char *name,
                                                         struct frt_collection_info *out,
                                                         struct frt_error *err);
/** Collections by name, those after `after` (NULL or "" = from the start), at most `limit` (1..1000).
 *  out  array of *n, owned: frt_collection_list_free. */
FRT_API FRT_NODISCARD enum frt_status frt_collection_list(struct frt_gallery *gallery, const char *after,
                                                          size_t limit, struct frt_collection_info **out,
                                                          size_t *n, struct frt_error *err);
FRT_API void frt_collection_list_free(struct frt_collection_info *list, size_t n);

struct frt_collection_removed {
    uint64_t faces;
    bool snapshot; /* an index snapshot was there and has been deleted */
};
/** Delete a collection with all its faces. removed: may be NULL. */
FRT_API FRT_NODISCARD enum frt_status frt_collection_delete(struct frt_gallery *gallery, const char *name,
                                                            struct frt_collection_removed *removed,
                                                            struct frt_error *err);

/* ------------------------------------------------------------------ faces */

struct frt_gallery_face {
    char *face_id, *subject, *metadata; /* owned */
    struct frt_box box;                 /* zeros: came as an embedding */
    float confidence;                   /* 0 = unknown */
    float quality;                      /* NaN = unknown */
    float threshold;                    /* cosine; NaN = the collection's */
    uint64_t key, seq;                  /* key: the cursor of lists */
    int64_t created_ms;
    float *embedding; /* f32[dim] or NULL; owned */
    uint32_t dim;
};
struct frt_gallery_faces {
    struct frt_gallery_face *faces;
    size_t n;
};
FRT_API void frt_gallery_faces_deinit(struct frt_gallery_faces *faces);

struct frt_face_list_options {
    const char *subject; /* NULL = all */
    uint64_t after;      /* faces with a greater key; 0 = from the start */
    size_t limit;        /* 1..1000; 0 = 100 */
    bool embeddings;
};
FRT_API FRT_NODISCARD enum frt_status frt_face_list(struct frt_gallery *gallery, const char *collection,
                                                    const struct frt_face_list_options *options,
                                                    struct frt_gallery_faces *out, struct frt_error *err);
/** One face (out->n is 1). Errors: FRT_EFACE_NOT_FOUND. */
FRT_API FRT_NODISCARD enum frt_status frt_face_get(struct frt_gallery *gallery, const char *collection,
                                                   const char *face_id, bool embedding,
                                                   struct frt_gallery_faces *out, struct frt_error *err);
FRT_API FRT_NODISCARD enum frt_status frt_face_delete(struct frt_gallery *gallery, const char *collection,
                                                      const char *face_id, struct frt_error *err);

struct frt_subject_info {
    char *name; /* owned */
    uint64_t faces;
    int64_t created_ms;
};
struct frt_subjects {
    struct frt_subject_info *subjects;
    size_t n;
};
FRT_API void frt_subjects_deinit(struct frt_subjects *subjects);
/** Subjects by name, those after `after`, at most `limit` (1..1000). */
FRT_API FRT_NODISCARD enum frt_status frt_subject_list(struct frt_gallery *gallery, const char *collection,
                                                       const char *after, size_t limit,
                                                       struct frt_subjects *out, struct frt_error *err);
/** Errors: FRT_ESUBJECT_NOT_FOUND, FRT_ECONFLICT (the new name stands already). */
FRT_API FRT_NODISCARD enum frt_status frt_subject_rename(struct frt_gallery *gallery, const char *collection,
                                                         const char *from, const char *to,
                                                         struct frt_error *err);
FRT_API FRT_NODISCARD enum frt_status frt_subject_delete(struct frt_gallery *gallery, const char *collection,
                                                         const char *subject, uint64_t *faces,
                                                         struct frt_error *err);

/* ----------------------------------------------------------------- enroll */

enum frt_on_multiple {
    FRT_MULTIPLE_REJECT = 0,
    FRT_MULTIPLE_LARGEST,
    FRT_MULTIPLE_ALL,
    FRT_MULTIPLE_CLEAR /* the largest when its box has at least twice the area of any other, else reject */
};
enum frt_on_duplicate { FRT_DUPLICATE_ALLOW = 0, FRT_DUPLICATE_REJECT };

struct frt_enroll_options {
    const char *subject;  /* required, 1..256 bytes of UTF-8 */
    const char *face_id;  /* NULL = made; only with one face */
    const char *metadata; /* JSON object; NULL = {} */
    enum frt_on_multiple on_multiple;
    enum frt_on_duplicate on_duplicate; /* REJECT: a face that another subject's face matches, or that this
                                           subject has already (similarity >= 0.999), is not taken */
    float duplicate_similarity; /* from which another subject's face is a duplicate; 0 = the collection's
                                   threshold */
    float min_quality;          /* 0..1 */
    bool require_live;          /* liveness: a face that looks like a spoof is not taken */
    float min_confidence;       /* of the detector; 0 = the pack's default */
    /* The older service's rules (docs/api.md): the subject must be new (FRT_ECONFLICT), the nearest face must
     * be at distance 0.2 or more (FRT_EDUPLICATE) unless `force`, the face gets an adaptive threshold. */
    bool older_rules, force;
    int64_t deadline_ms; /* on the monotonic clock; 0 = none */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
    bool bulk; /* lets others go first where work waits for a place */
};

struct frt_enroll_rejection {
    size_t image;           /* which photo */
    enum frt_status status; /* FRT_ENO_FACE, FRT_EMULTIPLE_FACES, FRT_ELOW_QUALITY, FRT_ESPOOF, FRT_EDUPLICATE,
                               FRT_ECONFLICT, FRT_EBAD_IMAGE, … */
    char *text;             /* owned; a sentence */
    char *face_id;          /* of the face it is a duplicate of; owned, or NULL */
    float similarity;       /* to that face */
};

struct frt_enroll_timing { /* milliseconds */
    double embed_ms, store_ms, search_ms, index_ms, total_ms;
};

struct frt_enrolled {
    struct frt_gallery_faces faces; /* those that were taken */
    struct frt_enroll_rejection *rejected;
    size_t n_rejected;
    struct frt_timing image_timing; /* summed over the photos */
    struct frt_enroll_timing timing;
};
FRT_API void frt_enrolled_deinit(struct frt_enrolled *enrolled);

/**
 * Enroll the faces of photos of one subject, in one transaction.
 *
 * pack    its embedder's faces only ever meet its own: FRT_EMODEL_MISMATCH for a collection of another model.
 * images  [n], 1..64.
 * out     taken and rejected faces; at least one was taken.
 * Errors: as the first rejection when no face was taken (out is filled all the same: deinit it);
 *         FRT_ECOLLECTION_NOT_FOUND, FRT_EINVAL, FRT_ETIMEOUT, FRT_ECANCELLED, FRT_ESTORAGE_FULL, …
 */
FRT_API FRT_NODISCARD enum frt_status frt_enroll(struct frt_gallery *gallery, const struct frt_pack *pack,
                                                 const char *collection, const struct frt_image *const *images,
                                                 size_t n, const struct frt_enroll_options *options,
                                                 struct frt_enrolled *out, struct frt_error *err);
/** Enroll an embedding. model: "name version" of its embedder; f32[dim], L2-normalised. */
FRT_API FRT_NODISCARD enum frt_status frt_enroll_embedding(struct frt_gallery *gallery, const char *collection,
                                                           const char *model, const float *embedding,
                                                           uint32_t dim,
                                                           const struct frt_enroll_options *options,
                                                           struct frt_enrolled *out, struct frt_error *err);

/**
 * The similarity from which a face counts as a match in a gallery of `people`, when nobody has said another:
 * the pack's threshold for two photos, raised so far that of unknown faces at most the share `target_fpir`
 * comes out with a name.
 *
 * A face that is compared with n people has n chances of a false match, so the share of false matches of one
 * comparison must be about target_fpir / n. The pack's threshold table says what threshold that takes, here for
 * one photo a person (docs/thresholds.md); without one the manifest (threshold_fmr, threshold_decade); a pack
 * that says neither keeps its threshold. A search of a collection goes by its mean number of photos a person.
 *
 * target_fpir  0..1; NaN or 0 = 0.01.
 */
FRT_API float frt_pack_search_threshold(const struct frt_pack *pack, uint64_t people, double target_fpir);

/** "name version" of a pack's embedder, as collections and imports name it. Borrowed from the pack. */
FRT_API const char *frt_pack_model(const struct frt_pack *pack);

/* --------------------------------------------------------------- identify */

enum frt_subject_score {
    FRT_SCORE_DEFAULT = 0, /* FUSED: at the same rate of strangers named it missed fewer people than BEST, or as
                              many, with every pack measured (docs/eval.md) */
    FRT_SCORE_BEST,        /* a subject scores as its most similar face */
    FRT_SCORE_FUSED        /* … as the normalised mean of its faces */
};

struct frt_identify_options {
    uint32_t top_k;  /* 1..1000; 0 = 5 */
    float threshold; /* cosine; NaN or 0 with threshold_set false = per face, else per collection, else the
                        pack's */
    bool threshold_set;
    bool every_face;             /* a subject may appear once per face; default: once */
    bool candidates;             /* also what does not pass: all top_k */
    bool probability;            /* of a false match, with each match */
    const struct frt_pack *pack; /* frt_identify_embeddings: whose search threshold applies where no other is
                                    set; NULL = default_threshold does. Borrowed */
    float least_default; /* where neither these options, the face nor the collection has a threshold, the pack's
                            is raised to this cosine at least; 0 = it stands as it is */
    enum frt_subject_score score;
    uint32_t max_faces;   /* of a photo, largest first; 0 = 1 */
    float min_confidence; /* 0 = the pack's default */
    int64_t deadline_ms;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
    bool bulk;         /* as in frt_enroll_options */
    bool require_live; /* liveness: a face of a photo that looks like a spoof is not named: it is in the answer
                          as unknown, without matches; FRT_ESPOOF when all are spoofs */
};

struct frt_match {
    char *face_id, *subject, *metadata; /* owned */
    float similarity, distance, threshold;
    bool match; /* similarity >= threshold */
    /* Share of strangers who are as similar to anybody in a gallery of this size; 0 = not known: it was not
     * asked for, or there is no threshold table. */
    double false_match_probability;
};
struct frt_identified_face {
    struct frt_face face;      /* zeros for an embedding */
    bool known;                /* at least one match */
    struct frt_match *matches; /* best first; owned */
    size_t n_matches;
};
struct frt_identified {
    struct frt_identified_face *faces;
    size_t n;
    struct frt_timing image_timing;
    double load_ms, search_ms, total_ms; /* load: of the index, when it was not there yet */
};
FRT_API void frt_identified_deinit(struct frt_identified *identified);

/** Who is in this photo? No face: out->n is 0, no error. Errors: FRT_ECOLLECTION_NOT_FOUND,
 * FRT_EMODEL_MISMATCH, … */
FRT_API FRT_NODISCARD enum frt_status frt_identify(struct frt_gallery *gallery, const struct frt_pack *pack,
                                                   const char *collection, const struct frt_image *image,
                                                   const struct frt_identify_options *options,
                                                   struct frt_identified *out, struct frt_error *err);
/**
 * Whose are these embeddings? All are looked for in one pass.
 * model              "name version" of their embedder; NULL = not checked (dim still is).
 * default_threshold  cosine where neither options, face nor collection has one.
 */
FRT_API FRT_NODISCARD enum frt_status frt_identify_embeddings(
    struct frt_gallery *gallery, const char *collection, const char *model, const float *embeddings, size_t n,
    uint32_t dim, float default_threshold, const struct frt_identify_options *options,
    struct frt_identified *out, struct frt_error *err);

/* ------------------------------------------------------------------- jobs */

enum frt_job_state { FRT_JOB_QUEUED = 0, FRT_JOB_RUNNING, FRT_JOB_DONE, FRT_JOB_FAILED, FRT_JOB_CANCELLED };
struct frt_job {
    char id[33];
    char collection[129];
    enum frt_job_state state;
    uint64_t done, total; /* faces */
    double eta_seconds;   /* NaN = unknown */
    struct frt_error error;
};
/** Build a collection's index anew from the store, in the background; searches go on with the old one
 * meanwhile. A collection whose rebuild is under way gets that job. */
FRT_API FRT_NODISCARD enum frt_status frt_rebuild(struct frt_gallery *gallery, const char *collection,
                                                  struct frt_job *out, struct frt_error *err);
/** Errors: FRT_ENOTFOUND (the last 1,000 jobs are remembered). */
FRT_API FRT_NODISCARD enum frt_status frt_job_get(struct frt_gallery *gallery, const char *id,
                                                  struct frt_job *out, struct frt_error *err);

/* --------------------------------------------------------- import, export */

/** NDJSON, a face a line: {"subject","face_id"?,"embedding":[…]|"<base64 f32>","metadata"?,…}:
 * docs/formats/ndjson-v1.md. One owner. */
struct frt_importer;
struct frt_import_rejection {
    uint64_t line; /* from 1 */
    enum frt_status status;
    char text[200];
};
struct frt_import_report {
    uint64_t lines, imported, n_rejected;
    struct frt_import_rejection *rejected; /* the first 1,000; borrowed from the importer */
    size_t n_listed;
};
/** Faces are committed in batches while lines come; memory stays constant. model: of the embeddings. */
FRT_API FRT_NODISCARD enum frt_status frt_import_begin(struct frt_gallery *gallery, const char *collection,
                                                       const char *model, uint32_t dim,
                                                       struct frt_importer **out, struct frt_error *err);
/** Take the next bytes; lines may be cut anywhere. Errors: those that end the import (store); bad lines are
 * rejected, not errors. */
FRT_API FRT_NODISCARD enum frt_status frt_import_feed(struct frt_importer *importer, const void *bytes,
                                                      size_t size, struct frt_error *err);
/** The last line may lack its newline. Commits the rest. */
FRT_API FRT_NODISCARD enum frt_status frt_import_finish(struct frt_importer *importer, struct frt_error *err);
FRT_API struct frt_import_report frt_import_report_get(const struct frt_importer *importer);
FRT_API void frt_importer_free(struct frt_importer *importer);

/** Export a page of NDJSON lines: faces with key > *cursor, at most `limit` (0 = 500). Lines are appended to
 * the malloc'ed *text (free with frt_export_free). *cursor moves on; *size 0 = the end. */
FRT_API FRT_NODISCARD enum frt_status frt_export_page(struct frt_gallery *gallery, const char *collection,
                                                      uint64_t *cursor, size_t limit, char **text, size_t *size,
                                                      struct frt_error *err);
FRT_API void frt_export_free(char *text);

#ifdef __cplusplus
}
#endif
#endif
