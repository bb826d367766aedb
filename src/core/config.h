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
    char data_dir[FRT_CONFIG_TEXT_MAX]; /* folder of packs and of the database */
    char database[FRT_CONFIG_TEXT_MAX]; /* file; "" = <data_dir>/frt.db */
    char store[FRT_CONFIG_TEXT_MAX]; /* "sqlite:FILE", "postgresql://…"; set, database is "", and vice versa */
    char index_engine[32];           /* "" = the default */
    uint64_t gpu_search_memory, gpu_search_scratch; /* bytes; memory 0 = most of what is free */
    uint64_t gpu_search_from;                       /* faces */
    uint32_t gpu_search_device;
    char pack[FRT_CONFIG_TEXT_MAX];    /* folder of the model pack; "" = <data_dir>/packs/default */
    char runtime[FRT_CONFIG_TEXT_MAX]; /* libonnxruntime; "" = search */
    char infer[FRT_CONFIG_TEXT_MAX];   /* where models are computed: infer/remote_address.h */
    char infer_models[FRT_CONFIG_TEXT_MAX], infer_ca[FRT_CONFIG_TEXT_MAX],
        infer_token_file[FRT_CONFIG_TEXT_MAX];
    uint32_t infer_timeout_ms, infer_connect_timeout_ms, infer_connections, infer_retries;
    bool model_api;                             /* offer the models to others */
    char device[64];                            /* infer/device.h */
    char device_precision[FRT_CONFIG_TEXT_MAX]; /* engine/devices.h */
    char device_cache[FRT_CONFIG_TEXT_MAX];     /* folder of TensorRT's engines; "" = <data_dir>/engines */
    uint64_t gpu_memory_limit_bytes;
    char detector[64];      /* "" = the pack's default */
    uint32_t spoof_percent; /* of spoof confidence; 0 = the pack's */
    uint64_t max_body_bytes;
    uint64_t max_image_pixels;
    uint32_t max_image_side_px;
    uint32_t request_timeout_ms;
    /* how much at once: 0 = the default of docs/config.md */
    uint32_t workers, detection_workers, recognition_workers, image_workers, store_workers, cores;
    uint32_t recognition_batch;                /* faces of several requests in one inference; 0 = measure */
    uint32_t queue;                            /* requests waiting at most */
    uint32_t threads;                          /* of one inference; OMP_NUM_THREADS; 0 = cores */
    uint32_t http_threads;                     /* 0 = one per core, at most 4 */
    uint32_t connections;                      /* open at most */
    char trusted_proxies[FRT_CONFIG_TEXT_MAX]; /* networks whose X-Forwarded-For is believed; "" = none */
    uint32_t drain_delay_ms;                   /* not ready, but serving, before a stop */
    bool reuse_port;                           /* another service may listen on the same address */
    uint32_t embedding_cache, image_cache, index_cache, subject_cache; /* entries; 0 = none */
    uint64_t embedding_cache_bytes, image_cache_bytes, index_cache_bytes, subject_cache_bytes;
    uint32_t embedding_cache_ttl_ms, image_cache_ttl_ms, index_cache_ttl_ms, subject_cache_ttl_ms;
    uint32_t token_lifetime_ms;
    char redis[FRT_CONFIG_TEXT_MAX]; /* address, perhaps with a password: never shown; "" = none */
    char redis_password_file[FRT_CONFIG_TEXT_MAX], redis_ca_file[FRT_CONFIG_TEXT_MAX],
        redis_cert_file[FRT_CONFIG_TEXT_MAX];
    uint32_t redis_budget_ms;
    char key_file[FRT_CONFIG_TEXT_MAX]; /* crops are sealed with the key in it; "" = they are not */
    bool keep_crops;
    uint32_t summary_interval_ms, summary_idle_interval_ms; /* of lines in the log; 0 = none */
    enum frt_log_level log_level;
    uint32_t log_requests; /* lines a second at most */
    bool log_json;
};

/** Defaults from the table. */
void frt_config_init(struct frt_config *config);
/**
 * Apply a file: UTF-8 lines `key = value`. A '#' at the start or behind a blank begins a comment; a value in
 * single or double quotes is taken without them, '#' and all. A later line wins over an earlier one. A byte
 * order mark and CRLF are fine.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EINVAL (a value), FRT_EBAD_REQUEST (anything else), with file:line and
 *         a suggestion; the config is then untouched.
 */
FRT_NODISCARD enum frt_status frt_config_load_file(struct frt_config *config, const char *path,
                                                   struct frt_error *err);
/** As frt_config_load_file, from memory; `name` stands for the file in errors. */
FRT_NODISCARD enum frt_status frt_config_load_text(struct frt_config *config, const char *text, size_t size,
                                                   const char *name, struct frt_error *err);
/** Apply the environment. An unknown FRT_* variable is refused with a suggestion, unless it is on the
 *  list of variables read elsewhere (FRT_TEST_ASSETS, FRT_SIMD, …). */
FRT_NODISCARD enum frt_status frt_config_load_env(struct frt_config *config, char **environ_list,
                                                  struct frt_error *err);
/** A truth as settings have it: true, yes, on, 1, or their opposites. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status frt_config_truth(const char *value, const char *where, bool *out,
                                               struct frt_error *err);
/** Apply one setting by key ("listen"); `where` names the source in errors. */
FRT_NODISCARD enum frt_status frt_config_set(struct frt_config *config, const char *key, const char *value,
                                             const char *where, struct frt_error *err);

enum frt_config_kind {
    FRT_CONFIG_TEXT = 0,
    FRT_CONFIG_BYTES,
    FRT_CONFIG_WHOLE,
    FRT_CONFIG_DURATION_MS,
    FRT_CONFIG_LEVEL,
    FRT_CONFIG_TRUTH
};

/** A row of the table, for help and documentation. */
struct frt_config_key {
    const char *key;      /* "max_body_bytes"; the flag is --max-body-bytes */
    const char *env;      /* "FRT_MAX_BODY_BYTES" */
    const char *env_old;  /* the older service's name, e.g. "MAX_WORKERS"; NULL = none */
    const char *value;    /* metavariable: "BYTES" */
    const char *fallback; /* default, as text */
    const char *help;
    size_t offset, size; /* of the field in struct frt_config */
    uint64_t low, high;  /* of a number */
    enum frt_config_kind kind;
};
const struct frt_config_key *frt_config_keys(size_t *count);
/** "1 to 100000", "1 KiB to 4 GiB", "100 ms to 60 min", "true, false"; "" for a text. Returns `out`. */
const char *frt_config_range(const struct frt_config_key *key, char out[64]);

#endif
