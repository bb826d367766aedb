/* gpu_search.h and gpu_mirror.h: the device of the process, and the thread that keeps mirrors up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "index/gpu_mirror.h"

enum {
    DEFAULT_FROM = 50000,
    DEFAULT_SLAB_ROWS = 65536,
    DEFAULT_IDLE_MS = 10000,
    DEFAULT_TIMEOUT_MS = 1000,
    DEFAULT_RETRY_MS = 1000,
    MOST_RETRY_MS = 300000,
    DEFAULT_INTERVAL_MS = 200,
    DEFAULT_SLICE_BYTES = 32 << 20,
    STRIKES = 3 /* searches one after the other that were not answered in time */
};

static struct frt_gpu_search_settings settings = {.scratch_bytes = UINT64_C(512) << 20,
                                                  .from = DEFAULT_FROM,
                                                  .slab_rows = DEFAULT_SLAB_ROWS,
                                                  .idle_ms = DEFAULT_IDLE_MS,
                                                  .timeout_ms = DEFAULT_TIMEOUT_MS,
                                                  .retry_ms = DEFAULT_RETRY_MS,
                                                  .interval_ms = DEFAULT_INTERVAL_MS,
                                                  .slice_bytes = DEFAULT_SLICE_BYTES};

/* The device of the process. */
static struct {
    pthread_mutex_t making; /* one thread starts or ends the uploader at a time; taken before `lock` */
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t wake, idle;
    bool ready; /* the conditions are made */
    struct frt_mirror *mirrors;
    struct frt_mirror *busy, *victim; /* the uploader is at work on these: they stay */
    uint32_t n_mirrors;
    bool running, over, kicked;
    pthread_t thread;
    const struct frt_gpu_module *module;
    struct frt_gpu_device_ref *device; /* a reference; NULL unless up */
    enum frt_gpu_state state;
    uint64_t generation, limit_bytes, scratch_bytes;
    int64_t opened_ns, retry_ns; /* retry_ns: not before */
    uint32_t pause_ms, strikes;
    char name[96], trouble[300];
    uint64_t evictions, failures, uploaded_bytes;
} gpu = {.making = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Relaxed, all of them: counters that are read to be shown, and a hint (live) whose being late costs one search
 * that fails on the device and is done by the processor. */
static atomic_uint_fast64_t n_searches, n_fallbacks, n_uncertain, live_generation;

void frt_gpu_search_configure(const struct frt_gpu_search_settings *said)
{
    struct frt_gpu_search_settings s = *said;
    s.scratch_bytes = s.scratch_bytes == 0 ? UINT64_C(512) << 20 : s.scratch_bytes;
    s.from = s.from == 0 ? DEFAULT_FROM : s.from;
    s.slab_rows = s.slab_rows == 0 ? DEFAULT_SLAB_ROWS : s.slab_rows;
    s.idle_ms = s.idle_ms == 0 ? DEFAULT_IDLE_MS : s.idle_ms;
    s.timeout_ms = s.timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : s.timeout_ms;
    s.retry_ms = s.retry_ms == 0 ? DEFAULT_RETRY_MS : s.retry_ms;
    s.interval_ms = s.interval_ms == 0 ? DEFAULT_INTERVAL_MS : s.interval_ms;
    s.slice_bytes = s.slice_bytes == 0 ? DEFAULT_SLICE_BYTES : s.slice_bytes;
    (void)pthread_mutex_lock(&gpu.making);
    if (!gpu.running) /* else it is too late */
        settings = s;
    (void)pthread_mutex_unlock(&gpu.making);
}

const struct frt_gpu_search_settings *frt_gpu_settings(void)
{
    return &settings;
}

/* ------------------------------------------------------------------ device */

void frt_gpu_device_release(struct frt_gpu_device_ref *device)
{
    /* acq_rel: who closes it sees what all others did with it */
    if (device == NULL || atomic_fetch_sub_explicit(&device->refs, 1, memory_order_acq_rel) != 1)
        return;
    device->module->close(device->handle);
    frt_free(device);
}

struct frt_gpu_device_ref *frt_gpu_device_get(void)
{
    (void)pthread_mutex_lock(&gpu.lock);
    struct frt_gpu_device_ref *device = gpu.state == FRT_GPU_UP ? gpu.device : NULL;
    if (device != NULL) /* relaxed: `gpu` has a reference */
        atomic_fetch_add_explicit(&device->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&gpu.lock);
    return device;
}

/* It is tried again after a pause that doubles; not if it worked for much longer than that. With the lock. */
static uint32_t pause_locked(int64_t now)
{
    const int64_t well_ns = now - gpu.opened_ns;
    if (gpu.pause_ms == 0 || (gpu.opened_ns != 0 && well_ns / 1000000 > 20 * (int64_t)gpu.pause_ms))
        gpu.pause_ms = settings.retry_ms;
    else
        gpu.pause_ms = gpu.pause_ms < MOST_RETRY_MS / 2 ? gpu.pause_ms * 2 : MOST_RETRY_MS;
    gpu.retry_ns = now + (int64_t)gpu.pause_ms * 1000000;
    return gpu.pause_ms;
}

void frt_gpu_device_failed(const struct frt_gpu_device_ref *device, const char *what)
{
    uint32_t pause = 0;
    (void)pthread_mutex_lock(&gpu.lock);
    const bool news = gpu.state == FRT_GPU_UP && device->generation == gpu.generation;
    if (news) {
        gpu.state = FRT_GPU_DOWN;
        gpu.failures++;
        atomic_store_explicit(&live_generation, 0, memory_order_relaxed);
        (void)snprintf(gpu.trouble, sizeof gpu.trouble, "%s", what);
        pause = pause_locked(frt_now_ns());
        gpu.kicked = true;
        (void)pthread_cond_signal(&gpu.wake);
    }
    (void)pthread_mutex_unlock(&gpu.lock);
    if (news)
        frt_log(FRT_LOG_WARN, "gpu_search_lost", FRT_LOG_STR("error", what), FRT_LOG_INT("retry_ms", pause),
                FRT_LOG_END);
}

uint64_t frt_gpu_memory_limit(void)
{
    (void)pthread_mutex_lock(&gpu.lock);
    const uint64_t limit = gpu.limit_bytes;
    (void)pthread_mutex_unlock(&gpu.lock);
    return limit;
}

/* What is said once: that there is no plug-in, or that the device could not be opened. */
static void device_trouble(enum frt_gpu_state state, const char *text)
{
    bool news = false;
    (void)pthread_mutex_lock(&gpu.lock);
    news = strcmp(gpu.trouble, text) != 0;
    gpu.state = state;
    (void)snprintf(gpu.trouble, sizeof gpu.trouble, "%s", text);
    if (state == FRT_GPU_ABSENT)
        gpu.retry_ns = INT64_MAX;
    else
        (void)pause_locked(frt_now_ns());
    (void)pthread_mutex_unlock(&gpu.lock);
    if (news)
        frt_log(FRT_LOG_WARN, "gpu_search_unavailable", FRT_LOG_STR("error", text), FRT_LOG_END);
}

/* Open the device, or note why not. The uploader's. */
static void device_open(void)
{
    struct frt_error err = {0};
    struct frt_gpu_why why = {""};
    struct frt_gpu_facts facts = {.name = ""};
    const struct frt_gpu_open options = {settings.device, settings.scratch_bytes};
    if (gpu.module == NULL && frt_gpu_plugin_load(settings.plugin, &gpu.module, &err) != FRT_OK) {
        device_trouble(FRT_GPU_ABSENT, err.text);
        return;
    }
    struct frt_gpu_device_ref *device = frt_alloc_zero(1, sizeof *device);
    if (device == NULL) {
        device_trouble(FRT_GPU_DOWN, "no memory");
        return;
    }
    if (gpu.module->open(&options, &device->handle, &why) != FRT_GPU_OK) {
        frt_free(device);
        device_trouble(FRT_GPU_DOWN, why.text);
        return;
    }
    atomic_init(&device->refs, 1);
    device->module = gpu.module;
    if (gpu.module->facts(device->handle, &facts, &why) != FRT_GPU_OK) {
        frt_gpu_device_release(device);
        device_trouble(FRT_GPU_DOWN, why.text);
        return;
    }
    (void)pthread_mutex_lock(&gpu.lock);
    device->generation = ++gpu.generation;
    gpu.device = device;
    gpu.state = FRT_GPU_UP;
    gpu.opened_ns = frt_now_ns();
    gpu.strikes = 0;
    gpu.scratch_bytes = facts.scratch_bytes;
    gpu.limit_bytes = settings.memory_bytes != 0 ? settings.memory_bytes : facts.free_bytes / 4 * 3;
    (void)snprintf(gpu.name, sizeof gpu.name, "%s", facts.name);
    atomic_store_explicit(&live_generation, device->generation, memory_order_relaxed);
    const uint64_t limit = gpu.limit_bytes;
    (void)pthread_mutex_unlock(&gpu.lock);
    frt_log(FRT_LOG_INFO, "gpu_search", FRT_LOG_STR("device", facts.name), FRT_LOG_INT("memory_bytes", limit),
            FRT_LOG_INT("scratch_bytes", facts.scratch_bytes), FRT_LOG_END);
}

/* ---------------------------------------------------------------- uploader */

/* Is there an index that was searched and is large enough? */
static bool wanted(const struct frt_mirror *mirror)
{
    /* relaxed: seen late, it is begun late */
    if (atomic_load_explicit(&mirror->used_ns, memory_order_relaxed) == 0)
        return false;
    struct frt_view *view = frt_native_view(mirror->native);
    uint64_t live = 0;
    for (uint32_t i = 0; i < view->n; i++)
        live += frt_segment_live(view->segments[i]);
    frt_view_release(view);
    return live >= settings.from;
}

/* The mirror of that number, with `busy` set so that it stays; NULL = there are fewer. */
static struct frt_mirror *next_mirror(uint32_t number)
{
    (void)pthread_mutex_lock(&gpu.lock);
    struct frt_mirror *mirror = gpu.mirrors;
    for (uint32_t i = 0; i < number && mirror != NULL; i++)
        mirror = mirror->next;
    gpu.busy = mirror;
    (void)pthread_cond_broadcast(&gpu.idle);
    (void)pthread_mutex_unlock(&gpu.lock);
    return mirror;
}

/* The device as it is now; what is down is closed, once its last corpus has gone. True: it is up. */
static bool tend_device(bool is_wanted)
{
    struct frt_gpu_device_ref *gone = NULL;
    (void)pthread_mutex_lock(&gpu.lock);
    const bool open = is_wanted && gpu.state != FRT_GPU_UP && frt_now_ns() >= gpu.retry_ns;
    if (gpu.state != FRT_GPU_UP) {
        gone = gpu.device;
        gpu.device = NULL;
    }
    (void)pthread_mutex_unlock(&gpu.lock);
    frt_gpu_device_release(gone);
    if (open)
        device_open();
    (void)pthread_mutex_lock(&gpu.lock);
    const bool up = gpu.state == FRT_GPU_UP;
    (void)pthread_mutex_unlock(&gpu.lock);
    return up;
}

static void pause_until_kicked(void)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    const int64_t ns = end.tv_nsec + (int64_t)settings.interval_ms * 1000000;
    end.tv_sec += (time_t)(ns / 1000000000);
    end.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_mutex_lock(&gpu.lock);
    if (!gpu.over && !gpu.kicked)
        (void)pthread_cond_timedwait(&gpu.wake, &gpu.lock, &end);
    gpu.kicked = false;
    (void)pthread_mutex_unlock(&gpu.lock);
}

