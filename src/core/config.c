#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/suggest.h"

enum { MAX_LINE_BYTES = 4096, MAX_LINES = 10000, MAX_FILE_BYTES = 1 << 20 };

#define FIELD(name) offsetof(struct frt_config, name), sizeof(((struct frt_config *)0)->name)

static const struct frt_config_key settings[] = {
    {"listen", "FRT_LISTEN", NULL, "ADDRESS:PORT", "127.0.0.1:8080",
     "Address and port of the service, e.g. 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one. Without "
     "credentials only loopback addresses are served.",
     FIELD(listen), 0, 0, FRT_CONFIG_TEXT},
    {"data_dir", "FRT_DATA_DIR", NULL, "FOLDER", "",
     "Folder of model packs and of the database. When not set: ./data when it holds packs, else "
     "~/.local/share/frt or /var/lib/frt when there.",
     FIELD(data_dir), 0, 0, FRT_CONFIG_TEXT},
    {"database", "FRT_DATABASE", NULL, "FILE", "",
     "Database of collections, users and keys; made when absent. When not set: frt.db in the data folder.",
     FIELD(database), 0, 0, FRT_CONFIG_TEXT},
    {"store", "FRT_STORE", NULL, "ADDRESS", "",
     "Where collections, users and keys are: sqlite:FILE, or postgresql://user@host/database for several "
     "instances. In place of database: of the two the later setting counts, both as variables are refused.",
     FIELD(store), 0, 0, FRT_CONFIG_TEXT},
    {"index_engine", "FRT_INDEX_ENGINE", NULL, "NAME", "",
     "Engine of the search index: native, faiss where it is built in, or cuda: native, and a copy on a GPU "
     "where there is one. When not set: native.",
     FIELD(index_engine), 0, 0, FRT_CONFIG_TEXT},
    {"gpu_search_memory", "FRT_GPU_SEARCH_MEMORY", NULL, "BYTES", "0",
     "Memory of the GPU that indexes may take, all together, with engine cuda; units KiB, MiB, GiB; 0 = three "
     "quarters of what is free when it is first used.",
     FIELD(gpu_search_memory), 0, UINT64_C(1) << 50, FRT_CONFIG_BYTES},
    {"gpu_search_scratch", "FRT_GPU_SEARCH_SCRATCH", NULL, "BYTES", "512MiB",
     "Memory of the GPU for searches under way; units KiB, MiB, GiB. Three searches at once fit the default, "
     "and one needs 20 MiB.",
     FIELD(gpu_search_scratch), 1024, UINT64_C(64) << 30, FRT_CONFIG_BYTES},
    {"gpu_search_from", "FRT_GPU_SEARCH_FROM", NULL, "N", "50000",
     "Faces of a collection from which on it is searched on the GPU.", FIELD(gpu_search_from), 1,
     UINT64_C(4000000000), FRT_CONFIG_WHOLE},
    {"gpu_search_device", "FRT_GPU_SEARCH_DEVICE", NULL, "N", "0", "Number of the GPU that searches.",
     FIELD(gpu_search_device), 0, 1023, FRT_CONFIG_WHOLE},
    {"pack", "FRT_PACK", NULL, "FOLDER", "", "Model pack. When not set: packs/default in the data folder.",
     FIELD(pack), 0, 0, FRT_CONFIG_TEXT},
    {"runtime", "FRT_RUNTIME", NULL, "FILE", "",
     "ONNX Runtime library to load. When not set: found beside the program or in the system.", FIELD(runtime),
     0, 0, FRT_CONFIG_TEXT},
    {"infer", "FRT_INFER", NULL, "WHERE", "local",
     "Where models are computed: local, kserve:http://HOST:PORT (Open Inference protocol: Triton, TorchServe, "
     "OpenVINO Model Server, MLServer, another FRT with model_api) or tfserving:http://HOST:PORT. The models "
     "here "
     "catch what a server drops.",
     FIELD(infer), 0, 0, FRT_CONFIG_TEXT},
    {"infer_models", "FRT_INFER_MODELS", NULL, "LIST", "",
     "How the pack's models are called there: NAME=REMOTE, NAME=REMOTE/VERSION or NAME=local, separated by "
     "commas; "
     "NAME '*' is every model, and '*' in REMOTE its name. When not set: as here.",
     FIELD(infer_models), 0, 0, FRT_CONFIG_TEXT},
    {"infer_ca", "FRT_INFER_CA", NULL, "FILE", "",
     "PEM file of the authorities that the model server's certificate may be of. When not set: the system's.",
     FIELD(infer_ca), 0, 0, FRT_CONFIG_TEXT},
    {"infer_token_file", "FRT_INFER_TOKEN_FILE", NULL, "FILE", "",
     "File with a token for the model server, sent as 'Authorization: Bearer', or with a whole header "
     "'Name: value'.",
     FIELD(infer_token_file), 0, 0, FRT_CONFIG_TEXT},
    {"infer_timeout", "FRT_INFER_TIMEOUT", NULL, "TIME", "2s",
     "Time that the model server has for one inference, retries included, before the models here do it; units "
     "ms, s, "
     "min; ms when none is given.",
     FIELD(infer_timeout_ms), 10, 600000, FRT_CONFIG_DURATION_MS},
    {"infer_connect_timeout", "FRT_INFER_CONNECT_TIMEOUT", NULL, "TIME", "500ms",
     "Time until a connection to the model server stands; units ms, s, min; ms when none is given.",
     FIELD(infer_connect_timeout_ms), 10, 600000, FRT_CONFIG_DURATION_MS},
    {"infer_connections", "FRT_INFER_CONNECTIONS", NULL, "N", "16",
     "Connections to the model server at most; they are kept open.", FIELD(infer_connections), 1, 1024,
     FRT_CONFIG_WHOLE},
    {"infer_retries", "FRT_INFER_RETRIES", NULL, "N", "2",
     "Further tries of one inference at most, when the model server drops or refuses it and time is left.",
     FIELD(infer_retries), 0, 100, FRT_CONFIG_WHOLE},
    {"model_api", "FRT_MODEL_API", NULL, "TRUTH", "false",
     "Let others compute with the models here, by the Open Inference protocol below /v2: for another FRT's "
     "infer, "
     "say.",
     FIELD(model_api), 0, 0, FRT_CONFIG_TRUTH},
    {"device", "FRT_DEVICE", NULL, "DEVICE", "auto",
     "What computes: auto, cpu, cuda, tensorrt or webgpu, with an index as in cuda:1. auto is CUDA where it is "
     "there, else the CPU. When a device fails, the CPU takes over until it returns: docs/accelerators.md.",
     FIELD(device), 0, 0, FRT_CONFIG_TEXT},
    {"gpu_memory_limit", "FRT_GPU_MEMORY_LIMIT", NULL, "BYTES", "4GiB",
     "Memory that the models may take of a device, all together; a model that does not fit runs on the CPU. "
     "Units "
     "KiB, MiB, GiB.",
     FIELD(gpu_memory_limit_bytes), 1024, 1ULL << 40, FRT_CONFIG_BYTES},
    {"device_precision", "FRT_DEVICE_PRECISION", NULL, "PRECISION", "fp32",
     "What a device that is not the CPU computes in: fp32, or fp16, which is faster on many. A model whose "
     "answers "
     "then differ from the CPU's by more than a cosine of 0.999 computes in fp32.",
     FIELD(device_precision), 0, 0, FRT_CONFIG_TEXT},
    {"device_cache", "FRT_DEVICE_CACHE", NULL, "FOLDER", "",
     "Folder for the engines that TensorRT builds. When not set: engines in the data folder.",
     FIELD(device_cache), 0, 0, FRT_CONFIG_TEXT},
    {"detector", "FRT_DETECTOR", NULL, "NAME", "",
     "Detector of the pack, by its name in 'frt models list'. When not set: the pack's default.",
     FIELD(detector), 0, 0, FRT_CONFIG_TEXT},
    {"spoof_percent", "FRT_SPOOF_PERCENT", NULL, "N", "0",
     "Spoof confidence, in per cent, from which a face is not live; 0 = the pack's, which is 50 unless its "
     "manifest "
     "says otherwise.",
     FIELD(spoof_percent), 0, 100, FRT_CONFIG_WHOLE},
    {"max_body_bytes", "FRT_MAX_BODY_BYTES", NULL, "BYTES", "20MiB",
     "Largest request body; units KiB, MiB, GiB.", FIELD(max_body_bytes), 1024, 1ULL << 32, FRT_CONFIG_BYTES},
    {"max_image_pixels", "FRT_MAX_IMAGE_PIXELS", NULL, "PIXELS", "50000000", "Most pixels of an image.",
     FIELD(max_image_pixels), 4096, 1000000000, FRT_CONFIG_WHOLE},
    {"max_image_side_px", "FRT_MAX_IMAGE_SIDE_PX", NULL, "PIXELS", "16384", "Longest side of an image.",
     FIELD(max_image_side_px), 64, 65500, FRT_CONFIG_WHOLE},
    {"request_timeout_ms", "FRT_REQUEST_TIMEOUT_MS", NULL, "TIME", "30s",
     "Time a request may take, from its first byte to its answer; units ms, s, min; ms when none is given.",
     FIELD(request_timeout_ms), 100, 3600000, FRT_CONFIG_DURATION_MS},
    {"workers", "FRT_WORKERS", "MAX_WORKERS", "N", "0",
     "Requests worked on at once; 0 = 4 per core, at most 32. Of these only as many compute at once as there "
     "are "
     "cores.",
     FIELD(workers), 0, 1024, FRT_CONFIG_WHOLE},
    {"detection_workers", "FRT_DETECTION_WORKERS", "DETECTION_WORKERS", "N", "0",
     "Detections at once; 0 = one per core, at most 8.", FIELD(detection_workers), 0, 1024, FRT_CONFIG_WHOLE},
    {"recognition_workers", "FRT_RECOGNITION_WORKERS", "RECOGNITION_WORKERS", "N", "0",
     "Recognitions at once; 0 = one per core, at most 8.", FIELD(recognition_workers), 0, 1024,
     FRT_CONFIG_WHOLE},
    {"recognition_batch", "FRT_RECOGNITION_BATCH", NULL, "N", "0",
     "Faces of several requests in one inference at most; 0 = measured after each start, 1 = never together; "
     "more "
     "than 8 are taken as 8 on the CPU, more than 32 as 32 on a device.",
     FIELD(recognition_batch), 0, 1024, FRT_CONFIG_WHOLE},
    {"image_workers", "FRT_IMAGE_WORKERS", NULL, "N", "16", "Photos decoded at once.", FIELD(image_workers), 1,
     1024, FRT_CONFIG_WHOLE},
    {"store_workers", "FRT_STORE_WORKERS", NULL, "N", "20", "Reads and writes of the database at once.",
     FIELD(store_workers), 1, 1024, FRT_CONFIG_WHOLE},
    {"cores", "FRT_CORES", NULL, "N", "0",
     "Cores that decoding, detection and recognition take together; 0 = all that the process may use, by its "
     "affinity and its control group.",
     FIELD(cores), 0, 1024, FRT_CONFIG_WHOLE},
    {"queue", "FRT_QUEUE", NULL, "N", "64",
     "Requests that may wait for a worker; more are answered 503. One client may take four fifths of it; more "
     "of "
     "his are answered 429.",
     FIELD(queue), 1, 100000, FRT_CONFIG_WHOLE},
    {"threads", "FRT_THREADS", "OMP_NUM_THREADS", "N", "0",
     "Cores one inference or one search may use while nothing else is to do; 0 = all (of 8 and more, an "
     "inference takes "
     "three quarters and one).",
     FIELD(threads), 0, 1024, FRT_CONFIG_WHOLE},
    {"embedding_cache", "FRT_EMBEDDING_CACHE", NULL, "N", "500",
     "Photos whose embeddings are remembered, so that the same bytes are not worked on again; 0 = none.",
     FIELD(embedding_cache), 0, 10000000, FRT_CONFIG_WHOLE},
    {"embedding_cache_bytes", "FRT_EMBEDDING_CACHE_BYTES", NULL, "BYTES", "32MiB",
     "Memory of these at most; units KiB, MiB, GiB.", FIELD(embedding_cache_bytes), 1024, 1ULL << 40,
     FRT_CONFIG_BYTES},
    {"embedding_cache_ttl", "FRT_EMBEDDING_CACHE_TTL", NULL, "TIME", "30min",
     "How long they are remembered; units ms, s, min, h; ms when none is given.", FIELD(embedding_cache_ttl_ms),
     1, 604800000, FRT_CONFIG_DURATION_MS},
    {"image_cache", "FRT_IMAGE_CACHE", NULL, "N", "200",
     "Photos whose frames, detections and aligned faces are remembered; 0 = none.", FIELD(image_cache), 0,
     10000000, FRT_CONFIG_WHOLE},
    {"image_cache_bytes", "FRT_IMAGE_CACHE_BYTES", NULL, "BYTES", "64MiB",
     "Memory of these at most; units KiB, MiB, GiB.", FIELD(image_cache_bytes), 1024, 1ULL << 40,
     FRT_CONFIG_BYTES},
    {"image_cache_ttl", "FRT_IMAGE_CACHE_TTL", NULL, "TIME", "15min",
     "How long they are remembered; units ms, s, min, h; ms when none is given.", FIELD(image_cache_ttl_ms), 1,
     604800000, FRT_CONFIG_DURATION_MS},
    {"index_cache", "FRT_INDEX_CACHE", NULL, "N", "50",
     "Collections whose index is held in memory; a further one takes the place of one that was not used for "
     "longest.",
     FIELD(index_cache), 1, 1000000, FRT_CONFIG_WHOLE},
    {"index_cache_bytes", "FRT_INDEX_CACHE_BYTES", NULL, "BYTES", "1024GiB",
     "Memory of these at most; units KiB, MiB, GiB. One index is held whatever its size.",
     FIELD(index_cache_bytes), 1024, 1ULL << 40, FRT_CONFIG_BYTES},
    {"index_cache_ttl", "FRT_INDEX_CACHE_TTL", NULL, "TIME", "2h",
     "How long an index is held after its last use; units ms, s, min, h; ms when none is given.",
     FIELD(index_cache_ttl_ms), 1, 604800000, FRT_CONFIG_DURATION_MS},
    {"subject_cache", "FRT_SUBJECT_CACHE", NULL, "N", "8192",
     "People whose faces a search need not read from the database again.", FIELD(subject_cache), 1, 10000000,
     FRT_CONFIG_WHOLE},
    {"subject_cache_bytes", "FRT_SUBJECT_CACHE_BYTES", NULL, "BYTES", "32MiB",
     "Memory of these at most; units KiB, MiB, GiB.", FIELD(subject_cache_bytes), 1024, 1ULL << 40,
     FRT_CONFIG_BYTES},
    {"subject_cache_ttl", "FRT_SUBJECT_CACHE_TTL", NULL, "TIME", "1h",
     "How long they are remembered; units ms, s, min, h; ms when none is given.", FIELD(subject_cache_ttl_ms),
     1, 604800000, FRT_CONFIG_DURATION_MS},
    {"redis", "FRT_REDIS", NULL, "ADDRESS", "",
     "Redis in which instances share detections, embeddings and counts of failed logins: "
     "redis://[user:password@]host[:port][/db], rediss:// over TLS, redis+unix:/path, or "
     "redis-sentinel://host[,host]/master[/db]. A password on the command line is refused, as everybody on the "
     "machine could read it. When not set: each instance keeps its own.",
     FIELD(redis), 0, 0, FRT_CONFIG_TEXT},
    {"redis_password_file", "FRT_REDIS_PASSWORD_FILE", NULL, "FILE", "",
     "File whose first line is the password of Redis; read for each connection, so that a new one needs no "
     "restart.",
     FIELD(redis_password_file), 0, 0, FRT_CONFIG_TEXT},
    {"redis_ca_file", "FRT_REDIS_CA_FILE", NULL, "FILE", "",
     "Certificates, PEM, that vouch for a rediss:// server. When not set: the system's.", FIELD(redis_ca_file),
     0, 0, FRT_CONFIG_TEXT},
    {"redis_cert_file", "FRT_REDIS_CERT_FILE", NULL, "FILE", "",
     "Our own certificate and its key in one PEM file, for a rediss:// server that asks for one.",
     FIELD(redis_cert_file), 0, 0, FRT_CONFIG_TEXT},
    {"redis_budget", "FRT_REDIS_BUDGET", NULL, "TIME", "5ms",
     "How long a request waits for Redis; then it goes on without. Units ms, s; ms when none is given.",
     FIELD(redis_budget_ms), 1, 10000, FRT_CONFIG_DURATION_MS},
    {"http_threads", "FRT_HTTP_THREADS", NULL, "N", "0",
     "Threads that read requests, write answers, and answer what is in memory already; 0 = one per core, at "
     "most "
     "4.",
     FIELD(http_threads), 0, 256, FRT_CONFIG_WHOLE},
    {"connections", "FRT_CONNECTIONS", NULL, "N", "5000",
     "Connections open at once. An idle one costs about 10 KB and a file descriptor, whose limit is raised as "
     "far as "
     "the system allows.",
     FIELD(connections), 1, 100000, FRT_CONFIG_WHOLE},
    {"trusted_proxies", "FRT_TRUSTED_PROXIES", NULL, "NETWORKS", "",
     "Proxies and load balancers whose X-Forwarded-For names the client: addresses and networks, e.g. "
     "10.0.0.0/8, ::1. When not set: nobody's; a client is the address that connects.",
     FIELD(trusted_proxies), 0, 0, FRT_CONFIG_TEXT},
    {"drain_delay", "FRT_DRAIN_DELAY", NULL, "TIME", "0",
     "How long a service that is told to stop (SIGTERM) still serves while /readyz says 503, so that load "
     "balancers notice before it stops listening; units ms, s, min; ms when none is given. With one, it also "
     "listens "
     "only once its models are loaded.",
     FIELD(drain_delay_ms), 0, 600000, FRT_CONFIG_DURATION_MS},
    {"reuse_port", "FRT_REUSE_PORT", NULL, "TRUTH", "false",
     "Let another service listen on the same address and port (SO_REUSEPORT), so that a new one takes over "
     "while "
     "the old one finishes. It listens once its models are loaded.",
     FIELD(reuse_port), 0, 0, FRT_CONFIG_TRUTH},
    {"token_lifetime", "FRT_TOKEN_LIFETIME", NULL, "TIME", "8h",
     "Time until a login's token expires; units ms, s, min, h; ms when none is given.",
     FIELD(token_lifetime_ms), 100, 2592000000, FRT_CONFIG_DURATION_MS},
    {"keep_crops", "FRT_KEEP_CROPS", NULL, "TRUTH", "false",
     "Keep a crop of each face enrolled from a photo, some 20 KB, so that 'frt migrate' can bring it to "
     "another "
     "model; it is deleted with the face.",
     FIELD(keep_crops), 0, 0, FRT_CONFIG_TRUTH},
    {"key_file", "FRT_KEY_FILE", NULL, "FILE", "",
     "File with the key that crops are sealed with: 32 bytes, or 64 hex digits. When not set: they are not "
     "sealed.",
     FIELD(key_file), 0, 0, FRT_CONFIG_TEXT},
    {"summary_interval", "FRT_SUMMARY_INTERVAL", NULL, "TIME", "10s",
     "Time between two lines in the log that sum up what the service did, while there are requests; 0 = none. "
     "Units "
     "ms, s, min, h; ms when none is given.",
     FIELD(summary_interval_ms), 0, 86400000, FRT_CONFIG_DURATION_MS},
    {"summary_idle_interval", "FRT_SUMMARY_IDLE_INTERVAL", NULL, "TIME", "60s",
     "The same while there are none.", FIELD(summary_idle_interval_ms), 0, 86400000, FRT_CONFIG_DURATION_MS},
    {"log_level", "FRT_LOG_LEVEL", NULL, "LEVEL", "info", "Least important log lines shown.", FIELD(log_level),
     0, 0, FRT_CONFIG_LEVEL},
    {"log_requests", "FRT_LOG_REQUESTS", NULL, "N", "200",
     "Requests that have a line of their own in the log, in one second at most, and 20 of failures (5xx) more; "
     "the "
     "rest is counted. At log_level debug all have one.",
     FIELD(log_requests), 0, 1000000, FRT_CONFIG_WHOLE},
    {"log_json", "FRT_LOG_JSON", NULL, "BOOL", "false", "Log lines as JSON instead of logfmt.", FIELD(log_json),
     0, 0, FRT_CONFIG_TRUTH},
};
#define N_SETTINGS (sizeof settings / sizeof *settings)

