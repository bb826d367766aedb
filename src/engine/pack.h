/*
 * A loaded pack: the manifest's models, opened and wrapped by their families.
 *
 *     detector ─ landmarks ─ embedder     opened with the pack
 *     liveness…, age_gender, expression,
 *     quality                             opened at first use (or at once with `preload`)
 *
 * A model's file is compared with the manifest's SHA-256 when it is opened, so that start-up pays only
 * for the models it needs.
 *
 * Threading: immutable but for the models opened at first use; `lazy_lock` guards those and is held
 * while one is opened (never across a run). Lock order: it is a leaf.
 */
#ifndef FRT_ENGINE_PACK_H
#define FRT_ENGINE_PACK_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/batcher.h"
#include "engine/context.h"
#include "engine/threshold_basis.h"
#include "model/pack_files.h"
#include "vision/detector.h"
#include "vision/embedder.h"
#include "vision/face_net.h"
#include "vision/landmarks.h"

struct frt_pack {
    const struct frt_context *context; /* borrowed */
    char *folder;
    bool skip_checksums, as_published;
    float spoof_threshold; /* 0..1: spoof confidence from which a face is no live one */
    struct frt_manifest *manifest;
    struct frt_pack_info info;
    struct frt_threshold_basis thresholds;
    char model[201]; /* "name version" of the embedder; "" without one */
    /* 0: the manifest's id stands for the very bytes of detector, landmarks and embedder. Else a number that no
     * other opening in this process has, since a file that nothing was compared with may be another next time.
     */
    uint64_t opening;

    struct frt_session *sessions[FRT_PACK_MAX_MODELS]; /* by model number; NULL = not opened */
    struct frt_detector *detector;
    const char *detector_name;         /* of the manifest */
    struct frt_landmarker *landmarker; /* NULL when the pack has none */
    struct frt_embedder *embedder;     /* NULL when the pack has none */

    struct frt_batcher *batcher; /* of the embedder; NULL without one and without stages */
    pthread_t measurer;          /* of batches, while `measuring` */
    bool measuring;
    atomic_bool stop_measuring;
    pthread_mutex_t measuring_lock; /* a leaf: of the wait for a device that is down */
    pthread_cond_t measuring_ends;

    pthread_mutex_t lazy_lock;
    struct frt_face_net *face_nets[FRT_PACK_MAX_MODELS]; /* by model number */
};

#define FRT_PACK_MAX_NETS 4

/**
 * A session over a model's file as a pack opens it: a rewritten copy of the graph (model/rewrite.h) where a
 * rewrite pays and the file was not compiled, else the file as it is. A file that the rewriter cannot read is
 * left to the runtime, which says what is wrong with it. Errors: of frt_session_open.
 */
FRT_NODISCARD enum frt_status frt_pack_file_open(const struct frt_context *context,
                                                 const struct frt_model_spec *spec, const char *path,
                                                 bool as_published, struct frt_session **out,
                                                 struct frt_error *err);

/**
 * The models that this pack answers with, those opened at first use included: model `i` of the manifest.
 * False for detectors that were not chosen and past the last model. The texts are borrowed from the pack.
 */
struct frt_pack_model_facts {
    const char *name, *role;
    const char *precision; /* of its weights: "fp32", …; NULL = not known. Read from the file's heads */
    uint32_t number;       /* of the manifest */
};
bool frt_pack_model_used(const struct frt_pack *pack, uint32_t i, struct frt_pack_model_facts *out);
/** Where model `i` of the manifest runs now: "cpu", …; what is opened at first use and is not yet: where it is
 * to. Borrowed from the context. */
const char *frt_pack_model_device(const struct frt_pack *pack, uint32_t i);

/**
 * The nets of a role, opening them if need be: one for age_gender, expression and quality (the default), all of
 * the pack for liveness.
 *
 * nets  out: borrowed until the pack is freed; *n >= 1.
 * Errors: FRT_EBAD_MODEL (the pack has no model of this role; the text says so).
 */
FRT_NODISCARD enum frt_status frt_pack_face_nets(const struct frt_pack *pack, enum frt_model_role role,
                                                 const struct frt_face_net *nets[FRT_PACK_MAX_NETS], size_t *n,
                                                 struct frt_error *err);

/**
 * The session of a model that the pack answers with, by its name; opens it if need be.
 * spec, session  out: borrowed until the pack is freed. Errors: FRT_ENOTFOUND (no such model, or a detector
 * that was not chosen), and those of opening it.
 */
FRT_NODISCARD enum frt_status frt_pack_session(const struct frt_pack *pack, const char *name,
                                               const struct frt_model_spec **spec,
                                               const struct frt_session **session, struct frt_error *err);

/* pack_batches.c: called when the pack is made, opened and freed. */
void frt_pack_batches_init(struct frt_pack *pack);
FRT_NODISCARD enum frt_status frt_pack_batches_new(struct frt_pack *pack, struct frt_error *err);
void frt_pack_batches_free(struct frt_pack *pack);
/** Put faces of several requests into one inference: `faces` at most; 0 = measure in the background what is
 * best (engine/batch_tune.h), on the CPU and, once it serves the embedder, on the device. Once, by the pack's
 * owner. Without stages nothing happens. */
void frt_pack_batches_start(struct frt_pack *pack, uint32_t faces);

#endif