static bool is_over(void)
{
    (void)pthread_mutex_lock(&gpu.lock);
    const bool over = gpu.over;
    (void)pthread_mutex_unlock(&gpu.lock);
    return over;
}

static void *upload(void *arg)
{
    (void)arg;
    while (!is_over()) {
        bool more = false, any = false;
        struct frt_mirror *mirror = NULL;
        for (uint32_t i = 0; (mirror = next_mirror(i)) != NULL; i++)
            any = wanted(mirror) || any;
        (void)tend_device(any);
        for (uint32_t i = 0; (mirror = next_mirror(i)) != NULL && !is_over(); i++)
            more = frt_mirror_step(mirror) || more;
        (void)next_mirror(UINT32_MAX); /* busy with none */
        if (!more)
            pause_until_kicked();
    }
    return NULL;
}

/* With `making`. */
static void uploader_start(void)
{
    pthread_condattr_t monotonic;
    if (!gpu.ready) {
        (void)pthread_condattr_init(&monotonic);
        (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&gpu.wake, &monotonic);
        (void)pthread_cond_init(&gpu.idle, &monotonic);
        (void)pthread_condattr_destroy(&monotonic);
        gpu.ready = true;
    }
    if (!gpu.running) {
        gpu.over = false;
        gpu.running =
            pthread_create(&gpu.thread, NULL, upload, NULL) == 0; /* without it all is the processor's */
    }
}

