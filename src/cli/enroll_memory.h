/*
 * Photos that an enrollment of a folder or a map has refused, so that the same command given again does not
 * look at them again: a file beside the database, a line a photo:
 *
 *     32 hex digits of SHA-256(photo's SHA-256, rules) ' ' code ' ' text '\n'
 *
 * The rules are whatever else decided: pack, detector, policies, version. What depends on the collection (a
 * duplicate) is not remembered. Nothing is lost with the file: photos are looked at again.
 *
 * Threading: what was read is immutable; any thread may find and add. A line is one write to the end of the
 * file, so that several threads and programs may add; one that a crash cut off is passed over.
 */
#ifndef FRT_CLI_ENROLL_MEMORY_H
#define FRT_CLI_ENROLL_MEMORY_H

#include "core/status.h"

struct cli_enroll_memory;

/** rules  what decides beside the photo; copied. Errors: FRT_ENOMEM; a file that cannot be read counts as none.
 */
FRT_NODISCARD enum frt_status cli_enroll_memory_open(const char *database, const char *rules,
                                                     struct cli_enroll_memory **out, struct frt_error *err);
/** NULL is fine. */
void cli_enroll_memory_close(struct cli_enroll_memory *memory);
/** Why this photo was refused before; FRT_OK when it is not remembered. digest  SHA-256 of the photo, in hex.
 */
FRT_NODISCARD enum frt_status cli_enroll_memory_find(const struct cli_enroll_memory *memory, const char *digest,
                                                     struct frt_error *why);
/** Remember it, if `why` lies in the photo alone. Failing to is no failure. */
void cli_enroll_memory_add(struct cli_enroll_memory *memory, const char *digest, const struct frt_error *why);

#endif
