#include "model/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "core/mem.h"
#include "model/quantize_emit.h"
#include "model/quantize_equalise.h"
#include "model/quantize_trial.h"
#include "model/ranges_collect.h"

enum { PROBES = 48, INPUTS = 24, ROUNDS = 24, MOST_FROM_THE_FRONT = 8 };
/* A plan must win by so much to be taken for speed: timings are noisy. */
#define FASTER 0.97
/* for a layer at an end */
#define DEAR 1.1
#define NEARER 0.9

bool frt_q_wide_products(void)
{
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & (1U << 11)) != 0)
        return true;                                                             /* AVX-512 VNNI */
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0; /* AVX-VNNI */
#else
    return true;
#endif
}

/* ------------------------------------------------- normalisations on their own */

/* One that is left between an addition and a convolution: four-dimensional, as a convolution reads it. */
static bool is_lone_norm(const struct frt_onnx_model *model, uint32_t node, int64_t *channels)
{
    struct frt_onnx_shape shape;
    const float *data;
    if (strcmp(frt_onnx_model_op(model, node), "BatchNormalization") != 0 ||
        frt_onnx_model_n_outputs(model, node) != 1 ||
        strlen(frt_onnx_model_output(model, node, 0)) + 16 >= FRT_ONNX_MODEL_MAX_NAME)
        return false;
    for (uint32_t i = 1; i < 5; i++)
        if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, i), &shape, &data) ||
            shape.n_dims != 1 || (i > 1 && shape.dims[0] != *channels))
            return false;
        else
            *channels = shape.dims[0];
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        if (strcmp(frt_onnx_model_op(model, i), "Conv") == 0 &&
            strcmp(frt_onnx_model_input(model, i, 0), frt_onnx_model_output(model, node, 0)) == 0)
            return true;
    return false;
}

static enum frt_status norm_to_conv(struct frt_onnx_model *model, uint32_t node, int64_t channels,
                                    struct frt_error *err)
{
    const float epsilon = frt_onnx_model_float(model, node, "epsilon", 1e-5F);
    const struct frt_onnx_shape filter = {.n_dims = 4, .dims = {channels, 1, 1, 1}},
                                offset = {.n_dims = 1, .dims = {channels}};
    struct frt_onnx_shape shape;
    const float *from[4];
    char x[FRT_ONNX_MODEL_MAX_NAME], y[FRT_ONNX_MODEL_MAX_NAME], w_name[FRT_ONNX_MODEL_MAX_NAME + 16],
        b_name[FRT_ONNX_MODEL_MAX_NAME + 16];
    float *w = frt_alloc_array((size_t)channels, sizeof *w), *b = frt_alloc_array((size_t)channels, sizeof *b);
    enum frt_status status = w == NULL || b == NULL ? frt_fail_nomem(err, "a normalisation") : FRT_OK;
    for (uint32_t i = 0; i < 4 && status == FRT_OK; i++)
        if (!frt_onnx_model_weights(model, frt_onnx_model_input(model, node, i + 1), &shape, &from[i]))
            status = frt_fail(err, FRT_EBAD_MODEL, "a normalisation without weights");
    if (status == FRT_OK) {
        for (int64_t c = 0; c < channels; c++) {
            const double by = (double)from[0][c] / sqrt((double)from[3][c] + (double)epsilon);
            w[c] = (float)by;
            b[c] = (float)((double)from[1][c] - (double)from[2][c] * by);
        }
        (void)snprintf(x, sizeof x, "%s", frt_onnx_model_input(model, node, 0));
        (void)snprintf(y, sizeof y, "%s", frt_onnx_model_output(model, node, 0));
        (void)snprintf(w_name, sizeof w_name, "%s/frt_nw", y);
        (void)snprintf(b_name, sizeof b_name, "%s/frt_nb", y);
        status = frt_onnx_model_add_weights(model, w_name, &filter, w, err);
    }
    if (status == FRT_OK)
        status = frt_onnx_model_add_weights(model, b_name, &offset, b, err);
    if (status == FRT_OK) {
        const struct frt_onnx_new_node conv = {
            .op = "Conv", .inputs = {x, w_name, b_name}, .output = y, .group = channels};
        status = frt_onnx_model_replace(model, node, &conv, 1, err);
    }
    frt_free(w);
    frt_free(b);
    return status;
}

