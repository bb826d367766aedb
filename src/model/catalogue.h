/*
 * The packs that `frt models pull` knows by name: where their files are, what they weigh, their SHA-256, their
 * licence, and the manifest that makes a pack of them. Format: docs/formats/catalogue-v1.md.
 *
 * A file without a pinned sum is no entry: reading refuses it.
 *
 * Threading: immutable after reading.
 */
#ifndef FRT_MODEL_CATALOGUE_H
#define FRT_MODEL_CATALOGUE_H

#include "model/pack_files.h"

enum { FRT_CATALOGUE_MAX_PACKS = 64, FRT_CATALOGUE_MAX_FILES = 16, FRT_CATALOGUE_MAX_URLS = 4 };

/** A file that the pack keeps. */
struct frt_catalogue_file {
    char name[FRT_SPEC_PATH_MAX];   /* in the pack's folder; no '/' */
    char member[FRT_SPEC_PATH_MAX]; /* of the archive, its whole path or last part; "" = the download itself */
    uint64_t size;
    char sha256[FRT_SHA256_HEX_SIZE];
};

/** Something to fetch: a model file, or a zip archive that holds some. */
struct frt_catalogue_download {
    const char *urls[FRT_CATALOGUE_MAX_URLS]; /* in the order to try; borrowed from the catalogue */
    uint32_t n_urls;
    bool is_zip;
    uint64_t size;
    char sha256[FRT_SHA256_HEX_SIZE];
    uint32_t n_files;
    struct frt_catalogue_file files[FRT_CATALOGUE_MAX_FILES];
};

struct frt_catalogue_pack {
    const char *name, *summary, *licence, *licence_url; /* borrowed from the catalogue */
    bool non_commercial;                                /* consent is asked for */
    uint32_t n_downloads;
    struct frt_catalogue_download *downloads; /* owned by the catalogue */
    struct frt_manifest *manifest;            /* owned by the catalogue */
};

struct frt_catalogue {
    struct frt_json *json;
    uint32_t n_packs;
    struct frt_catalogue_pack packs[FRT_CATALOGUE_MAX_PACKS];
};

/**
 * Read a catalogue.
 * path  a file; NULL = the one that is compiled in.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EBAD_MODEL (what was found, what would be right), FRT_ENOMEM. `out` is
 * owned.
 */
FRT_NODISCARD enum frt_status frt_catalogue_load(const char *path, struct frt_catalogue **out,
                                                 struct frt_error *err);
/** As frt_catalogue_load, from bytes. */
FRT_NODISCARD enum frt_status frt_catalogue_parse(const void *bytes, size_t size, struct frt_catalogue **out,
                                                  struct frt_error *err);
/** NULL is fine. */
void frt_catalogue_free(struct frt_catalogue *catalogue);

/** By name. Errors: FRT_ENOTFOUND: with the nearest name, else all of them. `out` is borrowed. */
FRT_NODISCARD enum frt_status frt_catalogue_find(const struct frt_catalogue *catalogue, const char *name,
                                                 const struct frt_catalogue_pack **out, struct frt_error *err);
/** All bytes to fetch. */
uint64_t frt_catalogue_pack_bytes(const struct frt_catalogue_pack *pack);

#endif
