/*
 * The photos that a command line names: files, folders (everything below that is an image by its
 * magic number, sorted), "-" for standard input. Threading: one owner.
 */
#ifndef FRT_CLI_INPUTS_H
#define FRT_CLI_INPUTS_H

#include "core/status.h"

struct cli_inputs {
    char **paths; /* [n], owned; "-" is standard input */
    size_t n, capacity;
    bool several; /* a folder or more than one argument was given */
};

enum { CLI_MAX_INPUTS = 10000000, CLI_MAX_DEPTH = 64 };

/**
 * Expand arguments. A file named outright is taken whatever it holds (and refused later, by name); in a
 * folder only images count, hidden entries and symbolic links to folders are passed over. A folder below it
 * that cannot be read is taken like a photo that cannot be read: it is refused later, and the rest goes on.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_ENOMEM, FRT_EBAD_REQUEST ("-" twice, a folder without photos).
 */
FRT_NODISCARD enum frt_status cli_inputs_collect(char **arguments, size_t n, struct cli_inputs *out,
                                                 struct frt_error *err);
void cli_inputs_deinit(struct cli_inputs *inputs);

#endif
