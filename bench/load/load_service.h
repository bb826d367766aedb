/*
 * Services under load as child processes: ours, and the Python stand-in; and what /proc says of them.
 *
 * Ours keeps its data in the folder given, so that it can be stopped and started again over the same people.
 * Threading: one owner.
 */
#ifndef FRT_BENCH_LOAD_SERVICE_H
#define FRT_BENCH_LOAD_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct load_place {
    char folder[64]; /* temporary: database, logs, pack */
    char program[512];
    char pack[600];
    char assets[512];
    bool has_models; /* YuNet and MobileFaceNet from the assets; else the default pack */
};

/** Make the folder and the pack in it. Exits with a message when the program is not built. */
void load_place_open(struct load_place *place, const char *assets);
void load_place_close(struct load_place *place);

struct load_service {
    pid_t pid;
    int port;
    char log[100];
};

enum { LOAD_ANY_CORE = -1 };

/** Start `frt serve` with further options (NULL-terminated, or NULL), on one core or on any; exits when it
 * fails. */
void load_service_start(struct load_service *service, const struct load_place *place,
                        const char *const *options, int core);
/** Start the stand-in; false, with the cause in `why`, when it cannot run here. */
bool load_service_start_peer(struct load_service *service, const struct load_place *place, char *why,
                             size_t why_size);
void load_service_stop(struct load_service *service);

struct load_reading {
    double rss_mb;
    int descriptors;
    double cpu_seconds;
};

struct load_reading load_service_read(const struct load_service *service);
/** One request on a connection of its own; its status, 0 when there was no answer within 30 s. */
int load_service_ask(const struct load_service *service, const char *method, const char *target,
                     const void *body, size_t size);
/** Search for a photo: whether the answer is 200 and holds the name. */
bool load_service_names(const struct load_service *service, const char *target, const void *photo, size_t size,
                        const char *name);

#endif
