#include "model/tfjs_weights.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "model/model_file.h"

enum { MAX_TENSORS = 8192, MAX_NAME = 512, MAX_FILES = 256 };
static const size_t max_bytes = (size_t)256 << 20;    /* of all files of one model */
static const size_t max_elements = (size_t)128 << 20; /* of one model */

struct frt_tfjs_weights {
    struct frt_tfjs_tensor *tensors;
    size_t n;
};

enum storage { STORED_F32, STORED_I32, STORED_U8, STORED_U16, STORED_F16 };

struct encoding {
    bool is_float;
    enum storage storage;
    size_t item_bytes;
    double scale, min;
};

void frt_tfjs_weights_free(struct frt_tfjs_weights *weights)
{
    if (weights == NULL)
        return;
    for (size_t i = 0; weights->tensors != NULL && i < weights->n; i++) {
        frt_free(weights->tensors[i].name);
        frt_free(weights->tensors[i].f32);
        frt_free(weights->tensors[i].i32);
    }
    frt_free(weights->tensors);
    frt_free(weights);
}

const struct frt_tfjs_tensor *frt_tfjs_weights_find(const struct frt_tfjs_weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->n; i++) {
        if (strcmp(weights->tensors[i].name, name) == 0)
            return &weights->tensors[i];
    }
    return NULL;
}

/* IEEE 754 binary16 to binary32: exact. */
static float half_to_float(uint16_t half)
{
    unsigned exponent = half >> 10 & 31U, mantissa = half & 1023U;
    float value;
    if (exponent == 0)
        value = ldexpf((float)mantissa, -24);
    else if (exponent == 31)
        value = mantissa == 0 ? INFINITY : NAN;
    else
        value = ldexpf((float)(1024U + mantissa), (int)exponent - 25);
    return half >> 15 ? -value : value;
}

static enum frt_status encoding_read(const struct frt_json_value *entry, const char *name, struct encoding *out,
                                     struct frt_error *err)
{
    const char *dtype = frt_json_text(frt_json_get(entry, "dtype"));
    const struct frt_json_value *quantization = frt_json_get(entry, "quantization");
    struct encoding e = {0};
    if (dtype == NULL || (strcmp(dtype, "float32") != 0 && strcmp(dtype, "int32") != 0))
        return frt_fail(err, FRT_EBAD_MODEL, "weights %s: dtype %s; float32 and int32 are read", name,
                        dtype == NULL ? "missing" : dtype);
    e.is_float = dtype[0] == 'f';
    e.storage = e.is_float ? STORED_F32 : STORED_I32;
    e.item_bytes = 4;
    if (quantization != NULL) {
        const char *stored = frt_json_text(frt_json_get(quantization, "dtype"));
        if (stored != NULL && strcmp(stored, "uint8") == 0) {
            e.storage = STORED_U8;
            e.item_bytes = 1;
        } else if (stored != NULL && strcmp(stored, "uint16") == 0) {
            e.storage = STORED_U16;
            e.item_bytes = 2;
        } else if (stored != NULL && strcmp(stored, "float16") == 0 && e.is_float) {
            e.storage = STORED_F16;
            e.item_bytes = 2;
        } else {
            return frt_fail(err, FRT_EBAD_MODEL,
                            "weights %s: quantised as %s; uint8, uint16 and, for float32, float16 are read",
                            name, stored == NULL ? "(no dtype)" : stored);
        }
        if (e.storage != STORED_F16) {
            e.scale = frt_json_double(frt_json_get(quantization, "scale"), NAN);
            e.min = frt_json_double(frt_json_get(quantization, "min"), NAN);
            if (!isfinite(e.scale) || !isfinite(e.min))
                return frt_fail(err, FRT_EBAD_MODEL, "weights %s: quantised without a finite scale and min",
                                name);
        }
    }
    *out = e;
    return FRT_OK;
}

