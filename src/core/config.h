/*
 * Settings. One table (config.c) names every key, its environment variable, type, range, default and
 * one line of explanation; the command line, the documentation and the service read that table.
 * Order: flags > environment > file > default. Unknown keys are refused with a suggestion.
 *
 * Threading: filled by one owner at start, immutable afterwards.
 */
#ifndef FRT_CORE_CONFIG_H
#define FRT_CORE_CONFIG_H

#include "core/log.h"
#include "core/status.h"

#define FRT_CONFIG_TEXT_MAX 512

struct frt_config {
    char listen[FRT_CONFIG_TEXT_MAX];   /* "127.0.0.1:8080", "[::1]:8080" */
    char data_dir[FRT_CONFIG_TEXT_MAX]; /* folder of packs and, later, the store */
    char pack[FRT_CONFIG_TEXT_MAX];     /* folder of the model pack; "" = <data_dir>/packs/default */
    char runtime[FRT_CONFIG_TEXT_MAX];  /* libonnxruntime; "" = search */
    char detector[64];                  /* "" = the pack's default */
    uint64_t max_body_bytes;
    uint64_t max_image_pixels;
    uint32_t max_image_side_px;
    uint32_t request_timeout_ms;
    uint32_t workers;     /* requests worked on at once; MAX_WORKERS; 0 = min(32, 4 × cores) */
    uint32_t queue;       /* requests waiting at most */
    uint32_t threads;     /* of one inference; OMP_NUM_THREADS; 0 = cores */
    uint32_t connections; /* open at most */
    enum frt_log_level log_level;
    bool log_json;
};

/** Defaults from the table. */
void frt_config_init(struct frt_config *config);
/** Apply a file of `key = value` lines (# comments). Errors: FRT_EBAD_REQUEST with file:line and a suggestion.
 */
FRT_NODISCARD enum frt_status frt_config_load_file(struct frt_config *config, const char *path,
                                                   struct frt_error *err);
/** Apply the environment. An unknown FRT_* variable is refused with a suggestion, unless it is on the
 *  list of variables read elsewhere (FRT_TEST_ASSETS, FRT_SIMD, …). */
FRT_NODISCARD enum frt_status frt_config_load_env(struct frt_config *config, char **environ_list,
                                                  struct frt_error *err);
/** Apply one setting by key ("listen"); `where` names the source in errors. */
FRT_NODISCARD enum frt_status frt_config_set(struct frt_config *config, const char *key, const char *value,
                                             const char *where, struct frt_error *err);

/** The table, for help and documentation. */
struct frt_config_key {
    const char *key;      /* "max_body_bytes"; the flag is --max-body-bytes */
    const char *env;      /* "FRT_MAX_BODY_BYTES" */
    const char *env_old;  /* the older service's name, e.g. "MAX_WORKERS"; NULL = none */
    const char *value;    /* metavariable: "BYTES" */
    const char *fallback; /* default, as text */
    const char *help;
};
const struct frt_config_key *frt_config_keys(size_t *count);

#endif