/* With `making`; there are no mirrors any more. */
static void uploader_end(void)
{
    if (gpu.running) {
        (void)pthread_mutex_lock(&gpu.lock);
        gpu.over = true;
        (void)pthread_cond_signal(&gpu.wake);
        (void)pthread_mutex_unlock(&gpu.lock);
        (void)pthread_join(gpu.thread, NULL);
        gpu.running = false;
    }
    (void)pthread_mutex_lock(&gpu.lock);
    struct frt_gpu_device_ref *device = gpu.device;
    gpu.device = NULL;
    gpu.state = FRT_GPU_UNUSED;
    gpu.module = NULL; /* it stays loaded; another may be named */
    gpu.retry_ns = gpu.opened_ns = 0;
    gpu.pause_ms = 0;
    gpu.trouble[0] = '\0';
    atomic_store_explicit(&live_generation, 0, memory_order_relaxed);
    (void)pthread_mutex_unlock(&gpu.lock);
    frt_gpu_device_release(device);
}

/* ----------------------------------------------------------------- mirrors */

enum frt_status frt_mirror_new(struct frt_native *native, struct frt_mirror **out, struct frt_error *err)
{
    struct frt_mirror *mirror = frt_alloc_zero(1, sizeof *mirror);
    if (mirror == NULL)
        return frt_fail_nomem(err, "a mirror of an index");
    mirror->native = native;
    (void)pthread_mutex_init(&mirror->lock, NULL);
    (void)pthread_mutex_lock(&gpu.making);
    (void)pthread_mutex_lock(&gpu.lock);
    mirror->next = gpu.mirrors;
    gpu.mirrors = mirror;
    gpu.n_mirrors++;
    (void)pthread_mutex_unlock(&gpu.lock);
    uploader_start();
    (void)pthread_mutex_unlock(&gpu.making);
    *out = mirror;
    return FRT_OK;
}

