#include "engine/model_api.h"

#include <string.h>

#include "core/mem.h"
#include "frt/frt.h"
#include "infer/kserve.h"

void frt_model_api_server(struct frt_json_writer *w)
{
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, "frt");
    frt_json_key(w, "version");
    frt_json_string(w, frt_version());
    frt_json_key(w, "extensions");
    frt_json_array(w);
    frt_json_string(w, "binary_tensor_data");
    frt_json_end(w);
    frt_json_end(w);
}

static enum frt_status find(const struct frt_pack *pack, const char *name, const char *version,
                            const struct frt_model_spec **spec, const struct frt_session **session,
                            struct frt_error *err)
{
    enum frt_status status = frt_pack_session(pack, name, spec, session, err);
    if (status == FRT_OK && version != NULL && strcmp(version, (*spec)->version) != 0)
        status = frt_fail(err, FRT_ENOTFOUND, "the model '%.60s' has the version %.60s, and no %.60s", name,
                          (*spec)->version, version);
    return status;
}

enum frt_status frt_model_api_find(const struct frt_pack *pack, const char *name, const char *version,
                                   struct frt_error *err)
{
    const struct frt_model_spec *spec = NULL;
    const struct frt_session *session = NULL;
    return find(pack, name, version, &spec, &session, err);
}

static void write_list(struct frt_json_writer *w, const char *key, const struct frt_tensor_info *list,
                       uint32_t n)
{
    frt_json_key(w, key);
    frt_json_array(w);
    for (uint32_t i = 0; i < n; i++)
        if (list[i].is_float)
            frt_kserve_write_info(w, &list[i]);
    frt_json_end(w);
}

enum frt_status frt_model_api_metadata(const struct frt_pack *pack, const char *name, const char *version,
                                       struct frt_json_writer *w, struct frt_error *err)
{
    const struct frt_model_spec *spec = NULL;
    const struct frt_session *session = NULL;
    enum frt_status status = find(pack, name, version, &spec, &session, err);
    if (status != FRT_OK)
        return status;
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, spec->name);
    frt_json_key(w, "versions");
    frt_json_array(w);
    frt_json_string(w, spec->version);
    frt_json_end(w);
    frt_json_key(w, "platform");
    frt_json_string(w, "onnxruntime_onnx");
    write_list(w, "inputs", session->info.inputs, session->info.n_inputs);
    write_list(w, "outputs", session->info.outputs, session->info.n_outputs);
    frt_json_end(w);
    return FRT_OK;
}

/* -------------------------------------------------------------- inference */

/* What a request asks for. */
struct inference {
    const struct frt_model_spec *spec;
    const struct frt_session *session;
    struct frt_json *json;
    const char *id;                                   /* NULL = none */
    struct frt_tensor inputs[FRT_SESSION_MAX_INPUTS]; /* data owned */
    bool wanted[FRT_SESSION_MAX_OUTPUTS], as_bytes[FRT_SESSION_MAX_OUTPUTS];
};

static int index_of(const struct frt_tensor_info *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i].is_float && strcmp(list[i].name, name) == 0)
            return (int)i;
    return -1;
}

static enum frt_status take_input(struct inference *f, const struct frt_kserve_tensor *t, struct frt_error *err)
{
    const struct frt_session_info *info = &f->session->info;
    const int k = index_of(info->inputs, info->n_inputs, t->name);
    if (k < 0 || f->inputs[k].data != NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "the model '%s' has no input '%.60s'%s", f->spec->name, t->name,
                        k < 0 ? "" : " twice");
    struct frt_tensor *input = &f->inputs[k];
    float *data = frt_alloc_array(t->count, sizeof *data);
    if (data == NULL)
        return frt_fail_nomem(err, "an input");
    input->data = data;
    input->n_dims = t->n_dims;
    memcpy(input->dims, t->dims, sizeof input->dims);
    return frt_kserve_values(t, data, err);
}

static enum frt_status take_inputs(struct inference *f, const struct frt_json_value *root, const char *bytes,
                                   size_t size, struct frt_error *err)
{
    struct frt_kserve_tensor tensors[FRT_SESSION_MAX_INPUTS];
    uint32_t n = 0;
    enum frt_status status = frt_kserve_read_tensors(frt_json_get(root, "inputs"), bytes, size, tensors,
                                                     FRT_SESSION_MAX_INPUTS, &n, err);
    if (status == FRT_EBAD_REQUEST)
        return frt_fail_within(err, status, "inputs");
    for (uint32_t i = 0; i < n && status == FRT_OK; i++)
        status = take_input(f, &tensors[i], err);
    for (uint32_t i = 0; i < f->session->info.n_inputs && status == FRT_OK; i++)
        if (f->inputs[i].data == NULL)
            status = frt_fail(err, FRT_EBAD_REQUEST, "the input '%s' of the model '%s' is missing",
                              f->session->info.inputs[i].name, f->spec->name);
    if (status == FRT_OK && frt_session_takes(f->session, f->inputs, f->session->info.n_inputs, err) != FRT_OK)
        status = frt_fail_within(err, FRT_EBAD_REQUEST, "the model '%s'", f->spec->name);
    return status;
}

