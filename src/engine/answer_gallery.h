/*
 * Answers about galleries as JSON: the one place that knows the field names of docs/api.md for collections,
 * enrolled faces, subjects, searches, imports and jobs. The command line (--json) and the HTTP service both
 * write through it.
 *
 * Numbers: as answer.h. Times: "2026-11-23T20:15:00.123Z". What is not known is absent (a threshold that is the
 * collection's, a quality that was not measured, a box of what came as an embedding).
 * Threading: pure functions over a writer with one owner.
 */
#ifndef FRT_ENGINE_ANSWER_GALLERY_H
#define FRT_ENGINE_ANSWER_GALLERY_H

#include "engine/answer.h"
#include "engine/gallery_thresholds.h"
#include "frt/gallery.h"

#define FRT_TIME_TEXT_SIZE 32
/** "2026-11-23T20:15:00.123Z" from milliseconds since 1970. */
void frt_time_text(int64_t ms, char out[FRT_TIME_TEXT_SIZE]);

/** What the searches of a collection go by. info: borrowed; out: filled in its place. */
void frt_collection_thresholds(const struct frt_collection_info *info, const struct frt_threshold_basis *basis,
                               struct gallery_thresholds *out);

/** A collection as an object. basis: of the pack in use, for "search_threshold"; NULL = none is known. */
void frt_answer_collection(struct frt_json_writer *w, const struct frt_collection_info *info,
                           const struct frt_threshold_basis *basis);
/** Member "collections": an array. */
void frt_answer_collections(struct frt_json_writer *w, const struct frt_collection_info *list, size_t n,
                            const struct frt_threshold_basis *basis);
/** Member "index" of /metrics: {"name": {"kind","faces","bytes","recall_estimate"}} of those that are loaded.
 */
void frt_answer_index_metrics(struct frt_json_writer *w, const struct frt_collection_info *list, size_t n);

/** An enrolled face as an object; its embedding when it is there. */
void frt_answer_gallery_face(struct frt_json_writer *w, const struct frt_gallery_face *face,
                             enum frt_embedding_encoding encoding);
/** Member "faces": an array of enrolled faces. */
void frt_answer_gallery_faces(struct frt_json_writer *w, const struct frt_gallery_faces *faces,
                              enum frt_embedding_encoding encoding);
/** Member "subjects": an array. */
void frt_answer_subjects(struct frt_json_writer *w, const struct frt_subjects *subjects);

/** Members "faces", "rejected", "timing_ms" of an enrollment. */
void frt_answer_enrolled(struct frt_json_writer *w, const struct frt_enrolled *enrolled);
/** Member "rejected": an array. */
void frt_answer_rejected(struct frt_json_writer *w, const struct frt_enrolled *enrolled);
/** Members "faces" and "timing_ms" of a search. candidates: every match says whether it is one ("match"). */
void frt_answer_identified(struct frt_json_writer *w, const struct frt_identified *identified, bool candidates);
/** Members "imported", "lines", "rejected" (an array), and "rejected_total" when not all are listed. */
void frt_answer_import(struct frt_json_writer *w, const struct frt_import_report *report);

/** "queued", "running", "done", "failed", "cancelled"; static storage. */
const char *frt_job_state_name(enum frt_job_state state);
/** A job as an object. */
void frt_answer_job(struct frt_json_writer *w, const struct frt_job *job);

#endif
