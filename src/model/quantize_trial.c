#include "model/quantize_trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "model/quantize_emit.h"

enum { MAX_ROUNDS = 64 };

struct frt_q_trials {
    const void *base;
    size_t size;
    const struct frt_quantise_task *task;
    unsigned weight_bits;
    uint32_t n;         /* inputs that are run */
    uint32_t n_outputs; /* of the model */
    float **reference;  /* [input × output] */
    size_t *counts;     /* the same */
    double worst;       /* drift of an input in the last trial */
};

static const struct frt_tensor *input_of(const struct frt_q_trials *t, uint32_t i)
{
    return &t->task->inputs->tensors[(uint64_t)i * t->task->inputs->n / t->n]; /* spread over all */
}

/* plan NULL: floats */
static enum frt_status open_plan(const struct frt_q_trials *t, const struct frt_q_plan *plan,
                                 struct frt_session **out, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    struct frt_pass_counts counts = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum frt_status status = frt_onnx_model_parse(t->base, t->size, &model, err);
    if (status == FRT_OK && plan != NULL)
        status = frt_q_emit(model, plan, t->weight_bits, err);
    if (status == FRT_OK)
        status = frt_passes_run(model, FRT_PASS_BLOCKED, &counts, err);
    if (status == FRT_OK)
        status = frt_onnx_model_pack(model, &bytes, &size, err);
    frt_onnx_model_free(model);
    if (status == FRT_OK)
        status = frt_session_open_bytes(t->task->backend, bytes, size, out, err);
    frt_free(bytes);
    return status;
}

static enum frt_status keep(struct frt_q_trials *t, uint32_t i, const struct frt_outputs *outputs,
                            struct frt_error *err)
{
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        const size_t n = frt_tensor_size(&outputs->tensors[k]), at = (size_t)i * t->n_outputs + k;
        t->reference[at] = frt_alloc_array(n, sizeof **t->reference);
        if (n == 0 || t->reference[at] == NULL)
            return n == 0 ? frt_fail(err, FRT_EBAD_MODEL, "output %u has no values", k)
                          : frt_fail_nomem(err, "reference outputs");
        memcpy(t->reference[at], outputs->tensors[k].data, n * sizeof **t->reference);
        t->counts[at] = n;
    }
    return FRT_OK;
}

enum frt_status frt_q_trials_new(const void *base, size_t size, const struct frt_quantise_task *task,
                                 uint32_t inputs, unsigned weight_bits, struct frt_q_trials **out,
                                 struct frt_error *err)
{
    struct frt_session *session = NULL;
    struct frt_q_trials *t = frt_alloc_zero(1, sizeof *t);
    if (t == NULL)
        return frt_fail_nomem(err, "trials");
    *t = (struct frt_q_trials){.base = base, .size = size, .task = task, .weight_bits = weight_bits};
    t->n = inputs < task->inputs->n ? inputs : task->inputs->n;
    enum frt_status status = open_plan(t, NULL, &session, err);
    if (status == FRT_OK) {
        t->n_outputs = session->info.n_outputs;
        t->reference = frt_alloc_zero((size_t)t->n * t->n_outputs, sizeof(float *));
        t->counts = frt_alloc_zero((size_t)t->n * t->n_outputs, sizeof *t->counts);
        if (t->reference == NULL || t->counts == NULL)
            status = frt_fail_nomem(err, "reference outputs");
    }
    for (uint32_t i = 0; i < t->n && status == FRT_OK; i++) {
        struct frt_outputs outputs;
        status = frt_session_run(session, input_of(t, i), 1, &outputs, err);
        if (status != FRT_OK)
            break;
        status = keep(t, i, &outputs, err);
        frt_outputs_release(&outputs);
    }
    frt_session_free(session);
    if (status == FRT_OK)
        *out = t;
    else
        frt_q_trials_free(t);
    return status;
}

void frt_q_trials_free(struct frt_q_trials *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; t->reference != NULL && i < (size_t)t->n * t->n_outputs; i++)
        frt_free(t->reference[i]);
    frt_free(t->reference);
    frt_free(t->counts);
    frt_free(t);
}

/* ------------------------------------------------------------------- drift */

