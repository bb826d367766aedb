/*
 * Which similarity counts as a match, and what that rests on.
 *
 *     the collection's own table (frt calibrate --collection --apply), else
 *     the pack's: thresholds.json beside its manifest (frt calibrate --apply), else the one compiled in for its
 *     embedder (share/thresholds), by the SHA-256 of its file, by name, version and size, or by those of
 *     what it was compiled from (INT8 keeps within bounds of the original's scores: model/compile.h), else
 *     threshold_fmr and threshold_decade of the manifest (search_threshold.h), else the manifest's threshold as
 * it is
 *
 * From a table the threshold follows from the number of people, their photos and the share of strangers that
 * may be named; it is never below the pack's threshold for two photos.
 *
 * Threading: a basis is immutable once loaded; the rest is pure.
 */
#ifndef FRT_ENGINE_THRESHOLD_BASIS_H
#define FRT_ENGINE_THRESHOLD_BASIS_H

#include "engine/search_threshold.h"
#include "engine/threshold_table.h"
#include "model/pack_files.h"

#define FRT_THRESHOLDS_FILE "thresholds.json" /* in the pack's folder */

enum frt_table_match {
    FRT_TABLE_NONE = 0,
    FRT_TABLE_BY_ORIGINAL, /* of what the embedder was compiled from ('frt models compile') */
    FRT_TABLE_BY_NAME,     /* name, version and size of the embedder */
    FRT_TABLE_BY_FILE      /* its SHA-256 */
};

/** "original", "name", "file"; "" for none. Static storage. */
const char *frt_table_match_name(enum frt_table_match match);

struct frt_threshold_basis {
    struct frt_threshold_curve manifest;
    char model[201]; /* "name version" of the embedder; "" = none */
    enum frt_table_match match;
    bool beside; /* the table lies in the pack's folder */
    struct frt_threshold_table table;
};

/**
 * What the embedder of a manifest brings.
 * folder  of the pack. out: no memory of its own.
 * Errors: FRT_EBAD_MODEL (thresholds.json is damaged, or another embedder's), FRT_EIO, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_threshold_basis_load(const char *folder, const struct frt_manifest *manifest,
                                                       struct frt_threshold_basis *out, struct frt_error *err);
/** Of a pack that is not opened: its manifest is read, no model. path: NULL or "" = the default pack. */
FRT_NODISCARD enum frt_status frt_threshold_basis_of_pack(const char *path, struct frt_threshold_basis *out,
                                                          struct frt_error *err);

enum frt_threshold_source {
    FRT_THRESHOLD_SET = 0,    /* of the collection, as somebody set it */
    FRT_THRESHOLD_COLLECTION, /* its own table */
    FRT_THRESHOLD_PACK,       /* the pack's table */
    FRT_THRESHOLD_MANIFEST,   /* threshold_fmr and threshold_decade */
    FRT_THRESHOLD_PAIRS       /* the threshold for two photos: nothing better is known */
};
/** "set", "collection", "pack", "manifest", "pairs". Static storage. */
const char *frt_threshold_source_name(enum frt_threshold_source source);

struct frt_gallery_size {
    double people;   /* that a stranger is compared with */
    double enrolled; /* photos each, on average */
};

struct frt_threshold_rule {
    float threshold;
    enum frt_threshold_source source;
    bool extrapolated; /* beyond what was measured */
    bool raised;       /* to the threshold for two photos, which is higher than what the target takes */
    double target_fpir;
    struct frt_gallery_size size;
    const struct frt_threshold_table
        *table; /* behind it, also of a threshold that was set; NULL = none. Borrowed */
    enum frt_table_match match;
};

/**
 * basis  NULL = no pack is known. own: the collection's table, or NULL. Both borrowed.
 * set    the collection's threshold; NaN = none.
 * target_fpir  0..1; NaN or 0 = 0.01.
 */
struct frt_threshold_rule frt_threshold_rule_make(const struct frt_threshold_basis *basis,
                                                  const struct frt_threshold_table *own, float set,
                                                  double target_fpir, const struct frt_gallery_size *size);
/** Share of strangers that reach this similarity with anybody in the gallery; NaN without a table. */
double frt_false_match_probability(const struct frt_threshold_rule *rule, float similarity);

#endif