/* Variables that other parts of the program, its scripts or its tests read. */
static const char *const other_variables[] = {"FRT_CONFIG",     "FRT_SIMD",         "FRT_TEST_ASSETS",
                                              "FRT_TEST_PACK",  "FRT_KEEP_LOG",     "FRT_DEBIAN_MIRROR",
                                              "FRT_PLUGIN_DIR", "FRT_MODELS_MIRROR"};

const struct frt_config_key *frt_config_keys(size_t *count)
{
    *count = N_SETTINGS;
    return settings;
}

/* A number in the largest unit that divides it. */
static void unit_text(char out[24], uint64_t number, const char *const *units, const uint64_t *factors,
                      size_t n)
{
    size_t i = n - 1;
    while (i > 0 && (number < factors[i] || number % factors[i] != 0))
        i--;
    (void)snprintf(out, 24, "%llu%s%s", (unsigned long long)(number / factors[i]),
                   units[i][0] == '\0' ? "" : " ", units[i]);
}

const char *frt_config_range(const struct frt_config_key *key, char out[64])
{
    static const char *const bytes[] = {"B", "KiB", "MiB", "GiB"}, *const times[] = {"ms", "s", "min"},
                             *const none[] = {""};
    static const uint64_t powers[] = {1, 1ULL << 10, 1ULL << 20, 1ULL << 30}, ms[] = {1, 1000, 60000};
    const char *const *units = none;
    size_t n = 1;
    char low[24], high[24];
    out[0] = '\0';
    switch (key->kind) {
    case FRT_CONFIG_TEXT:
        return out;
    case FRT_CONFIG_LEVEL:
        (void)snprintf(out, 64, "debug, info, warn, error, off");
        return out;
    case FRT_CONFIG_TRUTH:
        (void)snprintf(out, 64, "true, false");
        return out;
    case FRT_CONFIG_BYTES:
        units = bytes;
        n = 4;
        break;
    case FRT_CONFIG_DURATION_MS:
        units = times;
        n = 3;
        break;
    case FRT_CONFIG_WHOLE:
        break;
    }
    unit_text(low, key->low, units, n == 3 ? ms : powers, n);
    unit_text(high, key->high, units, n == 3 ? ms : powers, n);
    (void)snprintf(out, 64, "%s to %s", low, high);
    return out;
}

