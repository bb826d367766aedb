/*
 * A whole folder that appears at once under its name, or not at all.
 *
 *     make: <parent>/.<name>.XXXXXX ─ filled by the caller ─ commit: rename, or exchange with what stands there
 *
 * Threading: one owner.
 */
#ifndef FRT_ENGINE_PACK_REPLACE_H
#define FRT_ENGINE_PACK_REPLACE_H

#include "engine/pack_locate.h"

/** A folder under a temporary name. Zero value = none. */
struct frt_staged_folder {
    char temporary[FRT_LOCATE_PATH_MAX + 16];
    char final[FRT_LOCATE_PATH_MAX];
};

/** Parents are made. Errors: FRT_EINVAL (the path is too long), FRT_EIO. */
FRT_NODISCARD enum frt_status frt_staged_folder_make(const char *final, struct frt_staged_folder *out,
                                                     struct frt_error *err);
/** Put it in its place; what stood there is removed. Errors: FRT_EIO. */
FRT_NODISCARD enum frt_status frt_staged_folder_commit(struct frt_staged_folder *folder, struct frt_error *err);
/** Remove what was not committed. Zeroes the struct. */
void frt_staged_folder_deinit(struct frt_staged_folder *folder);

#endif
