/*
 * What a protocol of model servers has to say: paths, one request, one answer. Pure functions over bytes, so
 * that they can be fuzzed; the network is remote_call.c's.
 *
 * An answer is read against what was asked: names, types and sizes are checked before memory is taken, and an
 * answer with anything missing, twice, too short or too long is refused whole.
 *
 * Threading: pure.
 */
#ifndef FRT_INFER_REMOTE_PROTOCOL_H
#define FRT_INFER_REMOTE_PROTOCOL_H

#include "core/buf.h"
#include "infer/infer.h"
#include "infer/remote_address.h"
#include "net/http_call.h"

/** A model as its server has it. */
struct frt_remote_model {
    struct frt_remote_name name;
    struct frt_session_info info;        /* tensors in the order of our graph, under the server's names */
    bool binary;                         /* tensors go as bytes behind the JSON */
    char served[FRT_REMOTE_VERSION_MAX]; /* version that answered the check; "" = the server does not say */
};

/** A request as it is sent. The tensors' bytes are borrowed. */
struct frt_remote_request {
    struct frt_buf text;                                      /* JSON, or the head before the tensors */
    struct frt_http_piece pieces[1 + FRT_SESSION_MAX_INPUTS]; /* the first is `text` */
    size_t n_pieces;
    char length_header[64]; /* "" = none */
};

/** A tensor of an answer; `data` is owned (frt_free). */
struct frt_remote_tensor {
    float *data;
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    uint32_t n_dims;
};

struct frt_remote_answer {
    struct frt_remote_tensor tensors[FRT_SESSION_MAX_OUTPUTS]; /* in the order of the model's outputs */
    char version[FRT_REMOTE_VERSION_MAX];                      /* that answered; "" = not said */
};

struct frt_remote_protocol {
    const char *name;      /* "kserve" */
    const char *path_help; /* of the metadata, for texts: "/v2/models/NAME" */
    bool loose_names;      /* a model's one input and one output may have other names there */
    void (*metadata_path)(const struct frt_remote_name *name, struct frt_buf *out);
    void (*infer_path)(const struct frt_remote_name *name, struct frt_buf *out);
    /** Errors: FRT_EBAD_REQUEST (it is not of this protocol), FRT_EBAD_MODEL (more tensors than fit),
     * FRT_ENOMEM. */
    enum frt_status (*read_metadata)(const char *text, size_t size, struct frt_session_info *out,
                                     struct frt_error *err);
    /** Errors: FRT_ENOMEM. */
    enum frt_status (*write_request)(const struct frt_remote_model *model, const struct frt_tensor *inputs,
                                     uint32_t n_inputs, struct frt_remote_request *out, struct frt_error *err);
    /** json_size  of the JSON before the tensors' bytes; `size` where there are none.
     *  Errors: FRT_EBAD_REQUEST (the answer is wrong; the text says how), FRT_ENOMEM. */
    enum frt_status (*read_answer)(const struct frt_remote_model *model, const char *body, size_t size,
                                   size_t json_size, struct frt_remote_answer *out, struct frt_error *err);
};

extern const struct frt_remote_protocol frt_remote_kserve;
extern const struct frt_remote_protocol frt_remote_tfserving;

void frt_remote_request_deinit(struct frt_remote_request *request);
void frt_remote_answer_deinit(struct frt_remote_answer *answer);

/** Do `dims` fit what the model says of a tensor? */
bool frt_remote_shape_fits(const struct frt_tensor_info *info, const int64_t *dims, uint32_t n_dims);
/** Memory for a tensor whose dims were checked, of at most FRT_REMOTE_TENSOR_MAX floats.
 *  Errors: FRT_EBAD_REQUEST (dims that are no size), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_remote_tensor_alloc(const struct frt_tensor_info *info, const int64_t *dims,
                                                      uint32_t n_dims, struct frt_remote_tensor *out,
                                                      struct frt_error *err);
enum { FRT_REMOTE_TENSOR_MAX = 64 << 20 };

#endif