/* --------------------------------------------------------------- values */

static enum frt_status refuse(const struct frt_config_key *s, const char *value, const char *where,
                              const char *right, struct frt_error *err)
{
    if (strstr(value, "://") != NULL && strchr(value, '@') != NULL) /* an address with a password */
        return frt_fail(err, FRT_EINVAL, "%s: %s cannot be that; %s", where, s->key, right);
    return frt_fail(err, FRT_EINVAL, "%s: %s is '%.100s'; %s", where, s->key, value, right);
}

/* Digits and a unit; false when it is anything else or does not fit. */
static bool read_scaled(const char *text, const char *const *units, const uint64_t *factors, size_t n_units,
                        uint64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    while (*end == ' ')
        end++;
    if (*end == '\0') {
        *out = number;
        return true;
    }
    for (size_t i = 0; i < n_units; i++)
        if (strcmp(end, units[i]) == 0)
            return !__builtin_mul_overflow((uint64_t)number, factors[i], out);
    return false;
}

static bool read_number(const struct frt_config_key *s, const char *text, uint64_t *out)
{
    static const char *const byte_units[] = {"B", "KiB", "MiB", "GiB", "K", "M", "G", "kB", "MB", "GB"};
    static const uint64_t byte_factors[] = {1,       1 << 10, 1 << 20, 1 << 30, 1 << 10,
                                            1 << 20, 1 << 30, 1000,    1000000, 1000000000};
    static const char *const time_units[] = {"ms", "s", "min", "h"};
    static const uint64_t time_factors[] = {1, 1000, 60000, 3600000};
    if (s->kind == FRT_CONFIG_BYTES)
        return read_scaled(text, byte_units, byte_factors, sizeof byte_units / sizeof *byte_units, out);
    if (s->kind == FRT_CONFIG_DURATION_MS)
        return read_scaled(text, time_units, time_factors, 4, out);
    return read_scaled(text, NULL, NULL, 0, out);
}

