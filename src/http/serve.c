/*
 * The service's life: bind, load the models, serve, drain, stop.
 *
 * Signals are blocked in every thread and waited for here: the first SIGTERM or SIGINT ends the
 * service, a second one ends what it waits for. SIGHUP loads the configured pack anew.
 *
 *     ready ─ SIGTERM ─→ leaving ─ drain_delay ─→ draining ─ nothing under way ─→ stopped
 *
 * leaving   /readyz says 503 and everything is served: load balancers go elsewhere.
 * draining  nobody new is heard; requests of connections that stand are served, and each answer ends its
 *           connection.
 */
#include "http/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/config_older.h"
#include "core/notify.h"
#include "engine/devices.h"
#include "engine/pack_locate.h"
#include "engine/shared.h"
#include "engine/sizes.h"
#include "http/listen_address.h"
#include "http/login_limit.h"
#include "http/metrics_sources.h"
#include "http/reload.h"
#include "http/seq_gate.h"
#include "http/server.h"
#include "http/summary.h"

enum {
    TICK_MS = 500,
    DRAIN_TICK_MS = 10,
    QUIET_MS =
        250, /* a connection that was used so lately may bring another request before it learns of the end */
    OTHER_DESCRIPTORS = 256,
    LOGIN_THREADS = 2, /* 64 MiB and a core each */
    LOGIN_QUEUE = 32
};

static void explain(void *arg, const char *name, const char *meaning)
{
    (void)arg;
    frt_log(FRT_LOG_INFO, "variable of the older service", FRT_LOG_STR("name", name),
            FRT_LOG_STR("here", meaning), FRT_LOG_END);
}

/* --data-dir names the database's folder, too, unless --database or --store says where it is; and that of the
 * indexes of a server's collections. */
static enum frt_status locate_database(struct http_service *service, struct frt_error *err)
{
    const struct frt_config *config = service->config;
    const char *said = config->store[0] != '\0' ? config->store : config->database;
    if (config->data_dir[0] != '\0' && frt_database_is_server(said))
        (void)snprintf(service->index_folder, sizeof service->index_folder, "%s/postgresql.index",
                       config->data_dir);
    if (said[0] != '\0' || config->data_dir[0] == '\0')
        return frt_database_locate(said, service->database, err);
    (void)snprintf(service->database, sizeof service->database, "%s/frt.db", config->data_dir);
    return FRT_OK;
}

/* The signal that came within the time, 0 for none. */
static int wait_signal(const sigset_t *signals, int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    int number = sigtimedwait(signals, NULL, &t);
    return number > 0 ? number : 0;
}

static enum frt_status open_models(struct http_service *service, struct frt_error *err)
{
    struct frt_pack_loaded loaded;
    enum frt_status status = http_reload(service, NULL, &loaded, err);
    if (status == FRT_OK)
        atomic_store(&service->state, HTTP_READY);
    return status;
}

static void log_sizes(const struct frt_sizes *sizes)
{
    char cores[128];
    frt_log(FRT_LOG_INFO, "sizes", FRT_LOG_STR("cores", frt_sizes_cores_text(sizes, cores, sizeof cores)),
            FRT_LOG_INT("workers", sizes->workers), FRT_LOG_INT("http_threads", sizes->http_threads),
            FRT_LOG_INT("image", sizes->stages.image), FRT_LOG_INT("detect", sizes->stages.detect),
            FRT_LOG_INT("recognize", sizes->stages.recognize), FRT_LOG_INT("store", sizes->stages.store),
            FRT_LOG_INT("threads", sizes->threads), FRT_LOG_END);
}

/* Where TensorRT keeps what it builds; NULL: nowhere. Returns `out`. */
static const char *locate_device_cache(const struct http_service *service, char out[FRT_LOCATE_PATH_MAX])
{
    const struct frt_config *config = service->config;
    const char *slash = strrchr(service->database, '/');
    if (strncasecmp(config->device, "tensorrt", strlen("tensorrt")) != 0)
        return NULL;
    if (config->device_cache[0] != '\0')
        (void)snprintf(out, FRT_LOCATE_PATH_MAX, "%s", config->device_cache);
    else if (config->data_dir[0] != '\0')
        (void)snprintf(out, FRT_LOCATE_PATH_MAX, "%.*s/engines", FRT_LOCATE_PATH_MAX - 16, config->data_dir);
    else if (slash != NULL)
        (void)snprintf(out, FRT_LOCATE_PATH_MAX, "%.*s/engines", (int)(slash - service->database),
                       service->database);
    else
        return NULL;
    return mkdir(out, 0700) == 0 || errno == EEXIST ? out : NULL;
}

