/*
 * A folder of labelled photos: <folder>/<person>/<photos>, .jpg, .jpeg, .png or .webp, in the byte order of
 * their names whatever the locale; hidden ones are passed over. Threading: pure functions over the file system.
 */
#ifndef FRT_ENGINE_EVAL_PEOPLE_H
#define FRT_ENGINE_EVAL_PEOPLE_H

#include "core/status.h"

struct frt_eval_people {
    char **files;     /* [n], relative to the folder; owned */
    uint32_t *person; /* [n]: whose, ascending from 0 without gaps; owned */
    size_t n, capacity;
    uint32_t n_people;
};

/** out: owned, frt_eval_people_deinit. Errors: FRT_ENOTFOUND (no folder), FRT_EBAD_REQUEST (no photos, or too
 * many), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_eval_people_list(const char *folder, struct frt_eval_people *out,
                                                   struct frt_error *err);
void frt_eval_people_deinit(struct frt_eval_people *people);

#endif