static enum frt_status set_number(const struct frt_config_key *s, void *field, const char *value,
                                  const char *where, struct frt_error *err)
{
    uint64_t number = 0;
    char right[128], range[64];
    if (!read_number(s, value, &number) || number < s->low || number > s->high) {
        (void)snprintf(right, sizeof right, "a whole number from %s is right%s", frt_config_range(s, range),
                       s->kind == FRT_CONFIG_DURATION_MS ? " (units ms, s, min, h)"
                       : s->kind == FRT_CONFIG_BYTES     ? " (units KiB, MiB, GiB)"
                                                         : "");
        return refuse(s, value, where, right, err);
    }
    if (s->size == sizeof(uint64_t)) {
        memcpy(field, &number, sizeof number);
    } else {
        uint32_t narrow = (uint32_t)number;
        memcpy(field, &narrow, sizeof narrow);
    }
    return FRT_OK;
}

static enum frt_status set_truth(const struct frt_config_key *s, void *field, const char *value,
                                 const char *where, struct frt_error *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            bool truth = strcmp(value, yes[i]) == 0;
            memcpy(field, &truth, sizeof truth);
            return FRT_OK;
        }
    }
    return refuse(s, value, where, "true or false is right", err);
}

enum frt_status frt_config_truth(const char *value, const char *where, bool *out, struct frt_error *err)
{
    static const struct frt_config_key none = {.key = "truth"};
    return set_truth(&none, out, value, where, err);
}

