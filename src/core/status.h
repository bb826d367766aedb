/*
 * Status codes and error texts. One table maps a status to its word, title, HTTP code and exit code;
 * every surface (library, command line, HTTP) reads it and none has a mapping of its own.
 *
 * Threading: the table is constant; struct frt_error has one owner.
 */
#ifndef FRT_CORE_STATUS_H
#define FRT_CORE_STATUS_H

#include <stdarg.h>

#include "frt/frt.h"

/** Exit codes of `frt`, for scripts; documented in docs/cli.md. */
enum frt_exit {
    FRT_EXIT_OK = 0,
    FRT_EXIT_FAILURE = 1,      /* something unexpected failed */
    FRT_EXIT_USAGE = 2,        /* unknown command or option, missing argument */
    FRT_EXIT_BAD_INPUT = 3,    /* a file is no image, damaged, too large or missing */
    FRT_EXIT_NO_FACE = 4,      /* no face where one is needed */
    FRT_EXIT_NOT_VERIFIED = 5, /* two faces are not the same person */
    FRT_EXIT_MODEL = 6,        /* a model or pack is missing, damaged or fits no family */
    FRT_EXIT_ENVIRONMENT = 7,  /* the runtime is missing, a port is taken, doctor found problems */
    FRT_EXIT_UNKNOWN = 8,      /* a face is of nobody in the collection */
    FRT_EXIT_INTERRUPTED = 130 /* SIGINT */
};

/** HTTP status code for a status. */
int frt_status_http(enum frt_status status);

/** Exit code for a status. */
enum frt_exit frt_status_exit(enum frt_status status);

/**
 * Fill `err` (NULL is fine) and return `status`, so that a failing function can
 * `return frt_fail(err, FRT_EINVAL, "k is %u; 1 to %u fit", k, max);`.
 * Text beyond the buffer is cut; bytes that are not UTF-8 or are control characters become '?'.
 */
FRT_NODISCARD enum frt_status frt_fail(struct frt_error *err, enum frt_status status, const char *fmt, ...)
    FRT_PRINTF(3, 4);

/** As frt_fail, and puts "context: " before the text that `err` has already. Returns its status. */
FRT_NODISCARD enum frt_status frt_fail_within(struct frt_error *err, enum frt_status status, const char *fmt,
                                              ...) FRT_PRINTF(3, 4);

/** FRT_ENOMEM with a text that says what the memory was for. */
FRT_NODISCARD enum frt_status frt_fail_nomem(struct frt_error *err, const char *what);

#endif
