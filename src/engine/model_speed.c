#include "engine/model_speed.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"

enum { WARM_UP = 2, MAX_RUNS = 41, DEFAULT_SIDE_PX = 640 };
static const double ENOUGH_MS = 400;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The graph's own size, the spec's, or for a detector of any size the one it scales photos to. */
static enum frt_status choose_size(const struct frt_model_spec *spec, const struct frt_session *session,
                                   struct frt_tensor *input, struct frt_error *err)
{
    const struct frt_tensor_info *info = &session->info.inputs[0];
    const int64_t free_side = spec->max_input_px != 0 ? spec->max_input_px : DEFAULT_SIDE_PX;
    if (session->info.n_inputs != 1 || !info->is_float || info->n_dims != 4)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: its input is not one image of f32", spec->name);
    *input = (struct frt_tensor){.n_dims = 4};
    for (uint32_t i = 0; i < 4; i++)
        input->dims[i] = info->dims[i];
    if (input->dims[0] < 0)
        input->dims[0] = 1;
    if (input->dims[1] < 0)
        input->dims[1] = 3;
    if (input->dims[2] < 0)
        input->dims[2] = spec->input.height_px != 0 ? spec->input.height_px : free_side;
    if (input->dims[3] < 0)
        input->dims[3] = spec->input.width_px != 0 ? spec->input.width_px : free_side;
    return FRT_OK;
}

static enum frt_status run_some(const struct frt_session *session, const struct frt_tensor *input,
                                double *median, struct frt_error *err)
{
    double ms[MAX_RUNS] = {0}, sum = 0;
    int n = 0;
    for (int i = -WARM_UP; i < MAX_RUNS && (n == 0 || sum < ENOUGH_MS); i++) {
        struct frt_outputs outputs;
        const int64_t start = frt_now_ns();
        enum frt_status status = frt_session_run(session, input, 1, &outputs, err);
        if (status != FRT_OK)
            return status;
        const double took = frt_elapsed_ms(start);
        frt_outputs_release(&outputs);
        if (i < 0)
            continue;
        ms[n++] = took;
        sum += took;
    }
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    *median = ms[n / 2];
    return FRT_OK;
}

enum frt_status frt_model_speed_measure(const struct frt_context *context, const struct frt_model_spec *spec,
                                        const char *path, struct frt_model_speed *out, struct frt_error *err)
{
    struct frt_model_speed speed = {0};
    struct frt_session *session = NULL;
    struct frt_tensor input = {0};
    float *data = NULL;
    const int64_t start = frt_now_ns();
    enum frt_status status = frt_pack_file_open(context, spec, path, false, &session, err);
    if (status != FRT_OK)
        return status;
    speed.open_ms = frt_elapsed_ms(start);
    status = choose_size(spec, session, &input, err);
    if (status != FRT_OK)
        goto done;
    const size_t n = frt_tensor_size(&input);
    data = n == 0 ? NULL : frt_alloc_array(n, sizeof *data);
    if (data == NULL) {
        status = frt_fail_nomem(err, "an input");
        goto done;
    }
    for (size_t i = 0; i < n; i++) /* as from pixels, and no two alike */
        data[i] = (float)((i * 2654435761U >> 8) % 1024) / 512.0F - 1.0F;
    input.data = data;
    speed.width_px = (uint32_t)input.dims[3];
    speed.height_px = (uint32_t)input.dims[2];
    status = run_some(session, &input, &speed.run_ms, err);
    if (status == FRT_OK)
        *out = speed;
done:
    frt_free(data);
    frt_session_free(session);
    return status;
}
