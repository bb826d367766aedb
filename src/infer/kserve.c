/* The Open Inference protocol (KServe v2): tensors, and its side of a client. */
#include "infer/kserve.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "infer/remote_protocol.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors go over the wire as they lie in memory, which the protocol wants little-endian"
#endif

enum { DEPTH_MAX = 8, TEXT_MAX = 512 * 1024 * 1024 };

/* --------------------------------------------------------------- tensors */

static enum frt_status read_shape(const struct frt_json_value *shape, struct frt_kserve_tensor *t,
                                  struct frt_error *err)
{
    const size_t n = frt_json_count(shape);
    if (!frt_json_is_array(shape) || n == 0 || n > FRT_TENSOR_MAX_DIMS)
        return frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s': 'shape' is no list of 1 to %d sizes", t->name,
                        FRT_TENSOR_MAX_DIMS);
    size_t count = 1;
    for (const struct frt_json_value *v = frt_json_first(shape); v != NULL; v = frt_json_next(v)) {
        const double size = frt_json_double(v, -1);
        if (!(size >= 1 && size <= 1 << 30) || size != floor(size) ||
            !frt_mul_size(count, (size_t)size, &count))
            return frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s': 'shape' holds what is no size", t->name);
        t->dims[t->n_dims++] = (int64_t)size;
    }
    t->count = count;
    return FRT_OK;
}

static enum frt_status read_tensor(const struct frt_json_value *item, const uint8_t **bytes, size_t *left,
                                   struct frt_kserve_tensor *t, struct frt_error *err)
{
    const struct frt_json_value *size = frt_json_get(frt_json_get(item, "parameters"), "binary_data_size");
    const char *type = frt_json_text(frt_json_get(item, "datatype"));
    size_t need = 0;
    memset(t, 0, sizeof *t);
    t->name = frt_json_text(frt_json_get(item, "name"));
    if (t->name == NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "a tensor without a name");
    if (type == NULL || strcmp(type, "FP32") != 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s' is of type %.20s; FP32 is right", t->name,
                        type == NULL ? "(none)" : type);
    enum frt_status status = read_shape(frt_json_get(item, "shape"), t, err);
    if (status != FRT_OK)
        return status;
    t->data = frt_json_get(item, "data");
    if (size == NULL && t->count > FRT_KSERVE_JSON_MAX)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "tensor '%.60s' has %zu numbers; in JSON %d fit, more are sent as bytes", t->name,
                        t->count, FRT_KSERVE_JSON_MAX);
    if (size == NULL)
        return frt_json_is_array(t->data)
                   ? FRT_OK
                   : frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s' has neither 'data' nor 'binary_data_size'",
                              t->name);
    if (!frt_mul_size(t->count, sizeof(float), &need) || frt_json_double(size, -1) != (double)need)
        return frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s': binary_data_size is %.0f; its shape takes %zu",
                        t->name, frt_json_double(size, -1), need);
    if (need > *left)
        return frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s' takes %zu bytes; %zu are left", t->name, need,
                        *left);
    t->bytes = *bytes;
    *bytes += need;
    *left -= need;
    return FRT_OK;
}

enum frt_status frt_kserve_read_tensors(const struct frt_json_value *list, const void *bytes, size_t size,
                                        struct frt_kserve_tensor *out, uint32_t max, uint32_t *n,
                                        struct frt_error *err)
{
    const uint8_t *at = bytes;
    uint32_t found = 0;
    if (!frt_json_is_array(list))
        return frt_fail(err, FRT_EBAD_REQUEST, "no list of tensors");
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v)) {
        if (found == max)
            return frt_fail(err, FRT_EBAD_REQUEST, "more than %u tensors", (unsigned)max);
        enum frt_status status = read_tensor(v, &at, &size, &out[found], err);
        if (status != FRT_OK)
            return status;
        found++;
    }
    if (size != 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "%zu bytes behind the last tensor", size);
    *n = found;
    return FRT_OK;
}

/* Depth first. *at: floats so far. */
static bool flatten(const struct frt_json_value *array, unsigned depth, size_t count, float *out, size_t *at)
{
    for (const struct frt_json_value *v = frt_json_first(array); v != NULL; v = frt_json_next(v)) {
        if (frt_json_is_array(v)) {
            if (depth == DEPTH_MAX || !flatten(v, depth + 1, count, out, at))
                return false;
            continue;
        }
        const float value = (float)frt_json_double(v, NAN);
        if (!frt_json_is_number(v) || !isfinite(value) || *at == count)
            return false;
        out[(*at)++] = value;
    }
    return true;
}

enum frt_status frt_kserve_values(const struct frt_kserve_tensor *tensor, float *out, struct frt_error *err)
{
    size_t at = 0;
    if (tensor->bytes != NULL) {
        memcpy(out, tensor->bytes, tensor->count * sizeof *out);
        return FRT_OK;
    }
    if (!flatten(tensor->data, 0, tensor->count, out, &at) || at != tensor->count)
        return frt_fail(err, FRT_EBAD_REQUEST, "tensor '%.60s': 'data' is not the %zu numbers of its shape",
                        tensor->name, tensor->count);
    return FRT_OK;
}