/* Those that are named, or all; as bytes where that is asked for, of one or of all. */
static enum frt_status take_wishes(struct inference *f, const struct frt_json_value *root,
                                   struct frt_error *err)
{
    const struct frt_session_info *info = &f->session->info;
    const struct frt_json_value *list = frt_json_get(root, "outputs");
    const bool all_bytes =
        frt_json_truth(frt_json_get(frt_json_get(root, "parameters"), "binary_data_output"), false);
    for (uint32_t i = 0; i < info->n_outputs; i++) {
        f->wanted[i] = list == NULL && info->outputs[i].is_float;
        f->as_bytes[i] = all_bytes;
    }
    if (list != NULL && !frt_json_is_array(list))
        return frt_fail(err, FRT_EBAD_REQUEST, "'outputs' is no list");
    for (const struct frt_json_value *v = frt_json_first(list); v != NULL; v = frt_json_next(v)) {
        const char *name = frt_json_text(frt_json_get(v, "name"));
        const int k = name == NULL ? -1 : index_of(info->outputs, info->n_outputs, name);
        if (k < 0 || f->wanted[k])
            return frt_fail(err, FRT_EBAD_REQUEST, "the model '%s' has no output '%.60s'%s", f->spec->name,
                            name == NULL ? "" : name, k < 0 ? "" : " twice");
        f->wanted[k] = true;
        f->as_bytes[k] = frt_json_truth(frt_json_get(frt_json_get(v, "parameters"), "binary_data"), all_bytes);
    }
    return FRT_OK;
}

static enum frt_status read_call(struct inference *f, const struct frt_model_api_call *call,
                                 struct frt_error *err)
{
    size_t json_size = call->size;
    if (call->json_size != NULL && !frt_kserve_header_length(call->json_size, call->size, &json_size))
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "Inference-Header-Content-Length is '%.20s' and the body %zu bytes", call->json_size,
                        call->size);
    enum frt_status status = frt_json_parse(call->body == NULL ? "" : call->body, json_size, &f->json, err);
    if (status != FRT_OK)
        return status;
    const struct frt_json_value *root = frt_json_root(f->json);
    f->id = frt_json_text(frt_json_get(root, "id"));
    status = take_wishes(f, root, err);
    if (status == FRT_OK)
        status = take_inputs(f, root, call->body + json_size, call->size - json_size, err);
    return status;
}

static enum frt_status run(const struct frt_pack *pack, const struct inference *f,
                           const struct frt_stage_wait *wait, struct frt_outputs *out, struct frt_error *err)
{
    const enum frt_stage stage = f->spec->role == FRT_ROLE_DETECTOR ? FRT_STAGE_DETECT : FRT_STAGE_RECOGNIZE;
    enum frt_status status = frt_stage_enter(pack->context->stages, stage, wait, err);
    if (status != FRT_OK)
        return status;
    frt_context_settle_width(pack->context);
    frt_infer_deadline_set(wait == NULL ? 0 : wait->deadline_ms);
    status = frt_session_run(f->session, f->inputs, f->session->info.n_inputs, out, err);
    frt_infer_deadline_set(0);
    frt_stage_leave(pack->context->stages, stage);
    return status;
}

static enum frt_status write_answer(const struct inference *f, const struct frt_outputs *outputs,
                                    struct frt_buf *out, size_t *json_size, struct frt_error *err)
{
    struct frt_json_writer w;
    const size_t before = out->size;
    size_t bytes = 0;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    if (f->id != NULL) {
        frt_json_key(&w, "id");
        frt_json_string(&w, f->id);
    }
    frt_json_key(&w, "model_name");
    frt_json_string(&w, f->spec->name);
    frt_json_key(&w, "model_version");
    frt_json_string(&w, f->spec->version);
    frt_json_key(&w, "outputs");
    frt_json_array(&w);
    for (uint32_t i = 0; i < outputs->n; i++)
        if (f->wanted[i]) {
            frt_kserve_write_tensor(&w, f->session->info.outputs[i].name, &outputs->tensors[i], f->as_bytes[i]);
            bytes += f->as_bytes[i] ? frt_tensor_size(&outputs->tensors[i]) * sizeof(float) : 0;
        }
    frt_json_end(&w);
    frt_json_end(&w);
    *json_size = bytes == 0 ? 0 : out->size - before;
    for (uint32_t i = 0; i < outputs->n; i++)
        if (f->wanted[i] && f->as_bytes[i])
            frt_buf_append(out, outputs->tensors[i].data,
                           frt_tensor_size(&outputs->tensors[i]) * sizeof(float));
    if (frt_buf_status(out) == FRT_EBODY_TOO_LARGE)
        return frt_fail(err, FRT_EBODY_TOO_LARGE, "the answer is larger than %zu bytes", out->max);
    return frt_buf_status(out) == FRT_OK ? FRT_OK : frt_fail_nomem(err, "an answer");
}

enum frt_status frt_model_api_infer(const struct frt_pack *pack, const struct frt_model_api_call *call,
                                    struct frt_buf *out, size_t *json_size, struct frt_error *err)
{
    struct inference f = {.spec = NULL};
    struct frt_outputs outputs = {0};
    enum frt_status status = find(pack, call->name, call->version, &f.spec, &f.session, err);
    if (status == FRT_OK)
        status = read_call(&f, call, err);
    if (status == FRT_OK)
        status = run(pack, &f, call->wait, &outputs, err);
    if (status == FRT_OK)
        status = write_answer(&f, &outputs, out, json_size, err);
    frt_outputs_release(&outputs);
    for (size_t i = 0; i < FRT_SESSION_MAX_INPUTS; i++)
        frt_free((void *)(uintptr_t)f.inputs[i].data);
    frt_json_free(f.json);
    return status;
}