static enum frt_status shape_read(const struct frt_json_value *list, const char *name,
                                  struct frt_onnx_shape *out, size_t *elements, struct frt_error *err)
{
    struct frt_onnx_shape shape = {0};
    size_t n = 1;
    if (!frt_json_is_array(list))
        return frt_fail(err, FRT_EBAD_MODEL, "weights %s: no shape", name);
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v)) {
        double dim = frt_json_double(v, -1);
        if (shape.n_dims == FRT_ONNX_MAX_DIMS)
            return frt_fail(err, FRT_EBAD_MODEL, "weights %s: more than %d dimensions", name,
                            FRT_ONNX_MAX_DIMS);
        if (!(dim >= 1 && dim <= INT32_MAX) || dim != floor(dim))
            return frt_fail(err, FRT_EBAD_MODEL,
                            "weights %s: dimension %u is %g; a whole number from 1 would fit", name,
                            shape.n_dims, dim);
        shape.dims[shape.n_dims++] = (int64_t)dim;
        if (!frt_mul_size(n, (size_t)dim, &n) || n > max_elements)
            return frt_fail(err, FRT_EBAD_MODEL, "weights %s: more than %zu elements", name, max_elements);
    }
    *out = shape;
    *elements = n;
    return FRT_OK;
}

/* q × scale + min in double, as the JavaScript computes it */
static double stored_value(const struct encoding *e, const uint8_t *at)
{
    uint16_t u16;
    switch (e->storage) {
    case STORED_U8:
        return *at * e->scale + e->min;
    case STORED_U16:
        memcpy(&u16, at, sizeof u16);
        return u16 * e->scale + e->min;
    case STORED_F16:
        memcpy(&u16, at, sizeof u16);
        return (double)half_to_float(u16);
    case STORED_F32:
    case STORED_I32:
        break; /* copied whole */
    }
    return 0;
}

static enum frt_status values_read(const struct encoding *e, const uint8_t *bytes,
                                   struct frt_tfjs_tensor *tensor, struct frt_error *err)
{
    if (e->is_float) {
        tensor->f32 = frt_alloc_array(tensor->n, sizeof(float));
        if (tensor->f32 == NULL)
            return frt_fail_nomem(err, "weights");
        if (e->storage == STORED_F32)
            memcpy(tensor->f32, bytes, tensor->n * sizeof(float));
        else
            for (size_t i = 0; i < tensor->n; i++)
                tensor->f32[i] = (float)stored_value(e, bytes + i * e->item_bytes);
        for (size_t i = 0; i < tensor->n; i++) {
            if (!isfinite(tensor->f32[i]))
                return frt_fail(err, FRT_EBAD_MODEL, "weights %s: value %zu is not a finite number",
                                tensor->name, i);
        }
        return FRT_OK;
    }
    tensor->i32 = frt_alloc_array(tensor->n, sizeof(int32_t));
    if (tensor->i32 == NULL)
        return frt_fail_nomem(err, "weights");
    if (e->storage == STORED_I32) {
        memcpy(tensor->i32, bytes, tensor->n * sizeof(int32_t));
        return FRT_OK;
    }
    for (size_t i = 0; i < tensor->n; i++) {
        double value = floor(stored_value(e, bytes + i * e->item_bytes) + 0.5);
        if (!(value >= INT32_MIN && value <= INT32_MAX))
            return frt_fail(err, FRT_EBAD_MODEL, "weights %s: value %zu does not fit int32", tensor->name, i);
        tensor->i32[i] = (int32_t)value;
    }
    return FRT_OK;
}

/* One entry of a group; advances *at. */
static enum frt_status tensor_read(const struct frt_json_value *entry, const uint8_t *bytes, size_t size,
                                   size_t *at, struct frt_tfjs_weights *weights, struct frt_error *err)
{
    const char *name = frt_json_text(frt_json_get(entry, "name"));
    struct frt_tfjs_tensor *tensor = &weights->tensors[weights->n];
    struct encoding encoding = {0};
    if (name == NULL || name[0] == '\0' || strlen(name) > MAX_NAME)
        return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: tensor %zu has no name of 1 to %d bytes",
                        weights->n, MAX_NAME);
    if (frt_tfjs_weights_find(weights, name) != NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: two tensors are named %s", name);
    enum frt_status status = encoding_read(entry, name, &encoding, err);
    if (status != FRT_OK)
        return status;
    status = shape_read(frt_json_get(entry, "shape"), name, &tensor->shape, &tensor->n, err);
    if (status != FRT_OK)
        return status;
    size_t need = tensor->n * encoding.item_bytes; /* both are bounded */
    if (need > size - *at)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "weights %s: %zu bytes are left in the files, the tensor needs %zu", name, size - *at,
                        need);
    tensor->name = frt_strdup(name);
    if (tensor->name == NULL)
        return frt_fail_nomem(err, "weights");
    weights->n++; /* from here on frt_tfjs_weights_free owns its parts */
    status = values_read(&encoding, bytes + *at, tensor, err);
    *at += need;
    return status;
}