static enum frt_status set(struct frt_config *config, const struct frt_config_key *s, const char *value,
                           const char *where, struct frt_error *err)
{
    char *field = (char *)config + s->offset;
    enum frt_log_level level;
    switch (s->kind) {
    case FRT_CONFIG_TEXT:
        if (strlen(value) >= s->size)
            return frt_fail(err, FRT_EINVAL, "%s: %s is %zu bytes long; at most %zu fit", where, s->key,
                            strlen(value), s->size - 1);
        for (const char *p = value; *p != '\0'; p++)
            if ((unsigned char)*p < ' ' || *p == 0x7F)
                return refuse(s, s->offset == offsetof(struct frt_config, store) ? "…" : value, where,
                              "text without control characters is right", err);
        if (value[0] != '\0' && s->offset == offsetof(struct frt_config, store))
            config->database[0] = '\0'; /* of the two the later counts */
        if (value[0] != '\0' && s->offset == offsetof(struct frt_config, database))
            config->store[0] = '\0';
        memcpy(field, value, strlen(value) + 1);
        return FRT_OK;
    case FRT_CONFIG_BYTES:
    case FRT_CONFIG_WHOLE:
    case FRT_CONFIG_DURATION_MS:
        return set_number(s, field, value, where, err);
    case FRT_CONFIG_LEVEL:
        if (!frt_log_level_parse(value, &level))
            return refuse(s, value, where, "debug, info, warn, error or off is right", err);
        memcpy(field, &level, sizeof level);
        return FRT_OK;
    case FRT_CONFIG_TRUTH:
        return set_truth(s, field, value, where, err);
    }
    return FRT_EINTERNAL;
}

