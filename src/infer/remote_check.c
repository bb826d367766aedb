/*
 * Is it the same model? Metadata against the reference's graph, and answers against the reference's. Design:
 * remote.h.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/splitmix.h"
#include "infer/remote_inside.h"

/* |theirs - ours| / |ours|, of each output. A graph of floats computed elsewhere differs by 1e-6 (another order
 * of sums) to 2e-3 (TF32, fp16); other weights differ by 0.1 and more, even where all faces lie in a narrow cap
 * (docs/accelerators.md has measurements). */
static const double MOST_DIFFERENCE = 0.01;
static const size_t MOST_PROBE_BYTES = (size_t)64 << 20;
enum { PROBE_ROWS = 2, PROBE_SIDE = 128 };

/* -------------------------------------------------------------- metadata */

static void list_tensors(const struct frt_tensor_info *list, uint32_t n, char *out, size_t room)
{
    char shape[96];
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < n && used < room; i++) {
        frt_tensor_shape_text(list[i].dims, list[i].n_dims, shape, sizeof shape);
        int w = snprintf(out + used, room - used, "%s'%s' %s%s", i == 0 ? "" : ", ", list[i].name, shape,
                         list[i].is_float ? "" : " (not FP32)");
        used += w > 0 ? (size_t)w : 0;
    }
}

/* Fixed sizes have to agree; the first one may also be 1 there and free here: rows go one by one then. */
static bool same_shape(const struct frt_tensor_info *ours, const struct frt_tensor_info *theirs)
{
    if (ours->n_dims != theirs->n_dims)
        return false;
    for (uint32_t i = 0; i < ours->n_dims; i++) {
        const int64_t a = ours->dims[i], b = theirs->dims[i];
        if (a != b && a >= 0 && b >= 0)
            return false;
        if (a < 0 && b >= 0 && !(i == 0 && b == 1)) /* it takes less than is asked of it here */
            return false;
    }
    return true;
}

