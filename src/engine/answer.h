/*
 * Answers as JSON: the one place that knows the field names of docs/api.md for faces, embeddings and
 * verdicts. The command line (--json) and the HTTP service both write through it.
 *
 * Numbers: coordinates 2 decimals, scores 4, similarity 6, times 3.
 * Threading: pure functions over a writer with one owner.
 */
#ifndef FRT_ENGINE_ANSWER_H
#define FRT_ENGINE_ANSWER_H

#include "core/json_write.h"

enum frt_embedding_encoding { FRT_ENCODING_ARRAY = 0, FRT_ENCODING_BASE64 };

/** "quality,liveness" → bits of enum frt_attribute; "" → 0, "all" → all. Errors: FRT_EBAD_REQUEST naming
 *  the word that is unknown and those that are known. */
FRT_NODISCARD enum frt_status frt_attributes_parse(const char *text, uint32_t *out, struct frt_error *err);

/** Member "box". */
void frt_answer_box(struct frt_json_writer *w, const struct frt_box *box);
/** Member "liveness", when the face was asked for it. */
void frt_answer_liveness(struct frt_json_writer *w, const struct frt_face *face);
/** Member "embedding": an array, or little-endian f32 in base64. */
void frt_answer_embedding(struct frt_json_writer *w, const float *embedding, size_t dim,
                          enum frt_embedding_encoding encoding);

/** One face as an object; `embedding` (f32[dim]) may be NULL. */
void frt_answer_face(struct frt_json_writer *w, const struct frt_face *face, const float *embedding, size_t dim,
                     enum frt_embedding_encoding encoding);

/**
 * The members "faces", "image", "model" (only with embeddings), "timing_ms" of a detect or embed answer,
 * into an object that the caller has opened and will end.
 *
 * pack  for "model"; NULL = no embeddings are written.
 */
void frt_answer_faces(struct frt_json_writer *w, const struct frt_faces *faces,
                      const struct frt_image_info *image, const struct frt_pack *pack,
                      enum frt_embedding_encoding encoding);

/** Members "verified", "similarity", "distance", "threshold". */
void frt_answer_verdict(struct frt_json_writer *w, const struct frt_verdict *verdict);

/** Member "timing_ms": an object of the steps that took time, and "total". */
void frt_answer_timing(struct frt_json_writer *w, const struct frt_timing *timing);

#endif