enum frt_status frt_tfjs_weights_parse(const struct frt_json_value *groups, const uint8_t *bytes, size_t size,
                                       struct frt_tfjs_weights **out, struct frt_error *err)
{
    struct frt_tfjs_weights *weights = NULL;
    enum frt_status status = FRT_OK;
    size_t count = 0, at = 0;
    if (!frt_json_is_array(groups))
        return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: an array of groups would be right");
    if (bytes == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: it names no file");
    for (const struct frt_json_value *g = frt_json_first(groups); g != NULL; g = frt_json_next(g)) {
        if (!frt_json_is_array(frt_json_get(g, "weights")))
            return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: a group has no array \"weights\"");
        count += frt_json_count(frt_json_get(g, "weights"));
    }
    if (count == 0 || count > MAX_TENSORS)
        return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: %zu tensors; 1 to %d fit", count, MAX_TENSORS);
    weights = frt_alloc_zero(1, sizeof *weights);
    if (weights == NULL)
        return frt_fail_nomem(err, "weights");
    weights->tensors = frt_alloc_zero(count, sizeof *weights->tensors);
    if (weights->tensors == NULL) {
        status = frt_fail_nomem(err, "weights");
        goto done;
    }
    for (const struct frt_json_value *g = frt_json_first(groups); g != NULL; g = frt_json_next(g)) {
        const struct frt_json_value *list = frt_json_get(g, "weights");
        for (const struct frt_json_value *w = frt_json_first(list); w != NULL; w = frt_json_next(w)) {
            status = tensor_read(w, bytes, size, &at, weights, err);
            if (status != FRT_OK)
                goto done;
        }
    }
    if (at != size) {
        status = frt_fail(err, FRT_EBAD_MODEL, "weights: the files hold %zu bytes, the manifest tells of %zu",
                          size, at);
        goto done;
    }
    *out = weights;
    weights = NULL;
done:
    frt_tfjs_weights_free(weights);
    return status;
}

/* Append one file to the bytes read so far. */
static enum frt_status file_append(const char *folder, const char *name, uint8_t **bytes, size_t *size,
                                   struct frt_error *err)
{
    uint8_t *part = NULL;
    char *path = NULL;
    size_t part_size;
    if (name == NULL || name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "weights manifest: \"%s\" is no plain file name",
                        name == NULL ? "(no text)" : name);
    enum frt_status status = frt_model_path_join(folder, name, &path, err);
    if (status != FRT_OK)
        return status;
    status = frt_model_file_read(path, max_bytes - *size, &part, &part_size, err);
    if (status != FRT_OK)
        goto done;
    if (*bytes == NULL) {
        *bytes = part;
        *size = part_size;
        part = NULL;
        goto done;
    }
    uint8_t *larger = frt_realloc(*bytes, *size + part_size + 1);
    if (larger == NULL) {
        status = frt_fail_nomem(err, "weights");
        goto done;
    }
    memcpy(larger + *size, part, part_size);
    *bytes = larger;
    *size += part_size;
done:
    frt_free(part);
    frt_free(path);
    return status;
}

enum frt_status frt_tfjs_weights_load(const char *folder, const struct frt_json_value *groups,
                                      struct frt_tfjs_weights **out, struct frt_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0, files = 0;
    enum frt_status status = FRT_OK;
    for (const struct frt_json_value *g = frt_json_first(groups); g != NULL; g = frt_json_next(g)) {
        const struct frt_json_value *paths = frt_json_get(g, "paths");
        for (const struct frt_json_value *p = frt_json_first(paths); p != NULL; p = frt_json_next(p)) {
            if (++files > MAX_FILES)
                status = frt_fail(err, FRT_EBAD_MODEL, "weights manifest: more than %d files", MAX_FILES);
            else
                status = file_append(folder, frt_json_text(p), &bytes, &size, err);
            if (status != FRT_OK)
                goto done;
        }
    }
    status = frt_tfjs_weights_parse(groups, bytes, size, out, err);
done:
    frt_free(bytes);
    return status;
}