void frt_config_init(struct frt_config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (set(config, &settings[i], settings[i].fallback, "default", NULL) != FRT_OK)
            abort(); /* a default of the table does not fit its own range */
}

static const struct frt_config_key *find(const char *key)
{
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (strcmp(settings[i].key, key) == 0)
            return &settings[i];
    return NULL;
}

enum frt_status frt_config_set(struct frt_config *config, const char *key, const char *value, const char *where,
                               struct frt_error *err)
{
    const char *words[N_SETTINGS];
    const struct frt_config_key *s = find(key);
    if (s != NULL)
        return set(config, s, value, where, err);
    for (size_t i = 0; i < N_SETTINGS; i++)
        words[i] = settings[i].key;
    const char *near = frt_suggest(key, words, N_SETTINGS);
    return frt_fail(err, FRT_EBAD_REQUEST, "%s: unknown setting '%.100s'%s%s%s", where, key,
                    near == NULL ? "; docs/config.md lists them" : "; did you mean '", near == NULL ? "" : near,
                    near == NULL ? "" : "'?");
}

/* ----------------------------------------------------------------- file */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

/* The value without quotes or a comment behind it; NULL when a quote is not closed or text follows it. */
static char *bare_value(char *value)
{
    value = trim(value);
    if (*value == '"' || *value == '\'') {
        char *end = strchr(value + 1, *value);
        if (end == NULL)
            return NULL;
        *end = '\0';
        char *rest = trim(end + 1);
        return *rest == '\0' || *rest == '#' ? value + 1 : NULL;
    }
    for (char *p = value; *p != '\0'; p++) {
        if (*p == '#' && (p == value || isspace((unsigned char)p[-1]))) {
            *p = '\0';
            break;
        }
    }
    return trim(value);
}

