/* A model as text: for people who look at what passes did, and for tests that compare. */
#include <inttypes.h>
#include <string.h>

#include "model/onnx_model_inside.h"

static void print_shape(const struct frt_onnx_shape *shape, struct frt_buf *out)
{
    frt_buf_append_char(out, '[');
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 0)
            frt_buf_printf(out, "%s?", i > 0 ? "," : "");
        else
            frt_buf_printf(out, "%s%" PRId64, i > 0 ? "," : "", shape->dims[i]);
    }
    frt_buf_append_char(out, ']');
}

static void print_value(const char *what, const struct frt_onnx_value *value, struct frt_buf *out)
{
    frt_buf_printf(out, "%s %s:%s", what, value->name, frt_onnx_type_name(value->type));
    if (value->has_shape)
        print_shape(&value->shape, out);
    frt_buf_append_char(out, '\n');
}

static void print_attribute(const Onnx__AttributeProto *attribute, struct frt_buf *out)
{
    frt_buf_printf(out, " %s=", frt_onnx_text(attribute->name));
    if (attribute->n_ints > 0) {
        for (size_t i = 0; i < attribute->n_ints; i++)
            frt_buf_printf(out, "%c%" PRId64, i == 0 ? '[' : ',', attribute->ints[i]);
        frt_buf_append_char(out, ']');
    } else if (attribute->has_i) {
        frt_buf_printf(out, "%" PRId64, attribute->i);
    } else if (attribute->has_f) {
        frt_buf_printf(out, "%g", (double)attribute->f);
    } else if (attribute->has_s) {
        frt_buf_printf(out, "'%.*s'", (int)(attribute->s.len < 64 ? attribute->s.len : 64),
                       (const char *)attribute->s.data);
    } else {
        frt_buf_append_text(out, "…");
    }
}

static void print_node(const struct frt_onnx_model *model, uint32_t node, struct frt_buf *out)
{
    const Onnx__NodeProto *n = model->proto->graph->node[node];
    for (size_t i = 0; i < n->n_output; i++)
        frt_buf_printf(out, "%s%s", i > 0 ? ", " : "", frt_onnx_text(n->output[i]));
    frt_buf_printf(out, " = %s%s%s(", frt_onnx_text(n->domain), frt_onnx_text(n->domain)[0] != '\0' ? "." : "",
                   frt_onnx_text(n->op_type));
    for (size_t i = 0; i < n->n_input; i++) {
        struct frt_onnx_tensor tensor;
        frt_buf_printf(out, "%s%s", i > 0 ? ", " : "", frt_onnx_text(n->input[i]));
        if (frt_onnx_model_tensor(model, frt_onnx_text(n->input[i]), &tensor)) {
            frt_buf_printf(out, ":%s", frt_onnx_type_name(tensor.type));
            print_shape(&tensor.shape, out);
        }
    }
    frt_buf_append_char(out, ')');
    for (size_t i = 0; i < n->n_attribute; i++)
        print_attribute(n->attribute[i], out);
    frt_buf_append_char(out, '\n');
}

enum frt_status frt_onnx_model_dump(const struct frt_onnx_model *model, struct frt_buf *out)
{
    struct frt_onnx_value value;
    for (uint32_t i = 0; frt_onnx_model_graph_input(model, i, &value); i++)
        print_value("input", &value, out);
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++)
        print_node(model, i, out);
    for (uint32_t i = 0; frt_onnx_model_graph_output(model, i, &value); i++)
        print_value("output", &value, out);
    return frt_buf_status(out);
}
