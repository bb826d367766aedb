/*
 * Grouped convolutions of fewer than 16 channels a group → groups of 16, zeros added: the runtime has no fast
 * kernel for the narrow ones. Groups of two in and two out → two depthwise convolutions, one over the channels
 * with the pairs swapped.
 */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/passes.h"

enum {
    WIDE = 16, /* channels of the runtime's blocks with AVX-512; a multiple of those with less */
    NAME = 300
};

/* The names of what takes a node's place. */
struct names {
    char x[NAME], y[NAME], positive[NAME + 16], left[NAME + 16], right[NAME + 16], a[NAME + 16], b[NAME + 16];
};

static void name_parts(const struct frt_onnx_model *model, uint32_t node, struct names *n)
{
    (void)snprintf(n->x, sizeof n->x, "%s", frt_onnx_model_input(model, node, 0));
    (void)snprintf(n->y, sizeof n->y, "%s", frt_onnx_model_output(model, node, 0));
    (void)snprintf(n->positive, sizeof n->positive, "%s/frt_relu", n->y);
    (void)snprintf(n->left, sizeof n->left, "%s/frt_left", n->y);
    (void)snprintf(n->right, sizeof n->right, "%s/frt_right", n->y);
    (void)snprintf(n->a, sizeof n->a, "%s/frt_a", n->y);
    (void)snprintf(n->b, sizeof n->b, "%s/frt_b", n->y);
}

struct grouped {
    int64_t groups, outputs, inputs_a_group, taps; /* taps: kernel height × width */
};

/* A grouped convolution, neither dense nor depthwise, whose groups fit into wide ones whole. */
static bool is_narrow(const struct frt_onnx_model *model, uint32_t node, struct frt_onnx_shape *shape,
                      const float **weights, struct grouped *g)
{
    if (strcmp(frt_onnx_model_op(model, node), "Conv") != 0)
        return false;
    g->groups = frt_onnx_model_int(model, node, "group", 1);
    if (g->groups <= 1 ||
        !frt_onnx_model_weights(model, frt_onnx_model_input(model, node, 1), shape, weights) ||
        shape->n_dims != 4)
        return false;
    g->outputs = shape->dims[0];
    g->inputs_a_group = shape->dims[1];
    g->taps = shape->dims[2] * shape->dims[3];
    return g->inputs_a_group > 1 && g->inputs_a_group < WIDE && WIDE % g->inputs_a_group == 0 &&
           g->outputs % g->groups == 0 && g->groups % (WIDE / g->inputs_a_group) == 0 &&
           /* each wide group must give whole blocks, too */
           (g->outputs / g->groups * (WIDE / g->inputs_a_group)) % WIDE == 0;
}

/* The same weights at their places among WIDE inputs a group, zeros elsewhere. */
static void spread(const struct grouped *g, const float *from, float *to)
{
    const int64_t outputs_a_group = g->outputs / g->groups;
    memset(to, 0, (size_t)(g->outputs * WIDE * g->taps) * sizeof *to);
    for (int64_t o = 0; o < g->outputs; o++) {
        const int64_t first = o / outputs_a_group * g->inputs_a_group % WIDE;
        memcpy(to + (o * WIDE + first) * g->taps, from + o * g->inputs_a_group * g->taps,
               (size_t)(g->inputs_a_group * g->taps) * sizeof *to);
    }
}

static enum frt_status widen(struct frt_onnx_model *model, uint32_t node, const struct frt_onnx_shape *shape,
                             const float *weights, const struct grouped *g, struct frt_error *err)
{
    struct frt_onnx_shape wide = *shape;
    char name[NAME + 16];
    (void)snprintf(name, sizeof name, "%s/frt_wide", frt_onnx_model_output(model, node, 0));
    wide.dims[1] = WIDE;
    const int64_t n = frt_onnx_shape_size(&wide);
    float *spread_out = n <= 0 ? NULL : frt_alloc_array((size_t)n, sizeof *spread_out);
    if (spread_out == NULL)
        return frt_fail_nomem(err, "wider weights");
    spread(g, weights, spread_out);
    enum frt_status status = frt_onnx_model_add_weights(model, name, &wide, spread_out, err);
    frt_free(spread_out);
    if (status == FRT_OK)
        status = frt_onnx_model_set_input(model, node, 1, name, err);
    if (status == FRT_OK)
        (void)frt_onnx_model_set_int(model, node, "group", g->groups * g->inputs_a_group / WIDE);
    return status;
}