static enum frt_status apply_line(struct frt_config *config, char *line, const char *where,
                                  struct frt_error *err)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return FRT_OK;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "%s: '%.60s' is no setting; 'key = value' is right", where,
                        line);
    *equals = '\0';
    char *key = trim(line), *value = bare_value(equals + 1);
    if (value == NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "%s: the quotes around the value of '%.60s' do not match", where,
                        key);
    return frt_config_set(config, key, value, where, err);
}

/* One line of a file, its end cut off, into the config. */
static enum frt_status take_line(struct frt_config *config, const char *text, size_t size, const char *where,
                                 struct frt_error *err)
{
    char line[MAX_LINE_BYTES + 1];
    if (memchr(text, '\0', size) != NULL)
        return frt_fail(err, FRT_EBAD_REQUEST, "%s: a NUL byte; a text file in UTF-8 is right", where);
    if (size > MAX_LINE_BYTES)
        return frt_fail(err, FRT_EBAD_REQUEST, "%s: the line is %zu bytes long; at most %d fit", where, size,
                        MAX_LINE_BYTES);
    memcpy(line, text, size);
    line[size] = '\0';
    return apply_line(config, line, where, err);
}

enum frt_status frt_config_load_text(struct frt_config *config, const char *text, size_t size, const char *name,
                                     struct frt_error *err)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* UTF-8's byte order mark, which Windows editors write */
    struct frt_config loaded = *config;
    const char *end = text + size;
    char where[FRT_CONFIG_TEXT_MAX + 32];
    if (size >= 3 && memcmp(text, mark, 3) == 0)
        text += 3;
    for (int number = 1; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline == NULL ? end : newline;
        (void)snprintf(where, sizeof where, "%.500s:%d", name, number);
        if (number > MAX_LINES)
            return frt_fail(err, FRT_EBAD_REQUEST, "%s: more than %d lines", where, MAX_LINES);
        enum frt_status status = take_line(&loaded, text, (size_t)(line_end - text), where, err);
        if (status != FRT_OK)
            return status;
        text = newline == NULL ? end : newline + 1;
    }
    *config = loaded;
    return FRT_OK;
}

