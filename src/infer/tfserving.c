/*
 * TensorFlow Serving's REST predict, in its columnar form:
 *
 *     POST /v1/models/NAME[/versions/V]:predict   {"inputs":{"name":[[…]]}}
 *     answer                                      {"outputs":[[…]]}  or  {"outputs":{"name":[[…]],…}}
 *
 * JSON only: a number is written with as many digits as read back as the same float. Source: docs/formats/
 * tfserving-predict.md.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_read.h"
#include "core/json_write.h"
#include "core/mem.h"
#include "infer/remote_protocol.h"

enum { TEXT_MAX = 512 * 1024 * 1024, VALUES_MAX = 262144 /* of a document: core/json_read.h */ };

static void model_path(const struct frt_remote_name *name, struct frt_buf *out)
{
    frt_remote_append_path(out, "/v1/models", name);
}

static void metadata_path(const struct frt_remote_name *name, struct frt_buf *out)
{
    model_path(name, out);
    frt_buf_append_text(out, "/metadata");
}

static void infer_path(const struct frt_remote_name *name, struct frt_buf *out)
{
    model_path(name, out);
    frt_buf_append_text(out, ":predict");
}

/* -------------------------------------------------------------- metadata */

/* {"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},…],"unknown_rank":false}} */
static enum frt_status read_tensor(const struct frt_json_value *member, struct frt_tensor_info *out,
                                   struct frt_error *err)
{
    const char *name = frt_json_key_of(member), *type = frt_json_text(frt_json_get(member, "dtype"));
    const struct frt_json_value *shape = frt_json_get(member, "tensor_shape"),
                                *dims = frt_json_get(shape, "dim");
    if (name == NULL || type == NULL || !frt_json_is_array(dims))
        return frt_fail(err, FRT_EBAD_REQUEST, "metadata: a tensor without name, dtype or tensor_shape");
    if (strlen(name) >= sizeof out->name || frt_json_count(dims) > FRT_TENSOR_MAX_DIMS)
        return frt_fail(err, FRT_EBAD_MODEL, "metadata: '%.60s' has too long a name or more than %d dimensions",
                        name, FRT_TENSOR_MAX_DIMS);
    memset(out, 0, sizeof *out);
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    out->is_float = strcmp(type, "DT_FLOAT") == 0;
    for (const struct frt_json_value *d = frt_json_first(dims); d != NULL; d = frt_json_next(d)) {
        const struct frt_json_value *size = frt_json_get(d, "size");
        const char *text = frt_json_text(size); /* int64 are texts in protobuf's JSON */
        const double value = text != NULL ? strtod(text, NULL) : frt_json_double(size, 0);
        if (!(value == -1 || (value >= 1 && value <= 1 << 30)) || value != floor(value))
            return frt_fail(err, FRT_EBAD_REQUEST, "metadata: the shape of '%.60s' holds what is no size",
                            name);
        out->dims[out->n_dims++] = (int64_t)value;
    }
    return FRT_OK;
}

static enum frt_status read_tensors(const struct frt_json_value *object, const char *what,
                                    struct frt_tensor_info *out, uint32_t max, uint32_t *n,
                                    struct frt_error *err)
{
    const size_t count = frt_json_is_object(object) ? frt_json_count(object) : 0;
    if (count == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "metadata without %s of the signature 'serving_default'", what);
    if (count > max)
        return frt_fail(err, FRT_EBAD_MODEL, "%zu %s; at most %u fit", count, what, (unsigned)max);
    enum frt_status status = FRT_OK;
    uint32_t i = 0;
    for (const struct frt_json_value *v = frt_json_first(object); v != NULL && status == FRT_OK;
         v = frt_json_next(v), i++)
        status = read_tensor(v, &out[i], err);
    *n = (uint32_t)count;
    return status;
}

static enum frt_status read_metadata(const char *text, size_t size, struct frt_session_info *out,
                                     struct frt_error *err)
{
    static const char *const way[] = {"metadata", "signature_def", "signature_def", "serving_default"};
    struct frt_json *json = NULL;
    struct frt_session_info info = {0};
    enum frt_status status = frt_json_parse(text, size, &json, err);
    if (status != FRT_OK)
        return status;
    const struct frt_json_value *at = frt_json_root(json);
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        at = frt_json_get(at, way[i]);
    status = read_tensors(frt_json_get(at, "inputs"), "inputs", info.inputs, FRT_SESSION_MAX_INPUTS,
                          &info.n_inputs, err);
    if (status == FRT_OK)
        status = read_tensors(frt_json_get(at, "outputs"), "outputs", info.outputs, FRT_SESSION_MAX_OUTPUTS,
                              &info.n_outputs, err);
    frt_json_free(json);
    if (status == FRT_OK)
        *out = info;
    return status;
}

/* --------------------------------------------------------------- request */

static void write_nested(struct frt_json_writer *w, const struct frt_tensor *tensor, uint32_t dim,
                         const float **at)
{
    frt_json_array(w);
    for (int64_t i = 0; i < tensor->dims[dim]; i++) {
        if (dim + 1 < tensor->n_dims)
            write_nested(w, tensor, dim + 1, at);
        else
            frt_json_float(w, *(*at)++);
    }
    frt_json_end(w);
}