static enum frt_status norms_to_convs(struct frt_onnx_model *model, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model) && status == FRT_OK; i++) {
        int64_t channels = 0;
        if (is_lone_norm(model, i, &channels))
            status = norm_to_conv(model, i, channels, err);
    }
    return status;
}

/* ------------------------------------------------------------------ search */

struct search {
    const struct frt_onnx_model *model; /* floats */
    const struct frt_quantise_task *task;
    const struct frt_q_options *options;
    struct frt_q_plan *plan;
    struct frt_q_trials *trials;
    enum frt_range_method method;
    double drift, allowed, worst; /* worst: of one face, over all inputs */
    double ratio;                 /* of the time, to the floats' */
    uint32_t runs, most_runs;
    unsigned bits; /* of weights */
};

static enum frt_status try_plan(struct search *s, double *drift, struct frt_error *err)
{
    frt_q_plan_settle(s->plan);
    if (s->task->progress != NULL)
        s->task->progress(s->task->progress_arg, "sensitivity", s->runs, s->most_runs);
    s->runs++;
    return frt_q_trial(s->trials, s->plan, drift, err);
}

static enum frt_status collect(struct search *s, const void *base, size_t size, struct frt_error *err)
{
    struct frt_q_plan *plan = s->plan;
    struct frt_ranges_tensor *tensors = frt_alloc_zero(plan->n_values + 1, sizeof *tensors);
    enum frt_status status = tensors == NULL ? frt_fail_nomem(err, "ranges") : FRT_OK;
    for (uint32_t i = 0; i < plan->n_values && status == FRT_OK; i++) {
        plan->values[i].stats = frt_alloc_zero(1, sizeof *plan->values[i].stats);
        if (plan->values[i].stats == NULL)
            status = frt_fail_nomem(err, "ranges");
        tensors[i] = (struct frt_ranges_tensor){.name = plan->values[i].name, .stats = plan->values[i].stats};
    }
    if (status == FRT_OK)
        status = frt_ranges_collect(base, size, tensors, plan->n_values, s->task, err);
    for (uint32_t i = 0; i < plan->n_values && status == FRT_OK; i++)
        plan->values[i].shape = tensors[i].shape;
    frt_free(tensors);
    return status;
}

static enum frt_status choose_method(struct search *s, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    s->drift = INFINITY;
    for (int m = 0; m < FRT_RANGE_METHODS && status == FRT_OK; m++) {
        double drift = INFINITY;
        if (s->options->method >= 0 && m != s->options->method)
            continue;
        frt_q_plan_scales(s->plan, (enum frt_range_method)m);
        status = try_plan(s, &drift, err);
        if (status == FRT_OK && drift < s->drift) {
            s->drift = drift;
            s->method = (enum frt_range_method)m;
        }
    }
    if (status == FRT_OK)
        frt_q_plan_scales(s->plan, s->method);
    return status;
}

struct candidate {
    uint32_t node;
    double coarse; /* relative error of its input's and output's ranges */
    double cost;   /* milliseconds */
    double gain;   /* drift less when this one alone is wide */
};

static double error_of(const struct frt_q_plan *plan, uint32_t value)
{
    return value == FRT_Q_NO_VALUE ? 0 : frt_range_error(plan->values[value].stats, plan->values[value].range);
}

/* Milliseconds that a layer costs in floats, roughly: arithmetic, and its values turned into floats and back.
 * Only the relation between layers counts. */
static double cost_of(const struct search *s, uint32_t i)
{
    const struct frt_q_node *node = &s->plan->nodes[i];
    struct frt_onnx_shape shape;
    const float *data;
    double products = 0, values = (double)frt_onnx_shape_size(&s->plan->values[node->in[0]].shape);
    if (frt_onnx_model_weights(s->model, frt_onnx_model_input(s->model, i, 1), &shape, &data))
        products = (double)frt_onnx_shape_size(&shape);
    if (node->out != FRT_Q_NO_VALUE) {
        const struct frt_onnx_shape *out = &s->plan->values[node->out].shape;
        products *= (double)(out->dims[2] * out->dims[3]);
        values += (double)frt_onnx_shape_size(out);
    }
    return 13e-9 * products + 0.5e-6 * values;
}

static int coarsest_first(const void *a, const void *b)
{
    const double x = ((const struct candidate *)a)->coarse, y = ((const struct candidate *)b)->coarse;
    return (x < y) - (x > y);
}

