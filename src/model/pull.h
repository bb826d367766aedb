/*
 * Making a pack of what lies elsewhere: a pack of the catalogue, a zip archive with a manifest.json, or a
 * folder.
 *
 *     <packs>/.pull-<name>/<sum>   downloads, whole or in parts; kept while the pack is not complete
 *     <packs>/.pull-<name>/new/    the pack in the making: files out of archives, checked, manifest last
 *     <packs>/<name>/              takes its place in one rename; a pack that stood there is exchanged for it
 *
 * Nothing is trusted because of where it came from: every file's size and SHA-256 are those of the catalogue
 * (or of --sha256), and for a zip archive those of its manifest where it pins any.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_PULL_H
#define FRT_MODEL_PULL_H

#include "model/catalogue.h"
#include "model/fetch.h"

enum { FRT_PULL_PATH_MAX = 2048 };

struct frt_pull_options {
    const struct frt_catalogue *catalogue;
    const char *source; /* a name of the catalogue, a zip archive, a folder with a manifest.json, or a URL */
    const char *sha256; /* of the file or URL; NULL = the catalogue's, or none (then a URL is refused) */
    const char *mirror; /* where the catalogue's files are instead: a folder, or a URL they stand below; NULL */
    const char *packs;  /* the folder of packs */
    const char *name;   /* of the new folder; NULL = the catalogue's name, or the manifest's */
    bool force;         /* replace a pack that stands there */
    bool licence_accepted;
    /* Asked where the licence forbids commercial use and was not accepted already; NULL = nobody can be asked.
     */
    bool (*consent)(void *arg, const char *name, const char *licence, const char *licence_url);
    /* a further file is begun; total bytes of all files */
    void (*begins)(void *arg, const char *what, uint64_t size);
    void *arg; /* of consent and begins */
    /* how to fetch; url, path and sizes are filled in here */
    struct frt_fetch_options fetch;
};

struct frt_pull_result {
    char folder[FRT_PULL_PATH_MAX];
    char name[FRT_SPEC_NAME_MAX];
    uint32_t n_models;
    uint64_t fetched_bytes;  /* over the network */
    bool resumed, was_there; /* was_there: the pack stood there complete, nothing was done */
};

/**
 * Errors: FRT_ENOTFOUND (no such pack, file or address), FRT_EBAD_MODEL (another sum, a damaged archive or
 *         manifest), FRT_EINVAL (consent missing, no sum for a URL, no such source), FRT_ECONFLICT (a pack
 * stands there already), and those of frt_fetch_file and frt_zip_extract. What is complete of the downloads
 * stays for the next call; the pack that stood there stays.
 */
FRT_NODISCARD enum frt_status frt_pull(const struct frt_pull_options *options, struct frt_pull_result *out,
                                       struct frt_error *err);

#endif
