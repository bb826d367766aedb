/*
 * A password from whoever runs the command: typed without echo, twice when it is a new one, where standard
 * input is a terminal; else its first line. Never an argument, which other users of the machine could see.
 * Threading: one owner.
 */
#ifndef FRT_CLI_PASSWORD_H
#define FRT_CLI_PASSWORD_H

#include "core/crypto.h"

enum { CLI_PASSWORD_SIZE = FRT_PASSWORD_MAX_BYTES + 1 };

/** Read a new password; frt_wipe it when done. Errors: FRT_EINVAL (empty, too long, the two differ), FRT_EIO,
 *  FRT_ECANCELLED. No text holds any part of it. */
FRT_NODISCARD enum frt_status cli_password_read(const char *whose, char out[CLI_PASSWORD_SIZE],
                                                struct frt_error *err);

#endif
