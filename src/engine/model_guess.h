/*
 * From an ONNX file to an entry of a manifest: what its graph says, what its family was published with, and,
 * where that is not sure, what real faces say.
 *
 *     shapes ── role, family, sizes (certain)       head of the graph ── does it normalise its input itself?
 *     convention of the family ── colour, mean, scale, thresholds (likely)
 *     trial on photos ── every candidate of colour and scale is run:
 *         detector   its confidence in faces that the pack at hand finds, less its confidence in others
 *         embedder   how far photos of one face lie from photos of different ones (d')
 *
 * The convention stands unless another candidate does clearly better: neighbours (1/127.5 and 1/128, often RGB
 * and BGR) do equally well, and of equals the published one is right.
 *
 * Threading: one owner.
 */
#ifndef FRT_ENGINE_MODEL_GUESS_H
#define FRT_ENGINE_MODEL_GUESS_H

#include "engine/pack.h"

enum frt_guess_sure { FRT_GUESS_SAID = 0, FRT_GUESS_CERTAIN, FRT_GUESS_LIKELY, FRT_GUESS_UNSURE };
/** "as you said", "certain", "likely", "unsure". */
const char *frt_guess_sure_text(enum frt_guess_sure sure);

struct frt_guess_reason {
    const char *key; /* of the manifest */
    char value[112];
    enum frt_guess_sure sure;
    char why[320];
};

enum { FRT_GUESS_MAX_REASONS = 16 };

struct frt_model_guess {
    struct frt_model_spec spec; /* file is the last part of the path; no checksum yet */
    struct frt_session *session;
    bool normalises; /* the graph does */
    bool said_color, said_scale, said_threshold;
    uint32_t n;
    struct frt_guess_reason reasons[FRT_GUESS_MAX_REASONS];
};

/** What the user says; zero values = guess. */
struct frt_guess_said {
    const char *role, *name, *family, *color, *template_name, *licence;
    bool has_scale;
    float mean[3], scale[3];
    bool has_threshold;
    float threshold;
    float min_confidence, crop_scale;
};

/**
 * Look at a file. context: its backend opens the model.
 * Errors: FRT_ENOTFOUND, FRT_EBAD_MODEL (no ONNX file, or of no role that FRT knows: the text says what its
 * inputs and outputs are), FRT_EINVAL (a word that is not known). `out` is deinited by frt_model_guess_deinit.
 */
FRT_NODISCARD enum frt_status frt_model_guess_look(const struct frt_context *context, const char *path,
                                                   const struct frt_guess_said *said,
                                                   struct frt_model_guess *out, struct frt_error *err);
void frt_model_guess_deinit(struct frt_model_guess *guess);
/** Note why a value was chosen; a later note of the same key takes the place of the earlier one. */
void frt_model_guess_note(struct frt_model_guess *guess, const char *key, enum frt_guess_sure sure,
                          const char *value, const char *fmt, ...) FRT_PRINTF(5, 6);

/** "(x - 127.5) * 0.0078125"; three numbers where the colours differ. */
void frt_guess_scale_text(const struct frt_model_input *input, char *out, size_t room);

/** Faces to try models on; found once for several models. */
struct frt_guess_faces;

/**
 * Find faces with the pack at hand.
 * photos  [n] files. Those of one folder count as one person where the photos lie in two folders or more, and
 * each shows one face; else a face is compared with itself, turned and mirrored. Errors: FRT_ENO_FACE (fewer
 * than 4 faces), those of frt_detect; photos that cannot be read are passed over.
 */
FRT_NODISCARD enum frt_status frt_guess_faces_find(struct frt_context *context, const struct frt_pack *pack,
                                                   const char *const *photos, size_t n,
                                                   bool (*cancelled)(void *arg), void *cancelled_arg,
                                                   struct frt_guess_faces **out, struct frt_error *err);
void frt_guess_faces_free(struct frt_guess_faces *faces);

/** Try the candidates of a detector or embedder; choose and say why. Other roles: nothing. Errors: those of
 * running models, FRT_ECANCELLED. */
FRT_NODISCARD enum frt_status frt_model_guess_try(struct frt_model_guess *guess,
                                                  const struct frt_guess_faces *faces, struct frt_error *err);

#endif
