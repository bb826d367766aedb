/*
 * One file over HTTP or HTTPS, whole or not at all.
 *
 *     <path>.part        what has come so far; kept when a download breaks off
 *     <path>.part.from   its origin: URL and validator (ETag or date), one a line
 *     <path>             renamed to when all bytes are there
 *
 * A download that broke off is taken up again with Range and If-Range; where the server does not know them, or
 * the file changed meanwhile, it starts anew. What ends by itself (a dropped line, a stalled one, 429 and 5xx)
 * is tried again. Sizes are checked before bytes are taken: the server's Content-Length against `size` and
 * `max_bytes`, and against the room on the disk. Certificates are always checked, from HTTPS no redirect leads
 * to HTTP, and the usual variables name a proxy (https_proxy, http_proxy, all_proxy, no_proxy).
 *
 * What the bytes are is the caller's to check: no checksum here.
 *
 * Threading: one owner; several downloads at once are fine, of one path the second is refused.
 */
#ifndef FRT_MODEL_FETCH_H
#define FRT_MODEL_FETCH_H

#include "core/status.h"

struct frt_fetch_options {
    const char *url;             /* http:// or https:// */
    const char *path;            /* the file to make; its folder is there */
    uint64_t size;               /* exact; 0 = not known */
    uint64_t max_bytes;          /* when size is 0; 0 = 4 GiB */
    const char *ca_file;         /* PEM of further authorities instead of the system's; NULL = the system's */
    uint32_t connect_timeout_ms; /* 0 = 30 s */
    uint32_t stall_timeout_s;    /* slower than 1 KB/s for so long: given up; 0 = 60 s */
    uint32_t max_redirects;      /* 0 = 5 */
    uint32_t tries;              /* in a row that bring less than 64 KiB; 0 = 5 */
    uint32_t first_pause_ms;     /* before the second try, then twice as long each time; 0 = 1 s */
    void (*progress)(void *arg, uint64_t done, uint64_t total); /* total 0 = not known; may be NULL */
    void *progress_arg;
    bool (*cancelled)(void *arg); /* may be NULL */
    void *cancelled_arg;
};

struct frt_fetch_result {
    uint64_t size;
    bool resumed; /* bytes of an earlier call are in the file */
};

/**
 * Download a file. out: may be NULL.
 * Errors: FRT_EINVAL (no such scheme), FRT_ENOTFOUND (404, 410), FRT_EUNAVAILABLE (no connection, certificate,
 *         redirects, refused), FRT_ETIMEOUT, FRT_EBODY_TOO_LARGE (more bytes than allowed), FRT_EBAD_MODEL
 *         (another size than `size`), FRT_ESTORAGE_FULL, FRT_EIO, FRT_ECONFLICT (under way already),
 *         FRT_ECANCELLED, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_fetch_file(const struct frt_fetch_options *options,
                                             struct frt_fetch_result *out, struct frt_error *err);

/** Can files be fetched here? version: NULL, or out: of the library, static storage. Errors: FRT_EUNAVAILABLE
 *  (libcurl is not installed). */
FRT_NODISCARD enum frt_status frt_fetch_available(const char **version, struct frt_error *err);

/** Does the text begin as a URL that frt_fetch_file takes? */
bool frt_fetch_is_url(const char *text);

#endif