void frt_mirror_free(struct frt_mirror *mirror)
{
    if (mirror == NULL)
        return;
    (void)pthread_mutex_lock(&gpu.making);
    (void)pthread_mutex_lock(&gpu.lock);
    struct frt_mirror **at = &gpu.mirrors;
    while (*at != mirror)
        at = &(*at)->next;
    *at = mirror->next;
    gpu.n_mirrors--;
    while (gpu.busy == mirror || gpu.victim == mirror) /* a slice's time, which the plug-in bounds */
        (void)pthread_cond_wait(&gpu.idle, &gpu.lock);
    const bool last = gpu.mirrors == NULL;
    (void)pthread_mutex_unlock(&gpu.lock);
    frt_mirror_drop(mirror);
    if (last)
        uploader_end();
    (void)pthread_mutex_unlock(&gpu.making);
    (void)pthread_mutex_destroy(&mirror->lock);
    frt_free(mirror);
}

struct frt_gpu_corpus_ref *frt_mirror_begin(struct frt_mirror *mirror)
{
    /* relaxed: for choosing whom to drop; and a first use is seen at the next look */
    const int64_t before = atomic_exchange_explicit(&mirror->used_ns, frt_now_ns(), memory_order_relaxed);
    if (before == 0) {
        (void)pthread_mutex_lock(&gpu.lock);
        gpu.kicked = true;
        if (gpu.ready)
            (void)pthread_cond_signal(&gpu.wake);
        (void)pthread_mutex_unlock(&gpu.lock);
    }
    (void)pthread_mutex_lock(&mirror->lock);
    struct frt_gpu_corpus_ref *corpus = mirror->corpus;
    if (corpus != NULL &&
        corpus->device->generation != atomic_load_explicit(&live_generation, memory_order_relaxed))
        corpus = NULL;
    if (corpus != NULL) /* relaxed: the mirror has a reference */
        atomic_fetch_add_explicit(&corpus->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&mirror->lock);
    return corpus;
}

/* Searches that are late one after the other: the device hangs. */
static bool too_late(bool late)
{
    (void)pthread_mutex_lock(&gpu.lock);
    gpu.strikes = late ? gpu.strikes + 1 : 0;
    const bool too = gpu.strikes >= STRIKES;
    (void)pthread_mutex_unlock(&gpu.lock);
    return too;
}

bool frt_mirror_search(struct frt_gpu_corpus_ref *corpus, struct frt_gpu_search *search)
{
    struct frt_gpu_why why = {""};
    search->timeout_ms = settings.timeout_ms;
    const enum frt_gpu_result result = corpus->device->module->search(corpus->handle, search, &why);
    if (result == FRT_GPU_OK) {
        (void)too_late(false);
        return true;
    }
    atomic_fetch_add_explicit(&n_fallbacks, 1, memory_order_relaxed);
    if (result == FRT_GPU_TIMEOUT && too_late(true))
        frt_gpu_device_failed(corpus->device, why.text);
    else if (result == FRT_GPU_LOST || result == FRT_GPU_NONE)
        frt_gpu_device_failed(corpus->device, why.text);
    return false;
}

