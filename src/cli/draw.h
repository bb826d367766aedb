/*
 * Faces drawn on their photo: box, five landmarks, number and confidence; written as JPEG.
 * Threading: a target is immutable after init; draw from several threads.
 */
#ifndef FRT_CLI_DRAW_H
#define FRT_CLI_DRAW_H

#include <sys/types.h>

#include "core/status.h"

/** A file by its identity. */
struct cli_draw_photo {
    dev_t device;
    ino_t inode;
};

struct cli_draw_target {
    const char *path;              /* file, or folder when `folder`; NULL = do not draw */
    struct cli_draw_photo *photos; /* [n_photos], sorted, owned: never replaced */
    size_t n_photos;
    bool folder, force;
};

/**
 * Check OUT before the work begins: for several photos it is a folder, made if absent.
 * out, photos  borrowed; `out` as long as the target lives.
 * Errors: FRT_EINVAL, FRT_ECONFLICT (a file that exists, without force), FRT_EIO, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status cli_draw_target_init(struct cli_draw_target *target, const char *out,
                                                   bool several, bool force, char *const *photos, size_t n,
                                                   struct frt_error *err);
void cli_draw_target_deinit(struct cli_draw_target *target);

/**
 * Draw the faces of a photo and write the picture. Never replaces one of the photos.
 * photo  path of the photo, "-" for standard input.
 */
FRT_NODISCARD enum frt_status cli_draw(const struct cli_draw_target *target, const char *photo,
                                       const struct frt_image *image, const struct frt_faces *faces,
                                       struct frt_error *err);

#endif
