/*
 * Who is to be enrolled from which photo: from the command line, a folder tree or a CSV map.
 * Threading: one owner while it is made, immutable afterwards.
 */
#ifndef FRT_CLI_ENROLL_LIST_H
#define FRT_CLI_ENROLL_LIST_H

#include "core/status.h"

struct cli_enroll_item {
    char *path;    /* "-" is standard input */
    char *subject; /* "": the photo lies in nobody's folder */
    char *face_id; /* NULL = made from the photo's bytes */
};

struct cli_enroll_list {
    struct cli_enroll_item *items; /* [n], owned */
    size_t n, capacity;
};

/** Photos and folders of photos of one subject. Errors: cli_inputs_collect's. */
FRT_NODISCARD enum frt_status cli_enroll_list_photos(char **arguments, size_t n, const char *subject,
                                                     struct cli_enroll_list *out, struct frt_error *err);
/** FOLDER/NAME/….jpg: every photo at any depth below FOLDER/NAME is of NAME. Errors: cli_inputs_collect's. */
FRT_NODISCARD enum frt_status cli_enroll_list_folder(const char *folder, struct cli_enroll_list *out,
                                                     struct frt_error *err);
/**
 * A map: path,subject[,face_id] a record, with or without a heading of these words. Paths that do not begin
 * with '/' count from the folder of the map.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EBAD_REQUEST (file and line).
 */
FRT_NODISCARD enum frt_status cli_enroll_list_csv(const char *path, struct cli_enroll_list *out,
                                                  struct frt_error *err);
void cli_enroll_list_deinit(struct cli_enroll_list *list);

#endif