enum frt_status frt_config_load_file(struct frt_config *config, const char *path, struct frt_error *err)
{
    struct frt_buf text;
    char piece[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "settings file %s: %s", path,
                        strerror(errno));
    frt_buf_init(&text, MAX_FILE_BYTES);
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0 && frt_buf_status(&text) == FRT_OK;)
        frt_buf_append(&text, piece, n);
    enum frt_status status = frt_buf_status(&text);
    if (ferror(file))
        status = frt_fail(err, FRT_EIO, "settings file %s: %s", path, strerror(errno));
    else if (status == FRT_EBODY_TOO_LARGE)
        status = frt_fail(err, FRT_EBAD_REQUEST, "settings file %s: more than %d bytes", path, MAX_FILE_BYTES);
    else if (status != FRT_OK)
        status = frt_fail_nomem(err, "the settings file");
    else if (text.size > 0)
        status = frt_config_load_text(config, text.data, text.size, path, err);
    (void)fclose(file);
    frt_buf_deinit(&text);
    return status;
}

/* ---------------------------------------------------------- environment */

static const struct frt_config_key *find_variable(const char *name, size_t size, bool old)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const char *variable = old ? settings[i].env_old : settings[i].env;
        if (variable != NULL && strlen(variable) == size && strncmp(variable, name, size) == 0)
            return &settings[i];
    }
    return NULL;
}

/* OMP_NUM_THREADS may be a list, a number for each level of nesting: the first is ours. */
static enum frt_status set_old(struct frt_config *config, const struct frt_config_key *s, const char *value,
                               struct frt_error *err)
{
    char first[FRT_CONFIG_TEXT_MAX];
    (void)snprintf(first, sizeof first, "%.*s", s->kind == FRT_CONFIG_WHOLE ? (int)strcspn(value, ",") : -1,
                   value);
    return set(config, s, first, s->env_old, err);
}

static enum frt_status unknown_variable(const char *name, size_t size, struct frt_error *err)
{
    const char *words[sizeof other_variables / sizeof *other_variables + N_SETTINGS];
    char given[64];
    size_t n = 0;
    for (size_t i = 0; i < sizeof other_variables / sizeof *other_variables; i++) {
        if (strlen(other_variables[i]) == size && strncmp(other_variables[i], name, size) == 0)
            return FRT_OK;
        words[n++] = other_variables[i];
    }
    for (size_t i = 0; i < N_SETTINGS; i++)
        words[n++] = settings[i].env;
    (void)snprintf(given, sizeof given, "%.*s", (int)(size < 63 ? size : 63), name);
    const char *near = frt_suggest(given, words, n);
    return frt_fail(err, FRT_EBAD_REQUEST, "environment: unknown variable %s%s%s%s", given,
                    near == NULL ? "; docs/config.md lists them" : "; did you mean ", near == NULL ? "" : near,
                    near == NULL ? "" : "?");
}

static bool is_given(char **environ_list, const char *name)
{
    const size_t n = strlen(name);
    for (; *environ_list != NULL; environ_list++) {
        if (strncmp(*environ_list, name, n) == 0 && (*environ_list)[n] == '=' && (*environ_list)[n + 1] != '\0')
            return true;
    }
    return false;
}

static enum frt_status only_one_store(char **environ_list, struct frt_error *err)
{
    return is_given(environ_list, "FRT_STORE") && is_given(environ_list, "FRT_DATABASE")
               ? frt_fail(err, FRT_EINVAL, "FRT_STORE and FRT_DATABASE both say where the store is; give one")
               : FRT_OK;
}

enum frt_status frt_config_load_env(struct frt_config *config, char **environ_list, struct frt_error *err)
{
    struct frt_config loaded = *config;
    enum frt_status status = FRT_OK;
    /* the older names first, so that ours win wherever both stand */
    for (int old = 1; old >= 0 && status == FRT_OK; old--) {
        for (char **entry = environ_list; status == FRT_OK && *entry != NULL; entry++) {
            size_t size = strcspn(*entry, "=");
            const struct frt_config_key *s = find_variable(*entry, size, old != 0);
            if (s != NULL && (*entry)[size] == '=' && (*entry)[size + 1] != '\0')
                status = old ? set_old(&loaded, s, *entry + size + 1, err)
                             : set(&loaded, s, *entry + size + 1, s->env, err);
            else if (s == NULL && old == 0 && strncmp(*entry, "FRT_", 4) == 0)
                status = unknown_variable(*entry, size, err);
        }
    }
    if (status == FRT_OK)
        status = only_one_store(environ_list, err);
    if (status == FRT_OK)
        *config = loaded;
    return status;
}
