/* What both protocols share. */
#include "infer/remote_protocol.h"

#include <string.h>

#include "core/mem.h"

void frt_remote_request_deinit(struct frt_remote_request *request)
{
    frt_buf_deinit(&request->text);
    memset(request, 0, sizeof *request);
}

void frt_remote_answer_deinit(struct frt_remote_answer *answer)
{
    for (size_t i = 0; i < FRT_SESSION_MAX_OUTPUTS; i++)
        frt_free(answer->tensors[i].data);
    memset(answer, 0, sizeof *answer);
}

bool frt_remote_shape_fits(const struct frt_tensor_info *info, const int64_t *dims, uint32_t n_dims)
{
    if (info->n_dims != n_dims)
        return false;
    for (uint32_t i = 0; i < n_dims; i++)
        if (info->dims[i] >= 0 && info->dims[i] != dims[i])
            return false;
    return true;
}

enum frt_status frt_remote_tensor_alloc(const struct frt_tensor_info *info, const int64_t *dims,
                                        uint32_t n_dims, struct frt_remote_tensor *out, struct frt_error *err)
{
    char found[96], wanted[96];
    struct frt_tensor shape = {.n_dims = n_dims};
    if (n_dims <= FRT_TENSOR_MAX_DIMS)
        memcpy(shape.dims, dims, n_dims * sizeof *dims);
    const size_t count = frt_tensor_size(&shape);
    if (count == 0 || count > FRT_REMOTE_TENSOR_MAX || !frt_remote_shape_fits(info, dims, n_dims)) {
        frt_tensor_shape_text(dims, n_dims <= FRT_TENSOR_MAX_DIMS ? n_dims : 0, found, sizeof found);
        frt_tensor_shape_text(info->dims, info->n_dims, wanted, sizeof wanted);
        return frt_fail(err, FRT_EBAD_REQUEST, "the output '%s' has the shape %s; %s is right", info->name,
                        found, wanted);
    }
    float *data = frt_alloc_array(count, sizeof *data);
    if (data == NULL)
        return frt_fail_nomem(err, "an answer of the model server");
    out->data = data;
    out->n_dims = n_dims;
    memcpy(out->dims, dims, n_dims * sizeof *dims);
    return FRT_OK;
}
