/* frt doctor: is everything here that FRT needs, and if not, what to do. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/json_write.h"
#include "engine/access.h"
#include "engine/context.h"
#include "engine/devices.h"
#include "engine/gallery_gpu.h"
#include "engine/pack_locate.h"
#include "engine/shared.h"
#include "engine/sizes.h"
#include "frt/gallery.h"
#include "model/fetch.h"
#include "model/pack_files.h"
#include "simd/cpu.h"

enum { MAX_OUTPUT_BYTES = 1 << 20, MAX_CHECKS = 24, MIN_FILES = 1024 };

#define MIN_MEMORY_BYTES (512ULL << 20)
#define MIN_DISK_BYTES (256ULL << 20)

enum verdict { GOOD = 0, WARN, BAD };

struct check {
    const char *name;
    enum verdict verdict;
    char found[FRT_ERROR_TEXT_MAX];
    char mend[256];
};

struct checks {
    struct check list[MAX_CHECKS];
    size_t n;
};

static struct check *add(struct checks *c, const char *name, enum verdict verdict)
{
    struct check *check = &c->list[c->n < MAX_CHECKS - 1 ? c->n++ : c->n];
    check->name = name;
    check->verdict = verdict;
    return check;
}

static void say(char *out, size_t size, const char *fmt, ...) FRT_PRINTF(3, 4);

/* Texts are cut when they do not fit: they are for people. */
static void say(char *out, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(out, size, fmt, args);
    va_end(args);
}

#define SAY(field, ...) say((field), sizeof(field), __VA_ARGS__)

static void check_processor(struct checks *c)
{
    enum frt_simd_tier has = frt_simd_tier_detected(), uses = frt_simd_tier_active();
    struct check *check = add(c, "processor", uses == has ? GOOD : WARN);
    SAY(check->found, "%ld cores, %s%s%s", sysconf(_SC_NPROCESSORS_ONLN), frt_simd_tier_name(has),
        uses == has ? "" : ", limited to ", uses == has ? "" : frt_simd_tier_name(uses));
    if (uses != has)
        SAY(check->mend, "unset FRT_SIMD for full speed");
    if (has == FRT_SIMD_SCALAR || has == FRT_SIMD_SSE2) {
        check->verdict = WARN;
        SAY(check->mend, "no AVX2 here: everything works, more slowly");
    }
}

/* What the service makes of the cores and the settings. */
static void check_sizes(struct checks *c, const struct frt_config *config)
{
    struct frt_sizes sizes;
    char cores[128];
    frt_sizes_decide(config, &sizes);
    bool more = sizes.stages.cores > sizes.found.usable;
    struct check *check = add(c, "cores", more ? WARN : GOOD);
    SAY(check->found, "%s; %u requests, %u detections and %u recognitions at once, %u thread%s an inference",
        frt_sizes_cores_text(&sizes, cores, sizeof cores), sizes.workers, sizes.stages.detect,
        sizes.stages.recognize, sizes.threads, sizes.threads == 1 ? "" : "s");
    if (more)
        SAY(check->mend,
            "'cores' (FRT_CORES) is more than the process may use: threads will wait for each other");
}

/* Memory the process may use: the machine's, or the control group's limit when that is less. */
static unsigned long long memory_limit(void)
{
    struct sysinfo info = {0};
    unsigned long long limit = ~0ULL, group;
    if (sysinfo(&info) == 0)
        limit = (unsigned long long)info.totalram * info.mem_unit;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");
    if (f != NULL) {
        if (fscanf(f, "%llu", &group) == 1 && group < limit)
            limit = group;
        (void)fclose(f);
    }
    return limit;
}

