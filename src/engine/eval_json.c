#include "engine/eval_json.h"

#include <math.h>

void frt_eval_json_number(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    frt_json_key(w, key);
    if (isfinite(value))
        frt_json_fixed(w, value, decimals);
    else
        frt_json_null(w);
}

void frt_eval_json_integer(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, (int64_t)value);
}

void frt_eval_json_text(struct frt_json_writer *w, const char *key, const char *value)
{
    frt_json_key(w, key);
    frt_json_string(w, value);
}

void frt_eval_json_interval(struct frt_json_writer *w, const char *key, struct frt_interval value)
{
    frt_json_key(w, key);
    frt_json_array(w);
    if (isfinite(value.low) && isfinite(value.high)) {
        frt_json_fixed(w, value.low, 6);
        frt_json_fixed(w, value.high, 6);
    }
    frt_json_end(w);
}