/* Groups of two in and two out: what an output takes of the input of its own number, and what of the other one
 * of the pair: y = depthwise(x) + depthwise(x with its pairs swapped). The swap is a 1 × 1 convolution of zeros
 * and ones; the additions become part of the second one. A third of the arithmetic of a wide group. */
static enum frt_status split_pairs(struct frt_onnx_model *model, uint32_t node,
                                   const struct frt_onnx_shape *shape, const float *weights,
                                   const struct grouped *g, struct frt_error *err)
{
    const struct frt_onnx_shape swap_shape = {.n_dims = 4, .dims = {g->outputs, WIDE, 1, 1}};
    struct frt_onnx_shape half = *shape;
    char bias[NAME];
    struct names n;
    name_parts(model, node, &n);
    (void)snprintf(bias, sizeof bias, "%s", frt_onnx_model_input(model, node, 2));
    half.dims[1] = 1;
    float *own = frt_alloc_array((size_t)(g->outputs * g->taps), sizeof *own);
    float *other = frt_alloc_array((size_t)(g->outputs * g->taps), sizeof *other);
    float *swap = frt_alloc_zero((size_t)(g->outputs * WIDE), sizeof *swap);
    enum frt_status status = FRT_OK;
    if (own == NULL || other == NULL || swap == NULL) {
        status = frt_fail_nomem(err, "weights of pairs");
        goto done;
    }
    for (int64_t o = 0; o < g->outputs; o++) {
        const float *of = weights + o * 2 * g->taps;
        memcpy(own + o * g->taps, of + o % 2 * g->taps, (size_t)g->taps * sizeof *own);
        memcpy(other + o * g->taps, of + (1 - o % 2) * g->taps, (size_t)g->taps * sizeof *other);
        swap[o * WIDE + (o ^ 1) % WIDE] = 1;
    }
    char other_name[NAME + 20];
    (void)snprintf(other_name, sizeof other_name, "%s/frt_other", n.y);
    status = frt_onnx_model_add_weights(model, n.a, &half, own, err);
    if (status == FRT_OK)
        status = frt_onnx_model_add_weights(model, other_name, &half, other, err);
    if (status == FRT_OK)
        status = frt_onnx_model_add_weights(model, n.b, &swap_shape, swap, err);
    if (status == FRT_OK) {
        const struct frt_onnx_new_node parts[] = {
            {.op = "Conv", .inputs = {n.x, n.b}, .output = n.positive, .group = g->outputs / WIDE},
            {.op = "Conv",
             .inputs = {n.x, n.a, bias[0] != '\0' ? bias : NULL},
             .output = n.left,
             .like = true,
             .group = g->outputs},
            {.op = "Conv",
             .inputs = {n.positive, other_name},
             .output = n.right,
             .like = true,
             .group = g->outputs},
            {.op = "Add", .inputs = {n.left, n.right}, .output = n.y}};
        status = frt_onnx_model_replace(model, node, parts, sizeof parts / sizeof *parts, err);
    }
done:
    frt_free(own);
    frt_free(other);
    frt_free(swap);
    return status;
}

enum frt_status frt_pass_groups(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++) {
        struct frt_onnx_shape shape;
        struct grouped g;
        const float *weights;
        if (!is_narrow(model, i, &shape, &weights, &g) || strlen(frt_onnx_model_output(model, i, 0)) >= NAME)
            continue;
        status = g.inputs_a_group == 2 && g.outputs == 2 * g.groups &&
                         strlen(frt_onnx_model_input(model, i, 0)) < NAME &&
                         strlen(frt_onnx_model_input(model, i, 2)) < NAME
                     ? split_pairs(model, i, &shape, weights, &g, err)
                     : widen(model, i, &shape, weights, &g, err);
        (*changed)++;
    }
    return status;
}