static enum frt_status write_request(const struct frt_remote_model *model, const struct frt_tensor *inputs,
                                     uint32_t n_inputs, struct frt_remote_request *out, struct frt_error *err)
{
    struct frt_json_writer w;
    memset(out, 0, sizeof *out);
    frt_buf_init(&out->text, TEXT_MAX);
    frt_json_writer_init(&w, &out->text, false);
    frt_json_object(&w);
    frt_json_key(&w, "inputs");
    frt_json_object(&w);
    for (uint32_t i = 0; i < n_inputs; i++) {
        const float *at = inputs[i].data;
        frt_json_key(&w, model->info.inputs[i].name);
        write_nested(&w, &inputs[i], 0, &at);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    if (frt_buf_status(&out->text) != FRT_OK) {
        frt_remote_request_deinit(out);
        return frt_fail_nomem(err, "a request to the model server");
    }
    out->pieces[out->n_pieces++] = (struct frt_http_piece){out->text.data, out->text.size};
    return FRT_OK;
}

/* ---------------------------------------------------------------- answer */

/* Shape of nested arrays by their first items. False: not arrays of arrays … of numbers. */
static bool nested_shape(const struct frt_json_value *value, int64_t dims[FRT_TENSOR_MAX_DIMS],
                         uint32_t *n_dims)
{
    uint32_t n = 0;
    for (; frt_json_is_array(value); value = frt_json_first(value)) {
        const size_t count = frt_json_count(value);
        if (n == FRT_TENSOR_MAX_DIMS || count == 0)
            return false;
        dims[n++] = (int64_t)count;
    }
    *n_dims = n;
    return n > 0;
}

/* Every array has the size of its depth: nothing ragged. */
static bool fill(const struct frt_json_value *value, const struct frt_remote_tensor *tensor, uint32_t dim,
                 float **at)
{
    int64_t count = 0;
    for (const struct frt_json_value *v = frt_json_first(value); v != NULL; v = frt_json_next(v), count++) {
        if (count == tensor->dims[dim])
            return false;
        if (dim + 1 < tensor->n_dims) {
            if (!frt_json_is_array(v) || !fill(v, tensor, dim + 1, at))
                return false;
        } else {
            const float number = (float)frt_json_double(v, NAN);
            if (!frt_json_is_number(v) || !isfinite(number))
                return false;
            *(*at)++ = number;
        }
    }
    return count == tensor->dims[dim];
}

static enum frt_status take_output(const struct frt_tensor_info *info, const struct frt_json_value *value,
                                   struct frt_remote_tensor *out, struct frt_error *err)
{
    int64_t dims[FRT_TENSOR_MAX_DIMS] = {0};
    uint32_t n_dims = 0;
    struct frt_tensor shape = {.data = NULL};
    const bool good = nested_shape(value, dims, &n_dims);
    shape.n_dims = n_dims;
    memcpy(shape.dims, dims, n_dims * sizeof *dims);
    /* the first items alone may promise more than there can be */
    if (!good || frt_tensor_size(&shape) > VALUES_MAX)
        return frt_fail(err, FRT_EBAD_REQUEST, "the output '%s' is missing, or no list of numbers", info->name);
    enum frt_status status = frt_remote_tensor_alloc(info, dims, n_dims, out, err);
    float *at = out->data;
    if (status == FRT_OK && !fill(value, out, 0, &at))
        status = frt_fail(err, FRT_EBAD_REQUEST, "the output '%s' is ragged, or holds what is no finite number",
                          info->name);
    return status;
}

static enum frt_status read_answer(const struct frt_remote_model *model, const char *body, size_t size,
                                   size_t json_size, struct frt_remote_answer *out, struct frt_error *err)
{
    struct frt_json *json = NULL;
    memset(out, 0, sizeof *out);
    if (json_size != size)
        return frt_fail(err, FRT_EBAD_REQUEST, "bytes behind the JSON");
    enum frt_status status = frt_json_parse(body, size, &json, err);
    if (status != FRT_OK)
        return status;
    const struct frt_json_value *outputs = frt_json_get(frt_json_root(json), "outputs");
    const bool named = frt_json_is_object(outputs);
    if (!named && model->info.n_outputs != 1)
        status = frt_fail(err, FRT_EBAD_REQUEST, "no 'outputs' by name");
    for (uint32_t i = 0; i < model->info.n_outputs && status == FRT_OK; i++) {
        const struct frt_tensor_info *info = &model->info.outputs[i];
        if (!info->is_float)
            continue;
        status = take_output(info, named ? frt_json_get(outputs, info->name) : outputs, &out->tensors[i], err);
    }
    if (status != FRT_OK)
        frt_remote_answer_deinit(out);
    frt_json_free(json);
    return status;
}

const struct frt_remote_protocol frt_remote_tfserving = {.name = "tfserving",
                                                         .path_help = "/v1/models/NAME/metadata",
                                                         .loose_names = true,
                                                         .metadata_path = metadata_path,
                                                         .infer_path = infer_path,
                                                         .read_metadata = read_metadata,
                                                         .write_request = write_request,
                                                         .read_answer = read_answer};
