#include "infer/infer_onnxruntime_ops.h"

#include <onnxruntime_c_api.h>
#include <pthread.h>
#include <string.h>

#include "simd/prelu_u8.h"

enum { OLDEST = 16 /* kernels that may fail came with it */, MAX_CHANNELS = 4096 };
enum { X, X_SCALE, X_ZERO, SLOPE, Y_SCALE, Y_ZERO, N_INPUTS };

/* The kernels' state: the table of calls, which is the same for all sessions of a process. */
static const OrtApi *ort;

static const char *prelu_name(const OrtCustomOp *op)
{
    (void)op;
    return "QLinearPRelu";
}

static const char *on_cpu(const OrtCustomOp *op)
{
    (void)op;
    return NULL;
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

struct operand {
    const void *data;
    int64_t dims[8];
    size_t n_dims, count;
};

static OrtStatusPtr read_operand(const OrtKernelContext *context, size_t i, struct operand *out)
{
    const OrtValue *value = NULL;
    OrtTensorTypeAndShapeInfo *info = NULL;
    OrtStatusPtr status = ort->KernelContext_GetInput(context, i, &value);
    if (status == NULL)
        status = ort->GetTensorTypeAndShape(value, &info);
    if (status == NULL)
        status = ort->GetDimensionsCount(info, &out->n_dims);
    if (status == NULL && out->n_dims > sizeof out->dims / sizeof *out->dims)
        status = ort->CreateStatus(ORT_INVALID_ARGUMENT, "QLinearPRelu: too many dimensions");
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

static float number(const struct operand *operand)
{
    float f;
    memcpy(&f, operand->data, sizeof f);
    return f;
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
        prelu.version = api_version;
        OrtStatusPtr status = api->CreateCustomOpDomain("frt", &made);
        if (status == NULL)
            status = api->CustomOpDomain_Add(made, &prelu);
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