static void write_dims(struct frt_json_writer *w, const int64_t *dims, uint32_t n)
{
    frt_json_key(w, "shape");
    frt_json_array(w);
    for (uint32_t i = 0; i < n; i++)
        frt_json_int(w, dims[i]);
    frt_json_end(w);
}

void frt_kserve_write_tensor(struct frt_json_writer *w, const char *name, const struct frt_tensor *tensor,
                             bool binary)
{
    const size_t count = frt_tensor_size(tensor);
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, name);
    write_dims(w, tensor->dims, tensor->n_dims);
    frt_json_key(w, "datatype");
    frt_json_string(w, "FP32");
    if (binary) {
        frt_json_key(w, "parameters");
        frt_json_object(w);
        frt_json_key(w, "binary_data_size");
        frt_json_int(w, (int64_t)(count * sizeof(float)));
        frt_json_end(w);
    } else {
        frt_json_key(w, "data");
        frt_json_array(w);
        for (size_t i = 0; i < count; i++)
            frt_json_float(w, tensor->data[i]);
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_kserve_write_info(struct frt_json_writer *w, const struct frt_tensor_info *info)
{
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, info->name);
    frt_json_key(w, "datatype");
    frt_json_string(w, info->is_float ? "FP32" : "BYTES");
    write_dims(w, info->dims, info->n_dims);
    frt_json_end(w);
}

bool frt_kserve_header_length(const char *value, size_t size, size_t *out)
{
    size_t length = 0, digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 15 || value[digits] != '\0')
        return false;
    for (size_t i = 0; i < digits; i++)
        length = 10 * length + (size_t)(value[i] - '0');
    if (length > size)
        return false;
    *out = length;
    return true;
}

/* ---------------------------------------------------------------- client */

static void model_path(const struct frt_remote_name *name, struct frt_buf *out)
{
    frt_remote_append_path(out, "/v2/models", name);
}

static void infer_path(const struct frt_remote_name *name, struct frt_buf *out)
{
    model_path(name, out);
    frt_buf_append_text(out, "/infer");
}

static enum frt_status read_info(const struct frt_json_value *list, const char *what,
                                 struct frt_tensor_info *out, uint32_t max, uint32_t *n, struct frt_error *err)
{
    const size_t count = frt_json_count(list);
    if (!frt_json_is_array(list) || count == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "metadata without '%s'", what);
    if (count > max)
        return frt_fail(err, FRT_EBAD_MODEL, "%zu %s; at most %u fit", count, what, (unsigned)max);
    uint32_t i = 0;
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v), i++) {
        struct frt_tensor_info *info = &out[i];
        const char *name = frt_json_text(frt_json_get(v, "name"));
        const char *type = frt_json_text(frt_json_get(v, "datatype"));
        const struct frt_json_value *shape = frt_json_get(v, "shape");
        if (name == NULL || type == NULL || !frt_json_is_array(shape))
            return frt_fail(err, FRT_EBAD_REQUEST, "metadata: one of '%s' lacks name, datatype or shape", what);
        if (strlen(name) >= sizeof info->name || frt_json_count(shape) > FRT_TENSOR_MAX_DIMS)
            return frt_fail(err, FRT_EBAD_MODEL,
                            "metadata: '%.60s' has too long a name or more than %d dimensions", name,
                            FRT_TENSOR_MAX_DIMS);
        memset(info, 0, sizeof *info);
        (void)snprintf(info->name, sizeof info->name, "%s", name);
        info->is_float = strcmp(type, "FP32") == 0;
        for (const struct frt_json_value *d = frt_json_first(shape); d != NULL; d = frt_json_next(d)) {
            const double size = frt_json_double(d, 0);
            if (!(size == -1 || (size >= 1 && size <= 1 << 30)) || size != floor(size))
                return frt_fail(err, FRT_EBAD_REQUEST, "metadata: the shape of '%.60s' holds what is no size",
                                name);
            info->dims[info->n_dims++] = (int64_t)size;
        }
    }
    *n = (uint32_t)count;
    return FRT_OK;
}

