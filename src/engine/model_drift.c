#include "engine/model_drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "vision/embedder.h"

/* What is summed up over the inputs. */
struct sums {
    const struct frt_model_spec *spec;
    const struct frt_session *original, *compiled;
    struct frt_embedder *embedder; /* over the original; NULL: not an embedder */
    double difference[FRT_SESSION_MAX_OUTPUTS], largest[FRT_SESSION_MAX_OUTPUTS];
    double cosines;
    double *ms[2]; /* [inputs] of each */
    struct frt_model_drift drift;
};

/* Values are read by where they are in the tensor of both: a differing number means another graph. */
static enum frt_status compare_outputs(struct sums *sums, const struct frt_outputs *a,
                                       const struct frt_outputs *b, struct frt_error *err)
{
    if (a->n != b->n)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: %u outputs became %u", sums->spec->name, a->n, b->n);
    for (uint32_t k = 0; k < a->n; k++) {
        const struct frt_tensor *x = &a->tensors[k], *y = &b->tensors[k];
        const size_t n = frt_tensor_size(x);
        if (x->data == NULL && y->data == NULL)
            continue; /* not f32: nobody reads it */
        if (x->data == NULL || y->data == NULL || frt_tensor_size(y) != n)
            return frt_fail(err, FRT_EBAD_MODEL, "%s: output %u of %zu values became one of %zu",
                            sums->spec->name, k, n, frt_tensor_size(y));
        for (size_t i = 0; i < n; i++) {
            const double difference = fabs((double)x->data[i] - (double)y->data[i]);
            sums->largest[k] = fmax(sums->largest[k], fabs((double)x->data[i]));
            if (!(difference <= sums->difference[k])) /* NaN is larger than all */
                sums->difference[k] = isnan(difference) ? INFINITY : difference;
        }
    }
    return FRT_OK;
}

static enum frt_status compare_embeddings(struct sums *sums, const struct frt_outputs *a,
                                          const struct frt_outputs *b, struct frt_error *err)
{
    const uint32_t dim = frt_embedder_dim(sums->embedder), at = frt_embedder_output(sums->embedder);
    float *rows = frt_alloc_array((size_t)dim * 2, sizeof *rows);
    enum frt_status status = FRT_OK;
    double cosine = 0;
    if (rows == NULL)
        return frt_fail_nomem(err, "embeddings");
    if (at >= a->n || frt_tensor_size(&a->tensors[at]) != dim || frt_tensor_size(&b->tensors[at]) != dim) {
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: no embedding of %u floats", sums->spec->name, dim);
        goto done;
    }
    memcpy(rows, a->tensors[at].data, dim * sizeof *rows);
    memcpy(rows + dim, b->tensors[at].data, dim * sizeof *rows);
    status = frt_embedder_finish(sums->embedder, rows, err);
    if (status == FRT_OK)
        status = frt_embedder_finish(sums->embedder, rows + dim, err);
    for (uint32_t i = 0; status == FRT_OK && i < dim; i++)
        cosine += (double)rows[i] * (double)rows[dim + i];
    sums->drift.min_cosine = fmin(sums->drift.min_cosine, cosine);
    sums->cosines += cosine;
done:
    frt_free(rows);
    return status;
}

static enum frt_status run(const struct frt_session *session, const struct frt_tensor *input,
                           struct frt_outputs *out, double *ms, struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    enum frt_status status = frt_session_run(session, input, 1, out, err);
    *ms = frt_elapsed_ms(start);
    return status;
}

static enum frt_status compare(struct sums *sums, const struct frt_tensor *input, struct frt_error *err)
{
    struct frt_outputs a, b;
    enum frt_status status = run(sums->original, input, &a, &sums->ms[0][sums->drift.inputs], err);
    if (status != FRT_OK)
        return status;
    status = run(sums->compiled, input, &b, &sums->ms[1][sums->drift.inputs], err);
    if (status == FRT_OK) {
        status = compare_outputs(sums, &a, &b, err);
        if (status == FRT_OK && sums->embedder != NULL)
            status = compare_embeddings(sums, &a, &b, err);
        frt_outputs_release(&b);
    }
    frt_outputs_release(&a);
    sums->drift.inputs += status == FRT_OK;
    return status;
}

/* Row `row` of a batch of two against what the input gives alone. */
static enum frt_status compare_row(const struct sums *sums, const struct frt_outputs *both, uint32_t row,
                                   const struct frt_outputs *alone, struct frt_error *err)
{
    for (uint32_t k = 0; k < both->n; k++) {
        const size_t n = frt_tensor_size(&alone->tensors[k]);
        if (both->tensors[k].data == NULL)
            continue;
        bool same = frt_tensor_size(&both->tensors[k]) == 2 * n;
        for (size_t i = 0; same && i < n; i++)
            same = fabs((double)both->tensors[k].data[row * n + i] - (double)alone->tensors[k].data[i]) <=
                   1e-3 * fmax(sums->largest[k], 1e-12);
        if (!same)
            return frt_fail(
                err, FRT_EBAD_MODEL,
                "%s: its graph computes one input at a time: in a batch of two, output %u is not what "
                "each gives alone",
                sums->spec->name, k);
    }
    return FRT_OK;
}