static void check_limits(struct checks *c)
{
    struct rlimit files = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    struct check *check = add(c, "open files", files.rlim_cur >= MIN_FILES ? GOOD : WARN);
    SAY(check->found, "at most %llu", (unsigned long long)files.rlim_cur);
    if (files.rlim_cur < MIN_FILES)
        SAY(check->mend, "raise it to %d or more: ulimit -n %d, or LimitNOFILE= in the systemd unit", MIN_FILES,
            MIN_FILES);
    unsigned long long memory = memory_limit();
    check = add(c, "memory", memory >= MIN_MEMORY_BYTES ? GOOD : WARN);
    SAY(check->found, "%llu MiB", memory >> 20);
    if (memory < MIN_MEMORY_BYTES)
        SAY(check->mend, "give it %llu MiB or more: the default pack needs about 200", MIN_MEMORY_BYTES >> 20);
}

static struct frt_context *check_runtime(struct checks *c, const struct frt_config *config)
{
    struct frt_context *context = NULL;
    struct frt_error err = {0};
    struct frt_context_options options = {.threads = 1,
                                          .runtime_path = config->runtime[0] == '\0' ? NULL : config->runtime,
                                          .device = config->device,
                                          .gpu_memory_limit_bytes = config->gpu_memory_limit_bytes,
                                          .device_precision = config->device_precision};
    enum frt_status status = frt_context_new(&options, &context, &err);
    struct check *check = add(c, "inference runtime", status == FRT_OK ? GOOD : BAD);
    if (status == FRT_OK) {
        SAY(check->found, "ONNX Runtime %s", context->backend->ops->version(context->backend));
    } else {
        SAY(check->found, "%s", err.text);
        SAY(check->mend, "%s",
            status == FRT_EINVAL
                ? "'device' (FRT_DEVICE, --device) or 'device_precision' names it: correct or unset it"
            : config->runtime[0] != '\0'
                ? "'runtime' (FRT_RUNTIME, --runtime) names this file: correct or unset it"
                : "run 'make setup' in the source tree, install libonnxruntime, or set FRT_RUNTIME");
    }
    return context;
}

struct device_check {
    struct checks *checks;
    const char *wanted;
    char usable[128];
};

static void tell_device(void *arg, const char *name, bool usable, const char *why)
{
    struct device_check *d = arg;
    const size_t used = strlen(d->usable);
    if (usable)
        (void)snprintf(d->usable + used, sizeof d->usable - used, ", %s", name);
    else if (strncasecmp(d->wanted, name, strlen(name)) == 0)
        SAY(add(d->checks, "device", WARN)->found, "%s", why);
}

/* Whether what computes is there; that it works is told by opening the models for it. */
static void check_device(struct checks *c, const struct frt_config *config, const struct frt_context *context)
{
    struct device_check d = {.checks = c, .wanted = config->device};
    struct frt_backend_state state;
    if (context == NULL)
        return;
    const size_t before = c->n;
    frt_devices_each(config->runtime[0] == '\0' ? NULL : config->runtime, tell_device, &d);
    if (c->n > before) {
        SAY(c->list[before].mend,
            "the CPU serves until it is there; docs/accelerators.md tells what each device takes");
        return;
    }
    const size_t n = frt_backend_states(context->backend, &state, 1);
    const bool down = n > 0 && strcmp(state.state, "up") != 0;
    struct check *check = add(c, "device", down ? WARN : GOOD);
    SAY(check->found, "%s serves (%s is set); here: cpu%s%s%s", n > 0 ? state.serving : "cpu", config->device,
        d.usable, down ? "; " : "", down ? state.cause : "");
    if (down)
        SAY(check->mend, "the CPU serves until it answers; docs/accelerators.md tells what each device takes");
}

static void check_formats(struct checks *c)
{
    /* The smallest thing that is named AVIF: what matters is whether it is refused as unsupported. */
    static const uint8_t avif[] = "\0\0\0\x18"
                                  "ftypavif\0\0\0\0avifmif1";
    struct frt_image *image = NULL;
    struct frt_error err = {0};
    bool heif = frt_image_open(NULL, avif, sizeof avif - 1, &image, &err) != FRT_EUNSUPPORTED_IMAGE;
    frt_image_free(image);
    struct check *check = add(c, "image formats", heif ? GOOD : WARN);
    SAY(check->found, "JPEG, PNG, WebP%s", heif ? ", HEIC, AVIF" : "");
    if (!heif)
        SAY(check->mend, "phones send HEIC: install libheif-dev and build again");
}