static enum frt_status read_metadata(const char *text, size_t size, struct frt_session_info *out,
                                     struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_session_info info = {0};
    enum frt_status status = frt_json_parse(text, size, &json, err);
    if (status != FRT_OK)
        return status;
    const struct frt_json_value *root = frt_json_root(json);
    status = read_info(frt_json_get(root, "inputs"), "inputs", info.inputs, FRT_SESSION_MAX_INPUTS,
                       &info.n_inputs, err);
    if (status == FRT_OK)
        status = read_info(frt_json_get(root, "outputs"), "outputs", info.outputs, FRT_SESSION_MAX_OUTPUTS,
                           &info.n_outputs, err);
    frt_json_free(json);
    if (status == FRT_OK)
        *out = info;
    return status;
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
    frt_json_array(&w);
    for (uint32_t i = 0; i < n_inputs; i++)
        frt_kserve_write_tensor(&w, model->info.inputs[i].name, &inputs[i], model->binary);
    frt_json_end(&w);
    frt_json_key(&w, "outputs");
    frt_json_array(&w);
    for (uint32_t i = 0; i < model->info.n_outputs; i++) {
        if (!model->info.outputs[i].is_float)
            continue;
        frt_json_object(&w);
        frt_json_key(&w, "name");
        frt_json_string(&w, model->info.outputs[i].name);
        if (model->binary) {
            frt_json_key(&w, "parameters");
            frt_json_object(&w);
            frt_json_key(&w, "binary_data");
            frt_json_bool(&w, true);
            frt_json_end(&w);
        }
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    if (frt_buf_status(&out->text) != FRT_OK) {
        frt_remote_request_deinit(out);
        return frt_fail_nomem(err, "a request to the model server");
    }
    out->pieces[out->n_pieces++] = (struct frt_http_piece){out->text.data, out->text.size};
    if (model->binary) {
        (void)snprintf(out->length_header, sizeof out->length_header, "Inference-Header-Content-Length: %zu",
                       out->text.size);
        for (uint32_t i = 0; i < n_inputs; i++)
            out->pieces[out->n_pieces++] =
                (struct frt_http_piece){inputs[i].data, frt_tensor_size(&inputs[i]) * sizeof(float)};
    }
    return FRT_OK;
}

static int output_of(const struct frt_remote_model *model, const char *name)
{
    for (uint32_t i = 0; i < model->info.n_outputs; i++)
        if (strcmp(model->info.outputs[i].name, name) == 0)
            return (int)i;
    return -1;
}

static enum frt_status take_outputs(const struct frt_remote_model *model,
                                    const struct frt_kserve_tensor *tensors, uint32_t n,
                                    struct frt_remote_answer *out, struct frt_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        const int k = output_of(model, tensors[i].name);
        if (k < 0 || out->tensors[k].data != NULL)
            return frt_fail(err, FRT_EBAD_REQUEST, "an output '%.60s' that was not asked for%s",
                            tensors[i].name, k < 0 ? "" : " twice");
        enum frt_status status = frt_remote_tensor_alloc(&model->info.outputs[k], tensors[i].dims,
                                                         tensors[i].n_dims, &out->tensors[k], err);
        if (status == FRT_OK)
            status = frt_kserve_values(&tensors[i], out->tensors[k].data, err);
        for (size_t v = 0; status == FRT_OK && v < tensors[i].count; v++)
            if (!isfinite(out->tensors[k].data[v]))
                status = frt_fail(err, FRT_EBAD_REQUEST, "the output '%.60s' holds what is no finite number",
                                  tensors[i].name);
        if (status != FRT_OK)
            return status;
    }
    for (uint32_t i = 0; i < model->info.n_outputs; i++)
        if (out->tensors[i].data == NULL && model->info.outputs[i].is_float)
            return frt_fail(err, FRT_EBAD_REQUEST, "the output '%s' is missing", model->info.outputs[i].name);
    return FRT_OK;
}

static enum frt_status read_answer(const struct frt_remote_model *model, const char *body, size_t size,
                                   size_t json_size, struct frt_remote_answer *out, struct frt_error *err)
{
    struct frt_json *json = NULL;
    struct frt_kserve_tensor tensors[FRT_SESSION_MAX_OUTPUTS];
    uint32_t n = 0;
    memset(out, 0, sizeof *out);
    enum frt_status status = frt_json_parse(body, json_size, &json, err);
    if (status != FRT_OK)
        return status;
    const struct frt_json_value *root = frt_json_root(json);
    const char *name = frt_json_text(frt_json_get(root, "model_name"));
    const char *version = frt_json_text(frt_json_get(root, "model_version"));
    if (name != NULL && strcmp(name, model->name.name) != 0)
        status = frt_fail(err, FRT_EBAD_REQUEST, "the answer is of the model '%.100s'", name);
    if (status == FRT_OK)
        status = frt_kserve_read_tensors(frt_json_get(root, "outputs"), body + json_size, size - json_size,
                                         tensors, FRT_SESSION_MAX_OUTPUTS, &n, err);
    if (status == FRT_OK)
        status = take_outputs(model, tensors, n, out, err);
    if (status == FRT_OK && version != NULL)
        (void)snprintf(out->version, sizeof out->version, "%s", version);
    if (status != FRT_OK)
        frt_remote_answer_deinit(out);
    frt_json_free(json);
    return status;
}

const struct frt_remote_protocol frt_remote_kserve = {.name = "kserve",
                                                      .path_help = "/v2/models/NAME",
                                                      .metadata_path = model_path,
                                                      .infer_path = infer_path,
                                                      .read_metadata = read_metadata,
                                                      .write_request = write_request,
                                                      .read_answer = read_answer};