static int best_first(const void *a, const void *b)
{
    const struct candidate *p = a, *q = b;
    const double x = p->gain / p->cost, y = q->gain / q->cost;
    return (x < y) - (x > y);
}

static uint32_t layers_in(const struct frt_q_plan *plan, bool active)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->n_nodes; i++)
        n += frt_q_is_layer(&plan->nodes[i]) && plan->nodes[i].active == active;
    return n;
}

/* Layers that hurt go back to floats until the drift is allowed. */
static enum frt_status give_back(struct search *s, struct frt_error *err)
{
    struct frt_q_plan *plan = s->plan;
    struct candidate *list = frt_alloc_zero(plan->n_nodes + 1, sizeof *list);
    uint32_t n = 0;
    enum frt_status status = list == NULL ? frt_fail_nomem(err, "a search") : FRT_OK;
    for (uint32_t i = 0; i < plan->n_nodes && status == FRT_OK; i++) {
        const struct frt_q_node *node = &plan->nodes[i];
        if (!frt_q_is_layer(node) || node->wide)
            continue;
        list[n++] = (struct candidate){.node = i,
                                       .coarse = error_of(plan, node->in[0]) + error_of(plan, node->out),
                                       .cost = cost_of(s, i)};
    }
    const uint32_t probes = s->options->probes > 0 ? s->options->probes : PROBES;
    if (status == FRT_OK)
        qsort(list, n, sizeof *list, coarsest_first);
    const uint32_t tried = n < probes ? n : probes;
    s->most_runs = s->runs + 2 * tried;
    for (uint32_t i = 0; i < tried && status == FRT_OK; i++) {
        double drift = 0;
        plan->nodes[list[i].node].wide = true;
        status = try_plan(s, &drift, err);
        plan->nodes[list[i].node].wide = false;
        list[i].gain = s->drift - drift;
    }
    if (status == FRT_OK)
        qsort(list, tried, sizeof *list, best_first);
    for (uint32_t i = 0; i < tried && status == FRT_OK && s->drift > s->allowed; i++) {
        double drift = 0;
        plan->nodes[list[i].node].wide = true;
        status = try_plan(s, &drift, err);
        if (status == FRT_OK && drift < s->drift)
            s->drift = drift;
        else
            plan->nodes[list[i].node].wide = false;
    }
    frt_q_plan_settle(plan);
    frt_free(list);
    return status;
}

/* ------------------------------------------------------------------- speed */

static enum frt_status copy_plan(const struct frt_q_plan *from, struct frt_q_node **nodes,
                                 struct frt_error *err)
{
    *nodes = frt_alloc_array(from->n_nodes + 1, sizeof **nodes);
    if (*nodes == NULL)
        return frt_fail_nomem(err, "a plan");
    memcpy(*nodes, from->nodes, from->n_nodes * sizeof **nodes);
    return FRT_OK;
}

/* Nearer for little time: a layer in floats that costs up to a tenth of the model stays so if it takes away a
 * tenth of the drift. */
static enum frt_status try_nearer(struct search *s, uint32_t i, struct frt_error *err)
{
    double drift = 0;
    s->plan->nodes[i].wide = true;
    frt_q_plan_settle(s->plan);
    enum frt_status status = try_plan(s, &drift, err);
    if (status == FRT_OK && drift > NEARER * s->drift) {
        s->plan->nodes[i].wide = false;
        frt_q_plan_settle(s->plan);
    }
    return status;
}

/* A layer at either end in floats: is that faster? Its bytes may cost more to make than they save. */
static enum frt_status try_wide(struct search *s, uint32_t i, struct frt_error *err)
{
    struct frt_q_plan other = *s->plan;
    double ratio = 1;
    enum frt_status status = copy_plan(s->plan, &other.nodes, err);
    if (status != FRT_OK)
        return status;
    other.nodes[i].wide = true;
    /* settling marks values, which the two share: quantised ones are a superset in the plan in hand */
    frt_q_plan_settle(&other);
    struct frt_q_value *values = frt_alloc_array(other.n_values + 1, sizeof *values);
    if (values == NULL) {
        frt_free(other.nodes);
        return frt_fail_nomem(err, "a plan");
    }
    memcpy(values, other.values, other.n_values * sizeof *values);
    other.values = values;
    frt_q_plan_settle(s->plan);
    status = frt_q_trial_race(s->trials, &other, s->plan, ROUNDS, &ratio, err);
    frt_free(values);
    frt_free(other.nodes);
    if (status == FRT_OK && ratio < FASTER) {
        s->plan->nodes[i].wide = true;
        frt_q_plan_settle(s->plan);
    } else if (status == FRT_OK && ratio < DEAR && s->plan->nodes[i].kind != FRT_Q_DENSE) {
        status = try_nearer(s, i, err);
    }
    return status;
}