void frt_mirror_count(uint32_t uncertain)
{
    atomic_fetch_add_explicit(&n_searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&n_uncertain, uncertain, memory_order_relaxed);
}

void frt_mirror_distrust(const struct frt_gpu_corpus_ref *corpus, const char *what)
{
    atomic_fetch_add_explicit(&n_fallbacks, 1, memory_order_relaxed);
    frt_gpu_device_failed(corpus->device, what);
}

/* ------------------------------------------------------------------ memory */

uint64_t frt_gpu_memory_used(void)
{
    uint64_t sum = 0;
    (void)pthread_mutex_lock(&gpu.lock);
    for (const struct frt_mirror *m = gpu.mirrors; m != NULL; m = m->next)
        sum += atomic_load_explicit(&m->bytes, memory_order_relaxed);
    (void)pthread_mutex_unlock(&gpu.lock);
    return sum;
}

struct frt_mirror *frt_gpu_least_used(const struct frt_mirror *other_than)
{
    struct frt_mirror *least = NULL;
    (void)pthread_mutex_lock(&gpu.lock);
    for (struct frt_mirror *m = gpu.mirrors; m != NULL; m = m->next) {
        if (m != other_than && atomic_load_explicit(&m->bytes, memory_order_relaxed) > 0 &&
            (least == NULL || atomic_load_explicit(&m->used_ns, memory_order_relaxed) <
                                  atomic_load_explicit(&least->used_ns, memory_order_relaxed)))
            least = m;
    }
    gpu.victim = least;
    (void)pthread_mutex_unlock(&gpu.lock);
    return least;
}

void frt_gpu_least_used_done(bool evicted)
{
    (void)pthread_mutex_lock(&gpu.lock);
    gpu.victim = NULL;
    gpu.evictions += evicted;
    (void)pthread_cond_broadcast(&gpu.idle);
    (void)pthread_mutex_unlock(&gpu.lock);
}

void frt_gpu_count_upload(uint64_t bytes)
{
    (void)pthread_mutex_lock(&gpu.lock);
    gpu.uploaded_bytes += bytes;
    (void)pthread_mutex_unlock(&gpu.lock);
}

/* ------------------------------------------------------------------- stats */

void frt_gpu_search_stats_get(struct frt_gpu_search_stats *out)
{
    struct frt_gpu_search_stats s = {.searches = atomic_load_explicit(&n_searches, memory_order_relaxed),
                                     .fallbacks = atomic_load_explicit(&n_fallbacks, memory_order_relaxed),
                                     .uncertain = atomic_load_explicit(&n_uncertain, memory_order_relaxed)};
    (void)pthread_mutex_lock(&gpu.lock);
    s.state = gpu.state;
    memcpy(s.device, gpu.name, sizeof s.device);
    memcpy(s.trouble, gpu.trouble, sizeof s.trouble);
    s.limit_bytes = gpu.limit_bytes;
    s.scratch_bytes = gpu.state == FRT_GPU_UP ? gpu.scratch_bytes : 0;
    s.mirrors = gpu.n_mirrors;
    s.evictions = gpu.evictions;
    s.failures = gpu.failures;
    s.uploaded_bytes = gpu.uploaded_bytes;
    for (const struct frt_mirror *m = gpu.mirrors; m != NULL; m = m->next) {
        const uint64_t bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
        s.bytes += bytes;
        s.resident += bytes > 0;
    }
    (void)pthread_mutex_unlock(&gpu.lock);
    *out = s;
}

enum frt_status frt_gpu_search_probe(char name[96], struct frt_error *err)
{
    const struct frt_gpu_module *module = NULL;
    const struct frt_gpu_open options = {settings.device, settings.scratch_bytes};
    struct frt_gpu_device *device = NULL;
    struct frt_gpu_facts facts = {.name = ""};
    struct frt_gpu_why why = {""};
    enum frt_status status = frt_gpu_plugin_load(settings.plugin, &module, err);
    if (status != FRT_OK)
        return status;
    enum frt_gpu_result result = module->open(&options, &device, &why);
    if (result == FRT_GPU_OK)
        result = module->facts(device, &facts, &why);
    if (device != NULL)
        module->close(device);
    if (result != FRT_GPU_OK)
        return frt_fail(err, FRT_EUNAVAILABLE, "searches on a GPU: %s", why.text);
    memcpy(name, facts.name, sizeof facts.name);
    return FRT_OK;
}
