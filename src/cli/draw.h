/*
 * Faces drawn on their photo: box, five landmarks, number and confidence; written as JPEG.
 * Threading: a target is immutable after init; draw from several threads.
 */
#ifndef FRT_CLI_DRAW_H
#define FRT_CLI_DRAW_H

#include "core/status.h"

struct cli_draw_target {
    const char *path; /* file, or folder when `folder`; NULL = do not draw */
    bool folder, force;
};

/** Check OUT: for several photos it is a folder, made if absent. Errors: FRT_EINVAL, FRT_EIO. */
FRT_NODISCARD enum frt_status cli_draw_target_init(struct cli_draw_target *target, const char *out,
                                                   bool several, bool force, struct frt_error *err);

/**
 * Draw the faces of a photo and write the picture. Never replaces the photo itself.
 * photo  path of the photo, "-" for standard input.
 */
FRT_NODISCARD enum frt_status cli_draw(const struct cli_draw_target *target, const char *photo,
                                       const struct frt_image *image, const struct frt_faces *faces,
                                       struct frt_error *err);

#endif
