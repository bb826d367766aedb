/*
 * Import of the default pack: weights inside two npm packages → ONNX files and a manifest.
 * Threading: one call at a time per output folder.
 */
#ifndef FRT_MODEL_IMPORT_H
#define FRT_MODEL_IMPORT_H

#include "core/status.h"

struct frt_import_options {
    const char *face_api_dir; /* …/node_modules/@vladmandic/face-api */
    const char *human_dir;    /* …/node_modules/@vladmandic/human */
    const char *out_dir;      /* the pack's folder; made if absent; replaced atomically file by file */
    /* told after each model; NULL = silent. done of total models. */
    void (*progress)(void *arg, const char *model, uint32_t done, uint32_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg); /* asked before each model; NULL = never */
    void *cancelled_arg;
};

/**
 * Convert every model and write the pack. Idempotent: the same input gives the same bytes.
 * Errors: FRT_ENOTFOUND (a package or file is missing: which, and the npm command that brings it),
 *         FRT_EBAD_MODEL (weights do not fit the topology: tensor, shape found, shape expected),
 *         FRT_EIO (disk full …), FRT_ECANCELLED (either way no half-written pack is left behind), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_model_import(const struct frt_import_options *options, struct frt_error *err);

#endif
