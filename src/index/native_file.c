#include "index/native.h"

enum frt_status frt_native_save(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                                struct frt_error *err)
{
    (void)index;
    (void)tag;
    return frt_fail(err, FRT_EUNAVAILABLE, "%s", path);
}

enum frt_status frt_native_load(const struct frt_index_options *options, const char *path,
                                struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err)
{
    (void)options;
    (void)tag;
    (void)out;
    return frt_fail(err, FRT_EUNAVAILABLE, "%s", path);
}