/* Everything but the models, which take a while. */
static enum frt_status open_parts(struct http_service *service, struct frt_error *err)
{
    const struct frt_config *config = service->config;
    struct frt_sizes sizes;
    char cache[FRT_LOCATE_PATH_MAX];
    frt_sizes_decide(config, &sizes);
    log_sizes(&sizes);
    frt_random_bytes(service->client_key, sizeof service->client_key);
    service->http_threads = sizes.http_threads;
    const struct frt_infer_server server = {.address = config->infer,
                                            .models = config->infer_models,
                                            .ca_file = config->infer_ca,
                                            .token_file = config->infer_token_file,
                                            .timeout_ms = config->infer_timeout_ms,
                                            .connect_timeout_ms = config->infer_connect_timeout_ms,
                                            .connections = config->infer_connections,
                                            .retries = config->infer_retries == 0 ? UINT32_MAX
                                                                                  : config->infer_retries};
    struct frt_context_options context = {
        .threads = config->threads,
        .runtime_path = config->runtime[0] == '\0' ? NULL : config->runtime,
        .max_pixels = config->max_image_pixels,
        .max_side_px = config->max_image_side_px,
        .embedding_cache = {config->embedding_cache, config->embedding_cache_bytes,
                            config->embedding_cache_ttl_ms},
        .image_cache = {config->image_cache, config->image_cache_bytes, config->image_cache_ttl_ms},
        .stages = &sizes.stages,
        .infer = &server,

        .device = config->device,
        .gpu_memory_limit_bytes = config->gpu_memory_limit_bytes,
        .device_precision = config->device_precision};
    const struct frt_access_options access = {.database = service->database,
                                              .token_lifetime_ms = config->token_lifetime_ms};
    const struct frt_gallery_options gallery = {
        .path = service->database,
        .index_folder = service->index_folder,
        .engine = config->index_engine[0] == '\0' ? NULL : config->index_engine,
        .gpu_search = {config->gpu_search_device, config->gpu_search_memory, config->gpu_search_scratch,
                       config->gpu_search_from},
        .threads = config->threads != 0 ? config->threads : sizes.stages.cores,
        .index_cache = {config->index_cache, config->index_cache_bytes, config->index_cache_ttl_ms},
        .subject_cache = {config->subject_cache, config->subject_cache_bytes, config->subject_cache_ttl_ms},
        .background = true,
        .keep_crops = config->keep_crops ? FRT_KEEP_CROPS_YES : FRT_KEEP_CROPS_NO,
        .key_file = config->key_file,
        .readers = config->store_workers > 1 ? config->store_workers - 1 : 1}; /* beside the one that writes */
    const struct {
        uint32_t threads, queue;
    } pools[HTTP_POOLS] = {[HTTP_WORKERS] = {sizes.workers, config->queue},
                           [HTTP_STORE] = {sizes.stages.store, config->connections},
                           [HTTP_LOGINS] = {LOGIN_THREADS, LOGIN_QUEUE}};
    enum frt_status status = FRT_OK;
    if (config->model_api && frt_infer_server_is_named(&server))
        status = frt_fail(
            err, FRT_EINVAL,
            "model_api and infer exclude each other: a service that computes for others does so itself "
            "(two that sent each other their work would never be done)");
    if (status == FRT_OK)
        status = locate_database(service, err);
    if (status == FRT_OK)
        status = frt_metrics_new(&frt_clock_system, &service->metrics, err);
    if (status == FRT_OK)
        status = frt_pack_swap_new(&service->packs, err);
    if (status == FRT_OK)
        status = frt_access_open(&access, &service->access, err);
    if (status == FRT_OK)
        status = http_login_limit_new(&frt_clock_system, &service->logins, err);
    if (status == FRT_OK)
        status = frt_gallery_open(&gallery, &service->gallery, err);
    context.device_cache = status == FRT_OK ? locate_device_cache(service, cache) : NULL;
    if (status == FRT_OK)
        status = http_seq_gate_new(service->gallery, &service->gate, err);
    if (status == FRT_OK)
        status = frt_context_new(&context, &service->context, err);
    if (status == FRT_OK)
        status = frt_shared_open(config, service->access, service->context, &service->shared, err);
    if (status == FRT_OK)
        http_login_limit_share(service->logins, service->shared);
    for (int i = HTTP_WORKERS; i < HTTP_POOLS && status == FRT_OK; i++)
        status = frt_worker_pool_new(pools[i].threads, pools[i].queue, &service->pools[i], err);
    if (status == FRT_OK)
        service->metrics->pool = service->pools[HTTP_WORKERS];
    if (status == FRT_OK)
        http_metrics_connect(service);
    struct frt_backend_state state;
    if (status == FRT_OK && frt_backend_states(service->context->backend, &state, 1) > 0)
        service->metrics->gpu_limit_bytes = config->gpu_memory_limit_bytes;
    return status;
}