/* The layers at both ends, which stand beside floats anyway. */
static enum frt_status look_at_ends(struct search *s, struct frt_error *err)
{
    struct frt_q_plan *plan = s->plan;
    uint32_t first = FRT_Q_NO_VALUE, last = FRT_Q_NO_VALUE;
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        if (!frt_q_is_layer(&plan->nodes[i]) || !plan->nodes[i].active)
            continue;
        first = first == FRT_Q_NO_VALUE ? i : first;
        last = i;
    }
    if (first != FRT_Q_NO_VALUE)
        status = try_wide(s, first, err);
    if (status == FRT_OK && last != first && plan->nodes[last].kind == FRT_Q_DENSE)
        status = try_wide(s, last, err);
    if (status == FRT_OK && (plan->nodes[first].wide || plan->nodes[last].wide))
        status = try_plan(s, &s->drift, err);
    return status;
}

/* ------------------------------------------------------------ every face */

/* A good mean may hide a face that is far off: a picture whose values lie outside of what most have, cut off in
 * the first layers. An embedder is held to its bound for each face over all inputs; the layers from the front
 * go back to floats until it is kept. */
static enum frt_status hold_every_face(struct search *s, const void *base, size_t size, struct frt_error *err)
{
    struct frt_q_trials *few = s->trials;
    const double bound = s->task->bounds.min_cosine > 0
                             ? s->task->bounds.min_cosine
                             : frt_compile_bounds_default(FRT_PRECISION_INT8).min_cosine,
                 allowed = FRT_Q_MARGIN * (1 - bound);
    uint32_t at = 0, given = 0;
    enum frt_status status =
        frt_q_trials_new(base, size, s->task, s->task->inputs->n, s->bits, &s->trials, err);
    if (status != FRT_OK) {
        s->trials = few;
        return status;
    }
    s->most_runs += 1;
    status = try_plan(s, &s->drift, err);
    while (status == FRT_OK && frt_q_trial_worst(s->trials) > allowed && given < MOST_FROM_THE_FRONT) {
        while (at < s->plan->n_nodes && !(frt_q_is_layer(&s->plan->nodes[at]) && s->plan->nodes[at].active))
            at++;
        if (at == s->plan->n_nodes)
            break;
        s->plan->nodes[at++].wide = true;
        given++;
        s->most_runs += 1;
        status = try_plan(s, &s->drift, err);
    }
    s->worst = frt_q_trial_worst(s->trials);
    frt_q_trials_free(s->trials);
    s->trials = few;
    return status;
}

/* -------------------------------------------------------------- all of it */

static bool suits(const struct frt_onnx_model *model)
{
    struct frt_onnx_value first, second;
    return !frt_onnx_model_has_inner_graphs(model) && frt_onnx_model_opset(model) >= 10 &&
           frt_onnx_model_graph_input(model, 0, &first) && first.type == FRT_ONNX_F32 &&
           !frt_onnx_model_graph_input(model, 1, &second);
}

static void leave(struct frt_quantise_report *report, const char *why)
{
    (void)snprintf(report->text, sizeof report->text, "not quantised: %s", why);
}

