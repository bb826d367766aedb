#include "infer/infer_onnxruntime_ops.h"

#include <onnxruntime_c_api.h>
#include <pthread.h>
#include <string.h>

#include "simd/narrow_u8.h"
#include "simd/prelu_u8.h"

enum { OLDEST = 16 /* kernels that may fail came with it */, HAS_PARALLEL = 17, MAX_CHANNELS = 4096 };

/* The kernels' state: the table of calls, which is the same for all sessions of a process. */
static const OrtApi *ort;
static unsigned ort_version;

/* -------------------------------------------------------- what they share */

static const char *on_cpu(const OrtCustomOp *op)
{
    (void)op;
    return NULL;
}

static ONNXTensorElementDataType bytes_out(const OrtCustomOp *op, size_t i)
{
    (void)op, (void)i;
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
}

static size_t one_output(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}

static OrtCustomOpInputOutputCharacteristic required(const OrtCustomOp *op, size_t i)
{
    (void)op, (void)i;
    return INPUT_OUTPUT_REQUIRED;
}

static OrtMemType plain_memory(const OrtCustomOp *op, size_t i)
{
    (void)op, (void)i;
    return OrtMemTypeDefault;
}

static int not_variadic(const OrtCustomOp *op)
{
    (void)op;
    return 0;
}

static int first_version(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}

struct operand {
    const void *data;
    int64_t dims[8];
    size_t n_dims, count;
};

static OrtStatusPtr read_value(const OrtValue *value, struct operand *out)
{
    OrtTensorTypeAndShapeInfo *info = NULL;
    OrtStatusPtr status = ort->GetTensorTypeAndShape(value, &info);
    if (status == NULL)
        status = ort->GetDimensionsCount(info, &out->n_dims);
    if (status == NULL && out->n_dims > sizeof out->dims / sizeof *out->dims)
        status = ort->CreateStatus(ORT_INVALID_ARGUMENT, "an operand of too many dimensions");
    if (status == NULL)
        status = ort->GetDimensions(info, out->dims, out->n_dims);
    if (status == NULL)
        status = ort->GetTensorShapeElementCount(info, &out->count);
    if (status == NULL)
        status = ort->GetTensorMutableData((OrtValue *)(uintptr_t)value, (void **)(uintptr_t)&out->data);
    if (info != NULL)
        ort->ReleaseTensorTypeAndShapeInfo(info);
    return status;
}

static OrtStatusPtr read_operand(const OrtKernelContext *context, size_t i, struct operand *out)
{
    const OrtValue *value = NULL;
    OrtStatusPtr status = ort->KernelContext_GetInput(context, i, &value);
    return status == NULL ? read_value(value, out) : status;
}

static float number(const struct operand *operand)
{
    float f;
    memcpy(&f, operand->data, sizeof f);
    return f;
}

/* ------------------------------------------------------------------- PReLU */

enum { X, X_SCALE, X_ZERO, SLOPE, Y_SCALE, Y_ZERO, N_INPUTS };

static const char *prelu_name(const OrtCustomOp *op)
{
    (void)op;
    return "QLinearPRelu";
}

static ONNXTensorElementDataType prelu_input_type(const OrtCustomOp *op, size_t i)
{
    (void)op;
    return i == X_SCALE || i == SLOPE || i == Y_SCALE ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                                                      : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
}

static size_t prelu_inputs(const OrtCustomOp *op)
{
    (void)op;
    return N_INPUTS;
}

static OrtStatusPtr kernel_new(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                               void **kernel)
{
    (void)op, (void)api, (void)info;
    *kernel = NULL; /* nothing to remember: what a run needs is cheap to make */
    return NULL;
}

static void kernel_free(void *kernel)
{
    (void)kernel;
}

