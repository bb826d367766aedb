/*
 * Members of evaluations' reports in JSON. Threading: pure functions over a writer with one owner.
 */
#ifndef FRT_ENGINE_EVAL_JSON_H
#define FRT_ENGINE_EVAL_JSON_H

#include "core/json_write.h"
#include "engine/eval_interval.h"

/** null for what is not finite: not measured. */
void frt_eval_json_number(struct frt_json_writer *w, const char *key, double value, int decimals);
void frt_eval_json_integer(struct frt_json_writer *w, const char *key, uint64_t value);
void frt_eval_json_text(struct frt_json_writer *w, const char *key, const char *value);
/** [low,high]; [] for an interval that is not known. */
void frt_eval_json_interval(struct frt_json_writer *w, const char *key, struct frt_interval value);

#endif
