#include "index/index_engine.h"

static enum frt_status make(const struct frt_index_options *options, struct frt_index **out,
                            struct frt_error *err)
{
    (void)options;
    (void)out;
    return frt_fail(err, FRT_EUNAVAILABLE, "the FAISS engine is not in this build");
}

static enum frt_status load(const struct frt_index_options *options, const char *path,
                            struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err)
{
    (void)path;
    (void)tag;
    return make(options, out, err);
}

const struct frt_index_driver frt_index_driver_faiss = {make, load};