static OrtStatusPtr prelu_run(void *kernel, OrtKernelContext *context)
{
    int16_t below[MAX_CHANNELS];
    struct operand in[N_INPUTS] = {{0}};
    OrtStatusPtr status = NULL;
    OrtValue *value = NULL;
    void *y = NULL;
    (void)kernel;
    for (size_t i = 0; i < N_INPUTS && status == NULL; i++)
        status = read_operand(context, i, &in[i]);
    if (status == NULL)
        status = ort->KernelContext_GetOutput(context, 0, in[X].dims, in[X].n_dims, &value);
    if (status == NULL)
        status = ort->GetTensorMutableData(value, &y);
    if (status != NULL)
        return status;
    const size_t channels = in[X].n_dims > 0 ? (size_t)in[X].dims[in[X].n_dims - 1] : 0;
    if (channels == 0 || channels > MAX_CHANNELS || in[SLOPE].count != channels || in[X_SCALE].count != 1 ||
        in[X_ZERO].count != 1 || in[Y_SCALE].count != 1 || in[Y_ZERO].count != 1)
        return ort->CreateStatus(ORT_INVALID_ARGUMENT, "QLinearPRelu: operands that do not fit together");
    struct frt_prelu_u8 op = {.below = below,
                              .x_zero = *(const uint8_t *)in[X_ZERO].data,
                              .y_zero = *(const uint8_t *)in[Y_ZERO].data};
    const float ratio = number(&in[X_SCALE]) / number(&in[Y_SCALE]);
    bool fits = frt_prelu_u8_multiplier(ratio, &op.above);
    for (size_t c = 0; c < channels; c++)
        fits = frt_prelu_u8_multiplier(ratio * ((const float *)in[SLOPE].data)[c], &below[c]) && fits;
    if (!fits)
        return ort->CreateStatus(ORT_INVALID_ARGUMENT, "QLinearPRelu: scales that are too far apart");
    frt_prelu_u8_get(frt_simd_tier_active())(in[X].data, y, in[X].count / channels, channels, &op);
    return NULL;
}

static OrtCustomOp prelu = {.GetName = prelu_name,
                            .GetExecutionProviderType = on_cpu,
                            .GetInputType = prelu_input_type,
                            .GetInputTypeCount = prelu_inputs,
                            .GetOutputType = bytes_out,
                            .GetOutputTypeCount = one_output,
                            .KernelDestroy = kernel_free,
                            .GetInputCharacteristic = required,
                            .GetOutputCharacteristic = required,
                            .GetInputMemoryType = plain_memory,
                            .GetVariadicInputMinArity = not_variadic,
                            .GetVariadicInputHomogeneity = not_variadic,
                            .GetVariadicOutputMinArity = not_variadic,
                            .GetVariadicOutputHomogeneity = not_variadic,
                            .CreateKernelV2 = kernel_new,
                            .KernelComputeV2 = prelu_run,
                            .GetStartVersion = first_version,
                            .GetEndVersion = first_version};

/* ---------------------------------------------------- narrow convolutions */

enum { NX, NX_SCALE, NX_ZERO, NW, NW_SCALE, NY_SCALE, NY_ZERO, NB, NSLOPE, NARROW_INPUTS };
#define NARROW "QLinearNarrowConv"

static const char *narrow_name(const OrtCustomOp *op)
{
    (void)op;
    return NARROW;
}

