/* rooms: model infer net simd core */
/*
 * Graph models of TensorFlow.js: JSON, a NUL, the weights' bytes. The weights are read as the JSON's
 * weightsManifest says; the graph is converted with them or, when they are refused, with a fixed set, so
 * that both readers are reached by inputs that only one of them likes.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/tfjs_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed_groups[] =
    "[{\"paths\":[],\"weights\":[{\"name\":\"filter\",\"shape\":[2,2,2,2],\"dtype\":\"float32\"},"
    "{\"name\":\"bias\",\"shape\":[2],\"dtype\":\"float32\"},{\"name\":\"one\",\"shape\":[],\"dtype\":"
    "\"float32\"},"
    "{\"name\":\"matrix\",\"shape\":[18,3],\"dtype\":\"float32\"},{\"name\":\"row\",\"shape\":[3],\"dtype\":"
    "\"float32\"},"
    "{\"name\":\"flat\",\"shape\":[2],\"dtype\":\"int32\"}]}]";
enum { FIXED_FLOATS = 76 };

static struct frt_tfjs_weights *fixed_weights(void)
{
    static struct frt_tfjs_weights *weights; /* made once, kept for all inputs */
    unsigned char bytes[FIXED_FLOATS * 4 + 8] = {0};
    const int flat[2] = {-1, 18};
    struct frt_json *json = NULL;
    struct frt_error err;
    if (weights != NULL)
        return weights;
    memcpy(bytes + (size_t)FIXED_FLOATS * 4, flat, sizeof flat);
    if (frt_json_parse(fixed_groups, strlen(fixed_groups), &json, &err) != FRT_OK ||
        frt_tfjs_weights_parse(frt_json_root(json), bytes, sizeof bytes, &weights, &err) != FRT_OK)
        abort();
    frt_json_free(json);
    return weights;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_error err;
    struct frt_json *json = NULL;
    struct frt_tfjs_weights *own = NULL;
    struct frt_onnx_graph *graph = NULL;
    uint8_t *bytes = NULL;
    size_t n, text = 0;
    while (text < size && data[text] != 0)
        text++;
    if (frt_json_parse((const char *)data, text, &json, &err) != FRT_OK)
        return 0;
    const struct frt_json_value *root = frt_json_root(json);
    size_t skip = text < size ? text + 1 : text;
    enum frt_status status =
        frt_tfjs_weights_parse(frt_json_get(root, "weightsManifest"), data + skip, size - skip, &own, &err);
    if (frt_onnx_new("fuzz", &graph, &err) == FRT_OK) {
        frt_tfjs_graph_convert(root, status == FRT_OK ? own : fixed_weights(), "out", graph);
        if (frt_onnx_serialise(graph, &bytes, &n, &err) == FRT_OK)
            frt_free(bytes);
    }
    frt_onnx_free(graph);
    frt_tfjs_weights_free(own);
    frt_json_free(json);
    return 0;
}