static const struct frt_tensor_info *named(const struct frt_tensor_info *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* `out`: theirs in our order. extra: more of them than ours are fine (outputs nobody asks for). */
static enum frt_status match_list(const struct remote_session *session, const char *what,
                                  const struct frt_tensor_info *ours, uint32_t n_ours,
                                  const struct frt_tensor_info *theirs, uint32_t n_theirs, bool extra,
                                  struct frt_tensor_info *out, struct frt_error *err)
{
    const bool loose = session->backend->protocol->loose_names && n_ours == 1 && n_theirs == 1;
    char wanted[256], found[256];
    for (uint32_t i = 0; i < n_ours; i++) {
        if (extra && !ours[i].is_float) { /* an output that nobody reads is not asked for */
            out[i] = ours[i];
            continue;
        }
        const struct frt_tensor_info *t = loose ? theirs : named(theirs, n_theirs, ours[i].name);
        if (t != NULL && t->is_float && same_shape(&ours[i], t) && (n_theirs == n_ours || extra)) {
            out[i] = *t;
            continue;
        }
        list_tensors(ours, n_ours, wanted, sizeof wanted);
        list_tensors(theirs, n_theirs, found, sizeof found);
        return frt_fail(err, FRT_ENOTFOUND, "%s: model '%s' has other %s there: %s; the model here has %s",
                        session->backend->address.url, session->model.name.name, what, found, wanted);
    }
    return FRT_OK;
}

enum frt_status remote_match(struct remote_session *session, const struct frt_session_info *theirs,
                             struct frt_error *err)
{
    const struct frt_session_info *ours = &session->reference->info;
    struct frt_session_info *info = &session->model.info;
    info->n_inputs = ours->n_inputs;
    info->n_outputs = ours->n_outputs;
    enum frt_status status = match_list(session, "inputs", ours->inputs, ours->n_inputs, theirs->inputs,
                                        theirs->n_inputs, false, info->inputs, err);
    if (status == FRT_OK)
        status = match_list(session, "outputs", ours->outputs, ours->n_outputs, theirs->outputs,
                            theirs->n_outputs, true, info->outputs, err);
    if (status == FRT_OK && info->inputs[0].dims[0] == 1 && ours->inputs[0].dims[0] < 0)
        atomic_store(&session->most_rows, 1);
    /* what an answer is held against: what is fixed here is right, whatever the server leaves open */
    for (uint32_t i = 0; i < ours->n_outputs && status == FRT_OK; i++)
        for (uint32_t d = 0; d < ours->outputs[i].n_dims; d++)
            if (info->outputs[i].dims[d] < 0)
                info->outputs[i].dims[d] = ours->outputs[i].dims[d];
    return status;
}

/* --------------------------------------------------------------- answers */

static enum frt_status compare_output(const struct remote_session *session, uint32_t i,
                                      const struct frt_remote_tensor *theirs, const struct frt_tensor *ours,
                                      struct frt_error *err)
{
    const char *url = session->backend->address.url, *name = session->model.name.name;
    const size_t count = frt_tensor_size(ours);
    char a[96], b[96];
    double distance = 0, size = 0;
    if (ours->data == NULL)
        return FRT_OK; /* not of floats: nobody reads it */
    if (ours->n_dims != theirs->n_dims ||
        memcmp(ours->dims, theirs->dims, ours->n_dims * sizeof *ours->dims) != 0) {
        frt_tensor_shape_text(theirs->dims, theirs->n_dims, a, sizeof a);
        frt_tensor_shape_text(ours->dims, ours->n_dims, b, sizeof b);
        return frt_fail(
            err, FRT_ENOTFOUND,
            "%s: model '%s' is another one there: its output '%s' has the shape %s where the one here "
            "has %s",
            url, name, session->model.info.outputs[i].name, a, b);
    }
    for (size_t k = 0; k < count; k++) {
        const double d = (double)theirs->data[k] - (double)ours->data[k];
        distance += d * d;
        size += (double)ours->data[k] * (double)ours->data[k];
    }
    const double relative = sqrt(distance) / (sqrt(size) + 1e-6);
    if (relative <= MOST_DIFFERENCE)
        return FRT_OK;
    return frt_fail(
        err, FRT_ENOTFOUND,
        "%s: model '%s' is another one there: its answers differ by %.2g of their size from those of the "
        "model here (output '%s'; at most %g is right). Give the server this pack's file",
        url, name, relative, session->model.info.outputs[i].name, MOST_DIFFERENCE);
}

static enum frt_status compare_all(struct remote_session *session, const struct frt_remote_answer *theirs,
                                   const struct frt_outputs *ours, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    (void)atomic_fetch_add(&session->backend->comparisons, 1);
    for (uint32_t i = 0; i < ours->n && status == FRT_OK; i++)
        status = compare_output(session, i, &theirs->tensors[i], &ours->tensors[i], err);
    if (status != FRT_OK) {
        (void)atomic_fetch_add(&session->backend->differences, 1);
        remote_note_error(session->backend, err->text);
    }
    return status;
}

enum frt_status remote_compare(struct remote_session *session, const struct frt_tensor *inputs,
                               uint32_t n_inputs, const struct frt_remote_answer *answer, struct frt_error *err)
{
    struct frt_outputs ours = {0};
    enum frt_status status = session->reference->ops->run(session->reference, inputs, n_inputs, &ours, err);
    if (status != FRT_OK)
        return status;
    status = compare_all(session, answer, &ours, err);
    frt_outputs_release(&ours);
    return status;
}

/* ---------------------------------------------------------------- probe */

static void free_probe(struct frt_tensor *inputs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        frt_free((void *)(uintptr_t)inputs[i].data);
}

/* Noise, the same each time, of shapes that the graph takes. */
static enum frt_status make_probe(const struct frt_session_info *info, struct frt_tensor *inputs,
                                  struct frt_error *err)
{
    uint64_t random = 20240521;
    for (uint32_t i = 0; i < info->n_inputs; i++) {
        struct frt_tensor *t = &inputs[i];
        *t = (struct frt_tensor){.n_dims = info->inputs[i].n_dims};
        for (uint32_t d = 0; d < t->n_dims; d++)
            t->dims[d] = info->inputs[i].dims[d] >= 0 ? info->inputs[i].dims[d]
                         : d == 0                     ? PROBE_ROWS
                                                      : PROBE_SIDE;
        const size_t count = frt_tensor_size(t);
        if (count == 0 || count > MOST_PROBE_BYTES / sizeof(float)) {
            free_probe(inputs, i);
            return frt_fail(err, FRT_ENOTFOUND, "the model's input '%s' is too large to be tried out",
                            info->inputs[i].name);
        }
        float *data = frt_alloc_array(count, sizeof *data);
        if (data == NULL) {
            free_probe(inputs, i);
            return frt_fail_nomem(err, "trying the model server out");
        }
        for (size_t k = 0; k < count; k++)
            data[k] = (float)(frt_splitmix_next(&random) >> 40) / (float)(1 << 24);
        t->data = data;
    }
    return FRT_OK;
}

/* Which outputs have as many rows as there went in; only rows that are free there can tell. */
static void learn_rows(struct remote_session *session, const struct frt_tensor *inputs,
                       const struct frt_outputs *ours)
{
    const struct frt_session_info *info = &session->reference->info;
    session->splits = true;
    for (uint32_t i = 0; i < info->n_inputs; i++)
        session->splits = session->splits && info->inputs[i].dims[0] < 0;
    const bool free_rows = session->splits;
    for (uint32_t i = 0; i < ours->n; i++) {
        session->by_row[i] = free_rows && info->outputs[i].n_dims > 0 && info->outputs[i].dims[0] < 0 &&
                             ours->tensors[i].dims[0] == inputs[0].dims[0];
        session->splits = session->splits && session->by_row[i];
    }
}

static enum frt_status ask_and_compare(struct remote_session *session, const struct frt_tensor *inputs,
                                       uint32_t n_inputs, const struct frt_outputs *ours, int *http_status,
                                       struct frt_error *err)
{
    struct frt_remote_answer theirs = {0};
    session->model.served[0] = '\0';
    enum frt_status status = remote_run_rows(session, inputs, n_inputs, &theirs, http_status, err);
    if (status == FRT_OK) {
        (void)snprintf(session->model.served, sizeof session->model.served, "%s", theirs.version);
        status = compare_all(session, &theirs, ours, err);
    }
    frt_remote_answer_deinit(&theirs);
    return status;
}

enum frt_status remote_try_out(struct remote_session *session, struct frt_error *err)
{
    const struct frt_session_info *info = &session->reference->info;
    struct frt_tensor inputs[FRT_SESSION_MAX_INPUTS];
    struct frt_outputs ours = {0};
    int http_status = 0;
    enum frt_status status = make_probe(info, inputs, err);
    if (status != FRT_OK)
        return status;
    status = session->reference->ops->run(session->reference, inputs, info->n_inputs, &ours, err);
    if (status != FRT_OK)
        goto done;
    learn_rows(session, inputs, &ours);
    const unsigned most_rows = atomic_load(&session->most_rows);
    session->model.binary = session->backend->protocol == &frt_remote_kserve;
    status = ask_and_compare(session, inputs, info->n_inputs, &ours, &http_status, err);
    if (status == FRT_ENOTFOUND && http_status >= 400 && session->model.binary) {
        /* refused: perhaps it does not know the extension for binary tensors */
        const struct frt_error first = *err;
        session->model.binary = false;
        atomic_store(&session->most_rows, most_rows); /* it was not their number that was refused */
        status = ask_and_compare(session, inputs, info->n_inputs, &ours, &http_status, err);
        if (status == FRT_ENOTFOUND && http_status >= 400)
            status = frt_fail_within(err, status, "%s; and with tensors as JSON", first.text);
    }
    frt_outputs_release(&ours);
done:
    free_probe(inputs, info->n_inputs);
    return status;
}