/* Where the compiled model takes more inputs at a time than the original, two must not know of each other. */
static enum frt_status compare_batch(const struct sums *sums, const struct frt_compile_inputs *inputs,
                                     struct frt_error *err)
{
    struct frt_tensor two = inputs->tensors[0];
    const struct frt_tensor *other = NULL;
    const size_t n = frt_tensor_size(&two);
    if (sums->original->info.inputs[0].dims[0] < 0 || sums->compiled->info.inputs[0].dims[0] >= 0)
        return FRT_OK;
    for (uint32_t i = 1; other == NULL && i < inputs->n; i++)
        if (frt_tensor_size(&inputs->tensors[i]) == n)
            other = &inputs->tensors[i];
    if (other == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: two faces are needed to try a batch of two",
                        sums->spec->name);
    float *data = frt_alloc_array(2 * n, sizeof *data);
    if (data == NULL)
        return frt_fail_nomem(err, "a batch");
    memcpy(data, two.data, n * sizeof *data);
    memcpy(data + n, other->data, n * sizeof *data);
    two.data = data;
    two.dims[0] = 2;
    struct frt_outputs both = {0}, alone;
    enum frt_status status = frt_session_run(sums->compiled, &two, 1, &both, err);
    if (status != FRT_OK)
        status = frt_fail_within(err, FRT_EBAD_MODEL, "%s: a batch of two", sums->spec->name);
    const bool ran = status == FRT_OK;
    for (uint32_t row = 0; status == FRT_OK && row < 2; row++) {
        status = frt_session_run(sums->compiled, row == 0 ? &inputs->tensors[0] : other, 1, &alone, err);
        if (status != FRT_OK)
            break;
        status = compare_row(sums, &both, row, &alone, err);
        frt_outputs_release(&alone);
    }
    if (ran)
        frt_outputs_release(&both);
    frt_free(data);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return n > 0 ? values[n / 2] : 0;
}

/* What the sums say in the end. */
static struct frt_model_drift conclude(struct sums *sums)
{
    struct frt_model_drift drift = sums->drift;
    for (uint32_t k = 0; k < FRT_SESSION_MAX_OUTPUTS; k++)
        if (sums->difference[k] > 0)
            drift.max_relative = fmax(drift.max_relative,
                                      sums->largest[k] > 0 ? sums->difference[k] / sums->largest[k] : INFINITY);
    drift.mean_cosine = sums->embedder != NULL && drift.inputs > 0 ? sums->cosines / drift.inputs : 1;
    drift.before_ms = median(sums->ms[0], drift.inputs);
    drift.after_ms = median(sums->ms[1], drift.inputs);
    return drift;
}

enum frt_status frt_model_drift_measure(const struct frt_model_spec *spec, const struct frt_session *original,
                                        const struct frt_session *compiled,
                                        const struct frt_compile_inputs *inputs, bool (*cancelled)(void *arg),
                                        void *cancelled_arg, struct frt_model_drift *out, struct frt_error *err)
{
    struct sums sums = {.spec = spec, .original = original, .compiled = compiled, .drift = {.min_cosine = 1}};
    enum frt_status status = FRT_OK;
    sums.ms[0] = frt_alloc_array((size_t)inputs->n + 1, sizeof *sums.ms[0]);
    sums.ms[1] = frt_alloc_array((size_t)inputs->n + 1, sizeof *sums.ms[1]);
    if (sums.ms[0] == NULL || sums.ms[1] == NULL) {
        status = frt_fail_nomem(err, "times");
        goto done;
    }
    if (spec->role == FRT_ROLE_EMBEDDER)
        status = frt_embedder_new(spec, original, &sums.embedder, err);
    for (uint32_t i = 0; status == FRT_OK && i < inputs->n; i++) {
        if (cancelled != NULL && cancelled(cancelled_arg))
            status = frt_fail(err, FRT_ECANCELLED, "interrupted");
        else
            status = compare(&sums, &inputs->tensors[i], err);
    }
    if (status == FRT_OK && inputs->n > 0)
        status = compare_batch(&sums, inputs, err);
    if (status == FRT_OK)
        *out = conclude(&sums);
done:
    frt_embedder_free(sums.embedder);
    frt_free(sums.ms[0]);
    frt_free(sums.ms[1]);
    return status;
}

enum frt_status frt_model_drift_judge(const struct frt_model_drift *drift,
                                      const struct frt_compile_bounds *bounds, struct frt_error *err)
{
    if (!(drift->max_relative <= bounds->max_relative))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "an output differs by %.2g of its largest value; at most %.2g is allowed",
                        drift->max_relative, bounds->max_relative);
    if (!(drift->min_cosine >= bounds->min_cosine))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "a face's embedding has cosine %.5f to the original's; at least %.5f is allowed",
                        drift->min_cosine, bounds->min_cosine);
    if (!(drift->mean_cosine >= bounds->mean_cosine))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "embeddings have cosine %.6f to the original's on average; at least %.6f is allowed",
                        drift->mean_cosine, bounds->mean_cosine);
    return FRT_OK;
}