static void close_parts(struct http_service *service)
{
    for (int i = 0; i < HTTP_POOLS; i++)
        frt_worker_pool_free(service->pools[i]);
    frt_pack_swap_free(service->packs);
    frt_context_free(service->context);
    frt_shared_cache_free(service->shared);
    http_login_limit_free(service->logins);
    http_seq_gate_free(service->gate);
    frt_gallery_close(service->gallery);
    frt_access_close(service->access);
    if (service->metrics != NULL)
        frt_gpu_close(atomic_load(&service->metrics->gpu));
    frt_metrics_free(service->metrics);
}

/* A connection is a descriptor; beside them the database's, the models' and the log's. */
static void raise_descriptor_limit(const struct frt_config *config)
{
    struct rlimit limit;
    const rlim_t wanted = (rlim_t)config->connections + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        frt_log(FRT_LOG_WARN, "few descriptors", FRT_LOG_INT("limit", limit.rlim_cur),
                FRT_LOG_INT("wanted", wanted), FRT_LOG_INT("connections", config->connections),
                FRT_LOG_STR("do", "raise the hard limit of open files (ulimit -Hn, LimitNOFILE=), or lower "
                                  "'connections'"),
                FRT_LOG_END);
}

/* Returns the signal that ends it. */
static int run(struct http_service *service, struct http_server *server, struct http_summary *summary,
               const sigset_t *signals)
{
    struct http_reloader reloader = {.service = service};
    const int64_t watchdog_ms = frt_notify_watchdog_ms();
    int64_t fed = frt_now_ns();
    int signal = 0;
    while (signal == 0 || signal == SIGHUP) {
        signal = wait_signal(signals, TICK_MS);
        if (signal == SIGHUP)
            http_reloader_ask(&reloader);
        http_reloader_tick(&reloader);
        (void)frt_pack_swap_sweep(service->packs);
        http_server_reap(server);
        http_seq_gate_expire(service->gate);
        frt_context_expire(service->context); /* an idle service gives memory back, too */
        http_summary_tick(summary);
        /* last in the round: a lock that never comes free above leaves the manager's watchdog unfed */
        if (watchdog_ms > 0 && frt_elapsed_ms(fed) >= (double)watchdog_ms / 2) {
            (void)frt_notify("WATCHDOG=1");
            fed = frt_now_ns();
        }
    }
    http_reloader_end(&reloader);
    return signal;
}

/* Once requests are served: a driver that sleeps takes a second to answer. */
static void look_for_gpu(const struct http_service *service)
{
    struct frt_metrics *metrics = service->metrics;
    struct frt_device device = {FRT_DEVICE_CPU, 0};
    struct frt_gpu_reading reading;
    if (frt_device_parse(service->config->device, &device, NULL) != FRT_OK)
        device.index = 0;
    struct frt_gpu *gpu = frt_gpu_open(NULL, device.index);
    if (gpu != NULL && frt_gpu_read(gpu, &reading))
        frt_log(FRT_LOG_INFO, "gpu", FRT_LOG_STR("name", reading.name),
                FRT_LOG_INT("memory_total_bytes", reading.memory_total_bytes),
                FRT_LOG_INT("memory_used_bytes", reading.memory_used_bytes), FRT_LOG_END);
    atomic_store(&metrics->gpu, gpu);
}

