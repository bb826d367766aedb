#include "index/native.h"

bool frt_native_wants_maintenance(struct frt_index *index)
{
    (void)index;
    return false;
}

enum frt_status frt_native_maintain(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                    struct frt_error *err)
{
    (void)index;
    (void)stop;
    (void)arg;
    (void)err;
    return FRT_OK;
}