static ONNXTensorElementDataType narrow_input_type(const OrtCustomOp *op, size_t i)
{
    static const ONNXTensorElementDataType types[NARROW_INPUTS] = {
        [NX] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,       [NX_SCALE] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        [NX_ZERO] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,  [NW] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        [NW_SCALE] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, [NY_SCALE] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        [NY_ZERO] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,  [NB] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        [NSLOPE] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
    (void)op;
    return i < NARROW_INPUTS ? types[i] : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

static size_t narrow_inputs(const OrtCustomOp *op)
{
    (void)op;
    return NARROW_INPUTS;
}

/* `n` numbers from 0 on, small. */
static OrtStatusPtr small_numbers(const OrtKernelInfo *info, const char *name, size_t n, uint32_t *out)
{
    int64_t values[4] = {0};
    size_t count = n;
    OrtStatusPtr status = ort->KernelInfoGetAttributeArray_int64(info, name, values, &count);
    bool fits = status == NULL && count == n;
    for (size_t i = 0; fits && i < n; i++) {
        fits = values[i] >= 0 && values[i] <= UINT8_MAX;
        out[i] = (uint32_t)values[i];
    }
    if (status != NULL)
        ort->ReleaseStatus(status);
    return fits ? NULL : ort->CreateStatus(ORT_INVALID_ARGUMENT, NARROW ": no strides or pads that make sense");
}

static OrtStatusPtr narrow_weights(const OrtKernelInfo *info, struct operand in[NARROW_INPUTS])
{
    OrtStatusPtr status = NULL;
    for (size_t i = NX + 1; i < NARROW_INPUTS && status == NULL; i++) {
        const OrtValue *value = NULL;
        int constant = 0;
        status = ort->KernelInfoGetConstantInput_tensor(info, i, &constant, &value);
        if (status == NULL && (constant == 0 || value == NULL))
            status = ort->CreateStatus(ORT_INVALID_ARGUMENT, NARROW ": an operand that is computed");
        if (status == NULL)
            status = read_value(value, &in[i]);
    }
    return status;
}

static bool narrow_shapes_fit(const struct operand in[NARROW_INPUTS])
{
    const struct operand *w = &in[NW];
    if (w->n_dims != 4 || w->dims[0] < 1 || w->dims[0] > FRT_NARROW_U8_MAX_CHANNELS || w->dims[1] < 1 ||
        w->dims[1] > 2 || w->dims[2] != 3 || w->dims[3] != 3)
        return false;
    const size_t channels = (size_t)w->dims[0];
    return in[NX_SCALE].count == 1 && in[NX_ZERO].count == 1 && in[NY_SCALE].count == 1 &&
           in[NY_ZERO].count == 1 && in[NW_SCALE].count == channels && in[NB].count == channels &&
           (in[NSLOPE].count == channels || in[NSLOPE].count == 1);
}

static OrtStatusPtr narrow_make(const struct operand in[NARROW_INPUTS],
                                const struct frt_narrow_u8_spec *geometry, void **kernel)
{
    float ratios[FRT_NARROW_U8_MAX_CHANNELS], slopes[FRT_NARROW_U8_MAX_CHANNELS];
    struct frt_narrow_u8_spec spec = *geometry;
    bool bad = false, sloped = false;
    const float ratio = number(&in[NX_SCALE]) / number(&in[NY_SCALE]);
    spec.channels = (uint32_t)in[NW].dims[0];
    spec.group = (uint32_t)in[NW].dims[1];
    for (size_t c = 0; c < spec.channels; c++) {
        ratios[c] = ratio * ((const float *)in[NW_SCALE].data)[c];
        slopes[c] = ((const float *)in[NSLOPE].data)[in[NSLOPE].count == 1 ? 0 : c];
        sloped = sloped || slopes[c] != 1;
    }
    spec.weights = in[NW].data;
    spec.offsets = in[NB].data;
    spec.ratios = ratios;
    spec.slopes = sloped ? slopes : NULL;
    spec.x_zero = *(const uint8_t *)in[NX_ZERO].data;
    spec.y_zero = *(const uint8_t *)in[NY_ZERO].data;
    *kernel = frt_narrow_u8_new(frt_simd_tier_active(), &spec, &bad);
    if (*kernel != NULL)
        return NULL;
    return bad ? ort->CreateStatus(ORT_INVALID_ARGUMENT, NARROW ": no such operator, or scales without sense")
               : ort->CreateStatus(ORT_FAIL, NARROW ": out of memory");
}

static OrtStatusPtr narrow_new(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                               void **kernel)
{
    struct operand in[NARROW_INPUTS] = {{0}};
    struct frt_narrow_u8_spec spec = {0};
    (void)op, (void)api;
    *kernel = NULL;
    OrtStatusPtr status = small_numbers(info, "strides", 2, spec.stride);
    if (status == NULL)
        status = small_numbers(info, "pads", 4, spec.pads);
    if (status == NULL)
        status = narrow_weights(info, in);
    if (status == NULL && !narrow_shapes_fit(in))
        status = ort->CreateStatus(ORT_INVALID_ARGUMENT, NARROW ": operands that do not fit together");
    return status == NULL ? narrow_make(in, &spec, kernel) : status;
}

static void narrow_free(void *kernel)
{
    frt_narrow_u8_free(kernel);
}

/* Rows in parts, one a call of the runtime's pool. */
struct narrow_work {
    const struct frt_narrow_u8 *op;
    struct frt_narrow_u8_image image;
    size_t rows, parts;
};

static void narrow_part(void *arg, size_t i)
{
    const struct narrow_work *work = arg;
    frt_narrow_u8_rows(work->op, &work->image, work->rows * i / work->parts,
                       work->rows * (i + 1) / work->parts);
}

enum { PART = 1 << 16 /* results worth another thread's time: some 10 µs */, MOST_PARTS = 64 };

static OrtStatusPtr narrow_run(void *kernel, OrtKernelContext *context)
{
    struct narrow_work work = {.op = kernel};
    struct operand x = {0};
    OrtValue *value = NULL;
    void *y = NULL;
    size_t height = 0, width = 0;
    OrtStatusPtr status = read_operand(context, NX, &x);
    if (status != NULL)
        return status;
    if (x.n_dims != 4 || x.dims[0] < 0 || x.dims[1] < 1 || x.dims[2] < 1 ||
        x.dims[3] != (int64_t)frt_narrow_u8_channels_of(kernel) ||
        !frt_narrow_u8_out_sides(kernel, (size_t)x.dims[1], (size_t)x.dims[2], &height, &width))
        return ort->CreateStatus(ORT_INVALID_ARGUMENT, NARROW ": an input that does not fit");
    const int64_t dims[4] = {x.dims[0], (int64_t)height, (int64_t)width, x.dims[3]};
    status = ort->KernelContext_GetOutput(context, 0, dims, 4, &value);
    if (status == NULL)
        status = ort->GetTensorMutableData(value, &y);
    if (status != NULL)
        return status;
    work.image = (struct frt_narrow_u8_image){.x = x.data,
                                              .y = y,
                                              .height = (size_t)x.dims[1],
                                              .width = (size_t)x.dims[2],
                                              .out_height = height,
                                              .out_width = width};
    work.rows = (size_t)x.dims[0] * height;
    work.parts = work.rows * width * (size_t)x.dims[3] / PART + 1;
    work.parts = work.parts < MOST_PARTS ? work.parts : MOST_PARTS;
    if (work.parts > 1 && ort_version >= HAS_PARALLEL)
        return ort->KernelContext_ParallelFor(context, narrow_part, work.parts, 0, &work);
    frt_narrow_u8_rows(work.op, &work.image, 0, work.rows);
    return NULL;
}

static OrtCustomOp narrow = {.GetName = narrow_name,
                             .GetExecutionProviderType = on_cpu,
                             .GetInputType = narrow_input_type,
                             .GetInputTypeCount = narrow_inputs,
                             .GetOutputType = bytes_out,
                             .GetOutputTypeCount = one_output,
                             .KernelDestroy = narrow_free,
                             .GetInputCharacteristic = required,
                             .GetOutputCharacteristic = required,
                             .GetInputMemoryType = plain_memory,
                             .GetVariadicInputMinArity = not_variadic,
                             .GetVariadicInputHomogeneity = not_variadic,
                             .GetVariadicOutputMinArity = not_variadic,
                             .GetVariadicOutputHomogeneity = not_variadic,
                             .CreateKernelV2 = narrow_new,
                             .KernelComputeV2 = narrow_run,
                             .GetStartVersion = first_version,
                             .GetEndVersion = first_version};

/* ------------------------------------------------------------------ domain */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the two below; a leaf */
static OrtCustomOpDomain *domain;

void frt_ort_ops_init(const struct OrtApi *api, unsigned api_version)
{
    OrtCustomOpDomain *made = NULL;
    if (api_version < OLDEST)
        return;
    (void)pthread_mutex_lock(&lock);
    if (domain == NULL) {
        ort = api;
        ort_version = api_version;
        prelu.version = narrow.version = api_version;
        OrtStatusPtr status = api->CreateCustomOpDomain("frt", &made);
        if (status == NULL)
            status = api->CustomOpDomain_Add(made, &prelu);
        if (status == NULL)
            status = api->CustomOpDomain_Add(made, &narrow);
        if (status == NULL)
            domain = made;
        else
            api->ReleaseStatus(status);
    }
    (void)pthread_mutex_unlock(&lock);
}

struct OrtCustomOpDomain *frt_ort_ops_domain(void)
{
    (void)pthread_mutex_lock(&lock);
    OrtCustomOpDomain *made = domain;
    (void)pthread_mutex_unlock(&lock);
    return made;
}