static enum frt_status search(struct search *s, const void *base, size_t size,
                              struct frt_quantise_report *report, struct frt_error *err)
{
    const struct frt_q_options *options = s->options;
    const struct frt_compile_bounds *bounds = &s->task->bounds;
    const bool embedder = s->task->spec != NULL && s->task->spec->role == FRT_ROLE_EMBEDDER;
    const double mean = bounds->mean_cosine > 0 ? bounds->mean_cosine
                                                : frt_compile_bounds_default(FRT_PRECISION_INT8).mean_cosine;
    s->allowed = FRT_Q_MARGIN * (embedder ? 1 - mean : FRT_Q_MAX_ENERGY);
    s->most_runs = options->method >= 0 ? 1 : FRT_RANGE_METHODS;
    enum frt_status status = collect(s, base, size, err);
    if (status != FRT_OK)
        return status;
    frt_q_plan_check_shapes(s->model, s->plan);
    frt_q_plan_settle(s->plan);
    const uint32_t all = layers_in(s->plan, true);
    report->kept = layers_in(s->plan, false);
    if (all == 0) {
        leave(report, "no layer fits");
        return FRT_OK;
    }
    status = frt_q_trials_new(base, size, s->task, options->inputs > 0 ? options->inputs : INPUTS, s->bits,
                              &s->trials, err);
    if (status == FRT_OK)
        status = choose_method(s, err);
    if (status == FRT_OK && !options->any_speed)
        status = look_at_ends(s, err);
    if (status == FRT_OK && s->drift > s->allowed)
        status = give_back(s, err);
    if (status == FRT_OK && embedder && !options->any_speed)
        status = hold_every_face(s, base, size, err);
    frt_q_plan_settle(s->plan);
    if (status == FRT_OK && !options->any_speed)
        status = frt_q_trial_race(s->trials, s->plan, NULL, ROUNDS, &s->ratio, err);
    if (status != FRT_OK)
        return status;
    report->quantised = layers_in(s->plan, true);
    report->kept = layers_in(s->plan, false);
    if (s->drift > s->allowed / FRT_Q_MARGIN) {
        leave(report, "too far from the floats with any choice of layers");
        report->quantised = 0;
    } else if (!options->any_speed && s->ratio > FASTER) {
        leave(report, "no faster than floats on this machine");
        report->quantised = 0;
    } else {
        (void)snprintf(report->text, sizeof report->text,
                       "int8: %u of %u layers, %s ranges, %u-bit weights, drift %.4f in %u trials",
                       report->quantised, report->quantised + report->kept, frt_range_method_name(s->method),
                       s->bits, s->drift, s->runs);
    }
    return FRT_OK;
}

/* The model in floats, made ready: an own copy, as one that is not quantised in the end is left as it was. */
static enum frt_status make_ready(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                                  struct frt_onnx_model **floats, struct frt_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint32_t groups = 0;
    enum frt_status status = frt_onnx_model_pack(model, &bytes, &size, err);
    if (status == FRT_OK)
        status = frt_onnx_model_parse(bytes, size, floats, err);
    frt_free(bytes);
    if (status == FRT_OK)
        status = norms_to_convs(*floats, err);
    return status == FRT_OK ? frt_q_equalise(*floats, task, &groups, err) : status;
}

enum frt_status frt_quantise_with(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                                  const struct frt_q_options *options, struct frt_quantise_report *report,
                                  struct frt_error *err)
{
    const unsigned bits = options->weight_bits != 0 ? options->weight_bits : frt_q_wide_products() ? 8 : 7;
    struct frt_onnx_model *floats = NULL;
    struct search s = {.task = task, .options = options, .bits = bits};
    struct frt_pass_counts counts = {0};
    struct frt_quantise_report done = {0};
    uint8_t *base = NULL;
    size_t size = 0;
    if (task->inputs->n == 0)
        return frt_fail(err, FRT_EINVAL, "nothing to calibrate on");
    if (!suits(model)) {
        leave(report, "not a graph with one float input and operators of opset 10 or later");
        return FRT_OK;
    }
    enum frt_status status = make_ready(model, task, &floats, err);
    s.model = floats;
    if (status == FRT_OK)
        status = frt_q_plan_new(floats, &s.plan, err);
    if (status == FRT_OK)
        status = frt_onnx_model_pack(floats, &base, &size, err);
    if (status == FRT_OK)
        status = search(&s, base, size, &done, err);
    if (status == FRT_OK && done.quantised > 0)
        status = frt_q_emit(floats, s.plan, bits, err);
    if (status == FRT_OK && done.quantised > 0)
        status = frt_passes_run(floats, FRT_PASS_BLOCKED, &counts, err);
    if (status == FRT_OK && done.quantised > 0)
        frt_onnx_model_swap(model, floats);
    frt_q_trials_free(s.trials);
    frt_q_plan_free(s.plan);
    frt_onnx_model_free(floats);
    frt_free(base);
    if (status == FRT_OK)
        *report = done;
    return status;
}

enum frt_status frt_quantise(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                             struct frt_quantise_report *report, struct frt_error *err)
{
    static const struct frt_q_options defaults = {.method = -1};
    return frt_quantise_with(model, task, &defaults, report, err);
}