static void check_pack(struct checks *c, const struct frt_config *config, struct frt_context *context)
{
    char folder[FRT_LOCATE_PATH_MAX];
    struct frt_manifest *manifest = NULL;
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    struct frt_pack_options options = {.detector = config->detector, .preload = true, .skip_checksums = true};
    enum frt_status status = FRT_OK;
    if (config->pack[0] != '\0')
        SAY(folder, "%s", config->pack);
    else if (config->data_dir[0] != '\0')
        status = frt_pack_locate_named(config->data_dir, "default", folder, &err);
    else
        status = frt_pack_locate(folder, &err);
    if (status == FRT_OK)
        status = frt_manifest_load(folder, &manifest, &err);
    if (status == FRT_OK)
        status = frt_manifest_verify(manifest, folder, &err);
    if (status == FRT_OK && context != NULL)
        status = frt_pack_open(context, folder, &options, &pack, &err);
    struct check *check = add(c, "model pack", status == FRT_OK ? GOOD : BAD);
    if (status == FRT_OK) {
        SAY(check->found, "%s %s, %u models in %s", manifest->name, manifest->version, manifest->n_models,
            folder);
    } else {
        SAY(check->found, "%s", err.text);
        SAY(check->mend,
            "make it with 'make pack' in the source tree or 'frt models import', fetch one with 'frt "
            "models pull', or name another with --pack or FRT_PACK");
    }
    frt_pack_free(pack);
    frt_manifest_free(manifest);
}

static void check_data(struct checks *c, const struct frt_config *config)
{
    char folder[FRT_LOCATE_PATH_MAX];
    struct statvfs fs;
    if (config->data_dir[0] != '\0')
        SAY(folder, "%s", config->data_dir);
    else if (frt_data_dir_locate(folder, NULL) != FRT_OK)
        return;
    if (statvfs(folder, &fs) != 0) {
        /* a pack that lies elsewhere needs no data folder, unless one was asked for */
        struct check *check = add(c, "data folder", config->data_dir[0] != '\0' ? BAD : WARN);
        SAY(check->found, "%s: %s", folder, strerror(errno));
        SAY(check->mend, "mkdir -p %s, or name another with --data-dir or FRT_DATA_DIR", folder);
        return;
    }
    unsigned long long free_bytes = (unsigned long long)fs.f_bavail * fs.f_frsize;
    bool writable = access(folder, W_OK) == 0;
    struct check *check = add(c, "data folder", writable && free_bytes >= MIN_DISK_BYTES ? GOOD : WARN);
    SAY(check->found, "%s, %s, %llu MiB free", folder, writable ? "writable" : "NOT writable",
        free_bytes >> 20);
    if (!writable)
        SAY(check->mend, "'frt models import' writes there: chown or chmod it, or set FRT_DATA_DIR");
    else if (free_bytes < MIN_DISK_BYTES)
        SAY(check->mend, "make room: at least %llu MiB", MIN_DISK_BYTES >> 20);
}

/* Only 'frt models pull' needs it. */
static void check_downloads(struct checks *c)
{
    struct frt_error err = {0};
    const char *version = NULL;
    enum frt_status status = frt_fetch_available(&version, &err);
    struct check *check = add(c, "downloads", status == FRT_OK ? GOOD : WARN);
    SAY(check->found, "%.*s", status == FRT_OK ? (int)strcspn(version, " ") : 200,
        status == FRT_OK ? version : err.text);
    if (status != FRT_OK)
        SAY(check->mend, "only 'frt models pull' needs it; files fetched by other means can be named to it");
}

/* Users or keys: with them the service may listen anywhere. */
static bool has_credentials(const char *path)
{
    const struct frt_access_options options = {.database = path};
    struct frt_access *access = NULL;
    bool any = false;
    if (frt_access_open(&options, &access, NULL) != FRT_OK ||
        frt_access_configured(access, &any, NULL) != FRT_OK)
        any = false;
    frt_access_close(access);
    return any;
}