static double cosine_drift(const float *a, const float *b, size_t n, const float *centre)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        const double c = centre != NULL ? (double)centre[i] : 0, x = (double)a[i] - c, y = (double)b[i] - c;
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? 1 - ab / sqrt(aa * bb) : 1;
}

static double energy_drift(const float *a, const float *b, size_t n)
{
    double apart = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        apart += d * d;
        all += (double)a[i] * (double)a[i];
    }
    return all > 0 ? apart / all : apart > 0;
}

static double drift_of(const struct frt_q_trials *t, uint32_t i, const struct frt_outputs *outputs)
{
    const struct frt_model_spec *spec = t->task->spec;
    const bool embedder = spec != NULL && spec->role == FRT_ROLE_EMBEDDER;
    double sum = 0;
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        const size_t at = (size_t)i * t->n_outputs + k, n = t->counts[at];
        const float *b = outputs->tensors[k].data;
        if (frt_tensor_size(&outputs->tensors[k]) != n)
            return INFINITY;
        const float *centre = embedder && n == spec->dim ? spec->centre : NULL;
        sum += embedder ? cosine_drift(t->reference[at], b, n, centre) : energy_drift(t->reference[at], b, n);
    }
    return isfinite(sum) ? sum / t->n_outputs : INFINITY;
}

enum frt_status frt_q_trial(struct frt_q_trials *t, const struct frt_q_plan *plan, double *drift,
                            struct frt_error *err)
{
    struct frt_session *session = NULL;
    double sum = 0;
    enum frt_status status = open_plan(t, plan, &session, err);
    for (uint32_t i = 0; i < t->n && status == FRT_OK; i++) {
        struct frt_outputs outputs;
        if (t->task->cancelled != NULL && t->task->cancelled(t->task->cancelled_arg))
            status = frt_fail(err, FRT_ECANCELLED, "cancelled while layers were tried");
        if (status == FRT_OK)
            status = frt_session_run(session, input_of(t, i), 1, &outputs, err);
        if (status != FRT_OK)
            break;
        const double one = outputs.n == t->n_outputs ? drift_of(t, i, &outputs) : INFINITY;
        sum += one;
        t->worst = i == 0 || one > t->worst ? one : t->worst;
        frt_outputs_release(&outputs);
    }
    frt_session_free(session);
    if (status == FRT_OK)
        *drift = sum / t->n;
    return status;
}

double frt_q_trial_worst(const struct frt_q_trials *t)
{
    return t->worst;
}

/* -------------------------------------------------------------------- race */

static int ascending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Of all threads of the process: what other programs do beside it counts little. */
static double cpu_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

enum frt_status frt_q_trial_race(struct frt_q_trials *t, const struct frt_q_plan *plan,
                                 const struct frt_q_plan *other, uint32_t rounds, double *ratio,
                                 struct frt_error *err)
{
    struct frt_session *sessions[2] = {NULL, NULL};
    double ratios[MAX_ROUNDS];
    if (rounds < 1 || rounds > MAX_ROUNDS)
        rounds = MAX_ROUNDS;
    enum frt_status status = open_plan(t, plan, &sessions[0], err);
    if (status == FRT_OK)
        status = open_plan(t, other, &sessions[1], err);
    for (int64_t i = -1; i < (int64_t)rounds && status == FRT_OK; i++) { /* the first ones do not count */
        double ms[2] = {0, 0};
        for (int k = 0; k < 2 && status == FRT_OK; k++) {
            struct frt_outputs outputs;
            const double start = cpu_ms();
            status = frt_session_run(sessions[k], input_of(t, 0), 1, &outputs, err);
            if (status != FRT_OK)
                break;
            ms[k] = cpu_ms() - start;
            frt_outputs_release(&outputs);
        }
        if (i >= 0)
            ratios[i] = ms[1] > 0 ? ms[0] / ms[1] : 1;
    }
    frt_session_free(sessions[0]);
    frt_session_free(sessions[1]);
    if (status != FRT_OK)
        return status;
    qsort(ratios, rounds, sizeof *ratios, ascending);
    *ratio = ratios[rounds / 2];
    return FRT_OK;
}
