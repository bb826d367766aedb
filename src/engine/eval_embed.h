/*
 * Embedding the photos of an evaluation: each once, several at a time.
 *
 *     files ─ threads: decode, detect, choose the person's face, embed ─ one vector a photo, or why there is
 * none
 *
 * Memory: one vector a photo; photos are decoded one a thread.
 * Threading: frt_eval_embed blocks; the pack is shared between the threads it starts.
 */
#ifndef FRT_ENGINE_EVAL_EMBED_H
#define FRT_ENGINE_EVAL_EMBED_H

#include "engine/eval_each.h"

/** Which face of a photo: the one whose middle is nearest the photo's middle (LFW's photos are centred on the
 *  person named), or the largest. */
enum frt_eval_face { FRT_EVAL_FACE_CENTRAL = 0, FRT_EVAL_FACE_LARGEST };

struct frt_eval_embed_options {
    const char *folder;
    const char *const *files; /* [n], relative to the folder */
    size_t n;
    uint32_t threads; /* photos worked on at once; 0 = one. The context decides how many cores each inference
                         takes: for throughput give it one, and as many threads here as cores */
    enum frt_eval_face face;
    float min_confidence; /* of a face; 0 = the pack's default */
    uint32_t attributes;  /* also wanted of the faces, as in frt_detect_options */
    void (*progress)(void *arg, size_t done, size_t total); /* after each photo, one call at a time */
    void *progress_arg;
    bool (*cancelled)(void *arg); /* asked before each photo, from any thread; NULL = never */
    void *cancelled_arg;
};

struct frt_eval_failure {
    char *file;  /* relative to the folder, owned */
    char *cause; /* owned */
};

struct frt_eval_embeddings {
    float *vectors;         /* f32[n][dim], L2-normalised; owned */
    bool *seen;             /* [n]: has a vector; owned */
    struct frt_face *faces; /* [n]: the face that was chosen; zeros where there is none; owned */
    size_t n;
    uint32_t dim;
    struct frt_eval_failure *failures; /* photos without a vector, in the order of the files; owned */
    size_t n_failures;
    size_t n_several;       /* photos with more than one face */
    struct frt_timing mean; /* over the photos that were decoded, milliseconds each */
    double wall_ms;
    uint32_t threads;
};

/**
 * Embed photos. A photo that cannot be read, or shows no face, is a failure in the list, not of the call.
 *
 * context, pack, options  borrowed for the call.
 * out  owned by the caller: frt_eval_embeddings_deinit.
 * Errors: FRT_EINVAL (options), FRT_EBAD_MODEL (no embedder), FRT_ENOTFOUND (a file went away), FRT_EIO,
 *         FRT_ENOMEM, FRT_ERUNTIME, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_eval_embed(const struct frt_context *context, const struct frt_pack *pack,
                                             const struct frt_eval_embed_options *options,
                                             struct frt_eval_embeddings *out, struct frt_error *err);
void frt_eval_embeddings_deinit(struct frt_eval_embeddings *embeddings);
void frt_eval_failures_free(struct frt_eval_failure *failures, size_t n);

#endif