/* Until the time is over, or a signal comes that means it. */
static bool wait_for_stop(struct http_service *service, struct http_server *server, const sigset_t *signals,
                          uint32_t ms, bool (*go_on)(struct http_server *server))
{
    const int64_t start = frt_now_ns();
    while (frt_elapsed_ms(start) < ms && go_on(server)) {
        const int again = wait_signal(signals, DRAIN_TICK_MS);
        if (again != 0 && again != SIGHUP)
            return false;
        http_server_reap(server);
        http_seq_gate_expire(service->gate);
    }
    return true;
}

static bool always(struct http_server *server)
{
    (void)server;
    return true;
}

static bool busy(struct http_server *server)
{
    return http_server_busy(server, QUIET_MS);
}

/* Told to stop. A terminal's SIGINT is in a hurry: there is no load balancer behind it. */
static void drain(struct http_service *service, struct http_server *server, const sigset_t *signals, int signal)
{
    const struct frt_config *config = service->config;
    atomic_store(&service->state, HTTP_LEAVING);
    (void)frt_notify("STOPPING=1\nSTATUS=finishing the requests in flight");
    if (signal == SIGTERM && config->drain_delay_ms > 0) {
        frt_log(FRT_LOG_INFO, "leaving", FRT_LOG_INT("drain_delay_ms", config->drain_delay_ms), FRT_LOG_END);
        (void)wait_for_stop(service, server, signals, config->drain_delay_ms, always);
    }
    frt_log(FRT_LOG_INFO, "stopping", FRT_LOG_INT("in_flight", http_server_in_flight(server)), FRT_LOG_END);
    atomic_store(&service->state, HTTP_DRAINING);
    http_server_quiesce(server);
    if (!wait_for_stop(service, server, signals, config->request_timeout_ms + 1000, busy) || busy(server))
        http_server_cancel(server);
}

enum frt_status frt_http_serve(const struct frt_config *config, struct frt_error *err)
{
    struct http_service service = {.config = config};
    struct http_server *server = NULL;
    struct http_summary *summary = NULL;
    sigset_t signals, before;
    enum frt_status status;
    bool credentials = false;
    int64_t start = frt_now_ns();

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &before); /* threads started from here on inherit it */

    frt_config_older_explain(environ, explain, NULL);
    raise_descriptor_limit(config);
    status = open_parts(&service, err);
    if (status == FRT_OK)
        status = http_summary_new(&service, &summary, err);
    /* who takes over from another service, or stands behind a balancer that may not have noticed that it was
     * away, listens when it can serve; else /readyz tells of the start */
    const bool takes_over = config->reuse_port || config->drain_delay_ms > 0 || http_listen_is_inherited();
    if (status == FRT_OK && takes_over)
        status = open_models(&service, err);
    if (status == FRT_OK)
        status = http_server_start(&service, &server, err);
    if (status == FRT_OK)
        frt_log(FRT_LOG_INFO, "listening", FRT_LOG_STR("url", http_server_url(server)), FRT_LOG_END);
    if (status == FRT_OK && !takes_over)
        status = open_models(&service, err);
    if (status == FRT_OK)
        status = frt_access_configured(service.access, &credentials, err);
    if (status == FRT_OK) {
        frt_log(FRT_LOG_INFO, "ready", FRT_LOG_STR("url", http_server_url(server)),
                FRT_LOG_NUM("ms", frt_elapsed_ms(start)),
                FRT_LOG_STR("access", credentials ? "with credentials"
                                                  : "open, loopback only: no credentials are configured"),
                FRT_LOG_END);
        (void)frt_notify("READY=1\nSTATUS=serving");
        look_for_gpu(&service);
        drain(&service, server, &signals, run(&service, server, summary, &signals));
        http_summary_last(summary);
    }
    if (service.gate != NULL)
        http_seq_gate_close(service.gate);
    for (int i = 0; i < HTTP_POOLS; i++)
        frt_worker_pool_stop(service.pools[i]); /* runs what still waits; answers are resumed, not lost */
    http_server_stop(server);
    http_summary_free(summary);
    close_parts(&service);
    if (status == FRT_OK)
        frt_log(FRT_LOG_INFO, "stopped", FRT_LOG_NUM("uptime_s", frt_elapsed_ms(start) / 1000), FRT_LOG_END);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