static void check_database(struct checks *c, const struct frt_config *config, bool *credentials)
{
    char path[FRT_LOCATE_PATH_MAX], place[FRT_LOCATE_PATH_MAX];
    struct frt_error err = {0};
    struct frt_gallery_options options = {.path = path, .read_only = true};
    struct frt_gallery *gallery = NULL;
    struct frt_collection_info *list = NULL;
    size_t n = 0;
    enum frt_status status = FRT_OK;
    const char *said = config->store[0] != '\0' ? config->store : config->database;
    if (said[0] == '\0' && config->data_dir[0] != '\0')
        (void)snprintf(path, sizeof path, "%s/frt.db", config->data_dir);
    else
        status = frt_database_locate(said, path, &err);
    if (status != FRT_OK || frt_database_is_absent(path))
        return; /* the first enrollment makes it */
    frt_database_describe(path, place);
    status = frt_gallery_open(&options, &gallery, &err);
    if (status == FRT_OK)
        status = frt_collection_list(gallery, "", 1000, &list, &n, &err);
    struct check *check = add(c, "database", status == FRT_OK ? GOOD : BAD);
    if (status == FRT_OK) {
        *credentials = has_credentials(path);
        SAY(check->found, "%s, %zu%s collection%s, %s", place, n, n == 1000 ? " or more" : "",
            n == 1 ? "" : "s", *credentials ? "with users or keys" : "no users or keys");
        frt_collection_list_free(list, n);
    } else {
        SAY(check->found, "%s", err.text);
        SAY(check->mend, "%s",
            status == FRT_ESTORE_DAMAGED ? "stop the service, keep a copy of the file and restore a backup"
                                         : "make file and folder accessible, or name another with --database");
    }
    frt_gallery_close(gallery);
}

/* "127.0.0.1:8080", "[::1]:8080" → an address to bind; NULL when it is not of that form. */
static struct addrinfo *listen_address(const char *text)
{
    char host[FRT_CONFIG_TEXT_MAX];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *out = NULL;
    const char *colon = strrchr(text, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - text);
    if (n == 0 || n >= sizeof host || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        colon[1] == '\0' || strtol(colon + 1, NULL, 10) > 65535)
        return NULL;
    bool brackets = text[0] == '[' && text[n - 1] == ']';
    if (!brackets && memchr(text, ':', n) != NULL)
        return NULL; /* IPv6 needs them */
    if (brackets)
        (void)snprintf(host, sizeof host, "%.*s", (int)n - 2, text + 1);
    else
        (void)snprintf(host, sizeof host, "%.*s", (int)n, text);
    return getaddrinfo(strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host, colon + 1, &hints, &out) == 0
               ? out
               : NULL;
}

static bool is_loopback(const struct addrinfo *address)
{
    if (address->ai_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address->ai_addr, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, address->ai_addr, sizeof v6);
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
}

/* May this process listen there? 0, or errno. */
static int try_to_listen(const struct addrinfo *address)
{
    int on = 1, why = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, 1) != 0)
        why = errno;
    (void)close(fd);
    return why;
}

static void check_port(struct checks *c, const struct frt_config *config, bool credentials)
{
    struct addrinfo *address = listen_address(config->listen);
    bool is_address = address != NULL;
    bool open_to_all = is_address && !credentials && !is_loopback(address);
    int why = is_address ? try_to_listen(address) : EINVAL;
    if (is_address)
        freeaddrinfo(address);
    struct check *check = add(c, "port", open_to_all ? BAD : why == 0 ? GOOD : why == EADDRINUSE ? WARN : BAD);
    SAY(check->found, "%s: %s", config->listen,
        open_to_all   ? "not a loopback address"
        : why == 0    ? "free"
        : !is_address ? "not ADDRESS:PORT"
                      : strerror(why));
    if (!is_address)
        SAY(check->mend, "--listen or FRT_LISTEN: a numeric address and port is right, e.g. 127.0.0.1:8080");
    else if (open_to_all)
        SAY(check->mend, "without credentials the service listens on loopback only: 'frt user add' or 'frt key "
                         "create' makes some");
    else if (why == EADDRINUSE)
        SAY(check->mend,
            "is the service running already? 'ss -ltnp' tells who has it; choose another with --listen");
    else if (why == EACCES)
        SAY(check->mend,
            "ports below 1024 need rights: choose another with --listen, or set CAP_NET_BIND_SERVICE");
    else if (why != 0)
        SAY(check->mend, "choose an address of this machine with --listen or FRT_LISTEN");
}

