/*
 * A small HTTP/1.1 client that can also misbehave, and the service as a child process.
 * Everything fails the running test when it goes wrong. Every wait ends after WAIT_MS.
 * Threading: one owner each.
 */
#ifndef FRT_TESTS_HTTP_CLIENT_H
#define FRT_TESTS_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/json_read.h"

enum { WAIT_MS = 30000 };
/** How long an answer may take, WAIT_MS unless a test says otherwise. */
extern int client_wait_ms;

/* ---------------------------------------------------------------- service */

struct service {
    pid_t pid;
    int port;
    char folder[64];   /* its own, deleted with it */
    char log[80];      /* its stderr */
    char database[80]; /* tests may put users and keys into it before */
};

/** A folder and a database's name for the service to come; service_start does it unless it was done. */
void service_folder(struct service *service);
/** Start `program serve --listen 127.0.0.1:0 OPTIONS…` (NULL-terminated) and wait until /readyz says 200. A
 * service that has stopped starts again over the same database when it is not zeroed in between and was kept.
 */
void service_start(struct service *service, const char *program, const char *const *options);
/** As service_start, but returns as soon as the port is known. */
void service_start_cold(struct service *service, const char *program, const char *const *options);
/** Send `signal` (0: none) and wait for the end; its exit code, or 128 + the signal that killed it. */
int service_stop(struct service *service, int signal);
/** As service_stop, and the folder stays for another service_start. */
int service_pause(struct service *service, int signal);
bool service_is_alive(struct service *service);
/** Whole log; free(). */
char *service_log(const struct service *service);
/** Whole log once it holds `text`; free(). A request's line tells whether its answer was written whole, and so
 *  may stand there a little later than the client has the answer. */
char *service_log_with(const struct service *service, const char *text);

/* ----------------------------------------------------------------- client */

struct answer {
    int status;
    char *head; /* status line and headers, NUL-terminated */
    char *body; /* NUL-terminated */
    size_t size;
    struct frt_json *json; /* the body, when its type is JSON and it came whole */
    bool cut;              /* it came in chunks, and the last is missing */
};

/** A connected socket. */
int client_connect(int port);
/** The same, or -1 when nobody listens. */
int client_try_connect(int port);
/** Send it all, or as much as the peer takes before it closes: returns the bytes sent. */
size_t client_send(int fd, const void *data, size_t size);
size_t client_send_text(int fd, const char *text);
/** Read one answer; `head_only` for HEAD. status 0: the peer closed without one. */
struct answer client_read(int fd, bool head_only);
void answer_free(struct answer *answer);
/** Value of a header, "" when absent; the thread's static storage, until its next call. */
const char *answer_header(const struct answer *answer, const char *name);

/** One request on a connection of its own; `type` NULL: no Content-Type. */
struct answer request(int port, const char *method, const char *target, const char *type, const void *body,
                      size_t size);
struct answer get(int port, const char *target);
/** As request, with further header lines ("X-API-Key: k\r\n…"), and without "Connection: close". */
struct answer request_with(int port, const char *method, const char *target, const char *headers,
                           const char *type, const void *body, size_t size);

/** The status; and, for 4xx and 5xx, that the answer is a problem with all its fields and this code. */
void expect(const struct answer *answer, int status, const char *code);

#endif
