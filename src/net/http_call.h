/*
 * HTTP and HTTPS as a client: calls over connections that are kept, a bounded number of them.
 *
 *     client ── handle 1 ── connection, kept alive between calls
 *            ── handle 2 ── …            a call takes a free handle, or waits for one within its time
 *
 * libcurl is loaded when the first client is made (dlopen): with it come a score of libraries that a program
 * which calls nobody never needs, and would pay for in start-up time and memory.
 *
 * Certificates are always checked, TLS is 1.2 or later, from HTTPS no redirect leads to HTTP. The body of an
 * answer is handed over in pieces as it comes, so that whoever takes it decides how much is too much before it
 * lies in memory.
 *
 * Threading: a client is internally locked; calls may be made from any number of threads. Lock order: its lock
 * is a leaf, and not held while anything is sent or waited for on the network.
 */
#ifndef FRT_NET_HTTP_CALL_H
#define FRT_NET_HTTP_CALL_H

#include "core/status.h"

struct frt_http_client;

struct frt_http_client_options {
    uint32_t connections; /* calls at once, and connections kept, at most; 0 = 1, no more than 1024 */
    const char *ca_file;  /* PEM of authorities in the system's place; copied; NULL = the system's */
    bool no_proxy;        /* do not look at https_proxy, http_proxy, all_proxy */
    bool http_1_1;        /* never a later version */
};

struct frt_http_piece {
    const void *bytes;
    size_t size;
};

/** What is known when the first bytes of a body come. */
struct frt_http_head {
    int status;
    int64_t content_length; /* -1 = not said */
};

struct frt_http_call {
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value" */
    size_t n_headers;
    const struct frt_http_piece *body; /* sent one behind the other by POST; NULL = GET */
    size_t n_body;
    uint32_t connect_timeout_ms; /* 0 = 30 s */
    uint32_t timeout_ms;         /* of all, a wait for a free connection included; 0 = none */
    uint32_t stall_timeout_s;    /* slower than 1 KB/s for so long: given up; 0 = never */
    uint32_t max_redirects;      /* followed at most; 0 = none */
    bool take_errors; /* bodies of answers from 400 on are taken, too, and such an answer is no failure */
    /* Called as things come, on the calling thread; `arg` goes with each. */
    void (*header)(void *arg, const char *line,
                   size_t size); /* each line, status lines included; may be NULL */
    enum frt_status (*take)(void *arg, const struct frt_http_head *head, const void *bytes, size_t size,
                            struct frt_error *err); /* another status than FRT_OK ends the call with it */
    bool (*goes_on)(void *arg); /* asked at least once a second; false: FRT_ECANCELLED. May be NULL */
    void *arg;
};

struct frt_http_answer {
    int status;          /* 0 = none came */
    bool again;          /* what ended the call may be over soon */
    bool no_bytes;       /* failed, and before anything of an answer came */
    bool new_connection; /* none of an earlier call was used */
};

/** Errors: FRT_EUNAVAILABLE (libcurl is not there), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_http_client_new(const struct frt_http_client_options *options,
                                                  struct frt_http_client **out, struct frt_error *err);
/** No call may be under way. NULL is fine. */
void frt_http_client_free(struct frt_http_client *client);

/**
 * Make a call and wait for its end.
 *
 * answer  out: filled whatever happens.
 * Errors: FRT_EINVAL (no such address), FRT_ENOTFOUND (404, 410), FRT_EUNAVAILABLE (no connection, certificate,
 *         redirects, another answer from 400 on), FRT_ETIMEOUT, FRT_ECANCELLED, FRT_ENOMEM, and what `take`
 *         returns. Texts do not name the URL: the caller knows what it may show of it.
 */
FRT_NODISCARD enum frt_status frt_http_call(struct frt_http_client *client, const struct frt_http_call *call,
                                            struct frt_http_answer *answer, struct frt_error *err);

/** Value of a header line of this name, without blanks around it; false for another line, or when it does not
 * fit. */
bool frt_http_header_value(const char *line, size_t size, const char *name, char *out, size_t room);

/** Is there a client to be had? version: NULL, or out: of the library, static storage. Errors:
 * FRT_EUNAVAILABLE. */
FRT_NODISCARD enum frt_status frt_http_client_available(const char **version, struct frt_error *err);

#endif