/* Without it everything works: what is wrong is a warning. */
static void check_redis(struct checks *c, const struct frt_config *config)
{
    char found[FRT_ERROR_TEXT_MAX];
    if (config->redis[0] == '\0')
        return;
    const bool good = frt_shared_check(config, found, sizeof found);
    struct check *check = add(c, "redis", good ? GOOD : WARN);
    SAY(check->found, "%s", found);
    if (!good)
        SAY(check->mend, "the service runs without it; see 'Redis' in docs/operations.md");
}

/* Only where the settings want it. Without a GPU everything works. */
static void check_gpu_search(struct checks *c, const struct frt_config *config)
{
    const struct frt_gpu_search_options options = {config->gpu_search_device, config->gpu_search_memory,
                                                   config->gpu_search_scratch, config->gpu_search_from};
    struct frt_error err = {0};
    char name[96] = "";
    if (strcmp(config->index_engine, "cuda") != 0)
        return;
    const bool good = frt_gallery_gpu_probe(&options, name, &err) == FRT_OK;
    struct check *check = add(c, "searches on a GPU", good ? GOOD : WARN);
    SAY(check->found, "%s", good ? name : err.text);
    if (!good)
        SAY(check->mend, "the processor searches instead, with the same answers; see 'Search on a GPU' in "
                         "docs/accelerators.md");
}

static void render_text(const struct checks *c, struct frt_buf *out)
{
    static const char *const words[] = {"ok  ", "warn", "FAIL"};
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    bool colour = cli_colours();
    for (size_t i = 0; i < c->n; i++) {
        const struct check *k = &c->list[i];
        frt_buf_printf(out, "%s%s%s  %-18s %s\n", colour ? colours[k->verdict] : "", words[k->verdict],
                       colour ? "\033[0m" : "", k->name, k->found);
        if (k->mend[0] != '\0')
            frt_buf_printf(out, "      %-18s -> %s\n", "", k->mend);
    }
}

static void render_json(const struct checks *c, struct frt_buf *out)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "checks");
    frt_json_array(&w);
    for (size_t i = 0; i < c->n; i++) {
        frt_json_object(&w);
        frt_json_key(&w, "name");
        frt_json_string(&w, c->list[i].name);
        frt_json_key(&w, "verdict");
        frt_json_string(&w, words[c->list[i].verdict]);
        frt_json_key(&w, "found");
        frt_json_string(&w, c->list[i].found);
        if (c->list[i].mend[0] != '\0') {
            frt_json_key(&w, "mend");
            frt_json_string(&w, c->list[i].mend);
        }
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

int cli_doctor(struct cli_run *run)
{
    struct checks checks = {0};
    struct frt_buf out;
    bool bad = false, credentials = false;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    check_processor(&checks);
    check_sizes(&checks, &run->config);
    check_limits(&checks);
    struct frt_context *context = check_runtime(&checks, &run->config);
    check_formats(&checks);
    check_pack(&checks, &run->config, context);
    check_device(&checks, &run->config, context);
    frt_context_free(context);
    check_downloads(&checks);
    check_data(&checks, &run->config);
    check_database(&checks, &run->config, &credentials);
    check_redis(&checks, &run->config);
    check_gpu_search(&checks, &run->config);
    check_port(&checks, &run->config, credentials);
    for (size_t i = 0; i < checks.n; i++)
        bad = bad || checks.list[i].verdict == BAD;
    if (cli_has(run, "json"))
        render_json(&checks, &out);
    else
        render_text(&checks, &out);
    int code = cli_print_and_free(run, &out);
    return code != FRT_EXIT_OK ? code : bad ? FRT_EXIT_ENVIRONMENT : FRT_EXIT_OK;
}
