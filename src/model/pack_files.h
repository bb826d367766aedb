/*
 * A pack on disk: folder, manifest.json, model files. Format: docs/formats/manifest-v1.md.
 * Threading: a loaded manifest is immutable.
 */
#ifndef FRT_MODEL_PACK_FILES_H
#define FRT_MODEL_PACK_FILES_H

#include "core/buf.h"
#include "core/sha256.h"
#include "infer/model_spec.h"

#define FRT_PACK_MAX_MODELS 32

struct frt_manifest {
    char name[FRT_SPEC_NAME_MAX];
    char version[FRT_SPEC_NAME_MAX];
    char id[FRT_SHA256_HEX_SIZE]; /* SHA-256 of manifest.json's bytes */
    uint32_t n_models;
    struct frt_model_spec models[FRT_PACK_MAX_MODELS];
};

/**
 * Read and validate <folder>/manifest.json: types, ranges, unknown keys refused with a suggestion,
 * file names kept inside the folder, one default per role.
 * Errors: FRT_ENOTFOUND, FRT_EBAD_MODEL (which key, what was found, what would be right), FRT_EIO,
 *         FRT_ENOMEM. `out` is owned; free with frt_manifest_free.
 */
FRT_NODISCARD enum frt_status frt_manifest_load(const char *folder, struct frt_manifest **out,
                                                struct frt_error *err);
void frt_manifest_free(struct frt_manifest *manifest);
/** As frt_manifest_load, from the bytes of a manifest.json. */
FRT_NODISCARD enum frt_status frt_manifest_parse(const void *bytes, size_t size, struct frt_manifest **out,
                                                 struct frt_error *err);
/** As frt_manifest_parse, from a value inside another document; the id is "". */
struct frt_json_value;
FRT_NODISCARD enum frt_status frt_manifest_from_json(const struct frt_json_value *root,
                                                     struct frt_manifest **out, struct frt_error *err);
/** Append the text of manifest.json to `out`. Errors: FRT_ENOMEM, FRT_EBODY_TOO_LARGE (the buffer's limit). */
FRT_NODISCARD enum frt_status frt_manifest_print(const struct frt_manifest *manifest, struct frt_buf *out);
/**
 * Write <folder>/manifest.json atomically (temporary file, fsync, rename).
 * Errors: FRT_EBAD_MODEL (the manifest would not pass frt_manifest_load), FRT_EIO, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_manifest_save(const struct frt_manifest *manifest, const char *folder,
                                                struct frt_error *err);
/**
 * Model of a role by name; with `name` NULL the one marked as default, else the first of its role.
 * NULL when the pack has none. Borrowed.
 */
const struct frt_model_spec *frt_manifest_find(const struct frt_manifest *manifest, enum frt_model_role role,
                                               const char *name);
/** Compare each pinned file with its SHA-256. Errors: FRT_EBAD_MODEL names the file. */
FRT_NODISCARD enum frt_status frt_manifest_verify(const struct frt_manifest *manifest, const char *folder,
                                                  struct frt_error *err);
/** "detector", "landmarks", "embedder", "liveness", "age_gender", "expression", "quality". Static storage. */
const char *frt_model_role_name(enum frt_model_role role);

#endif
