#include "load/load_service.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTIONS_MAX = 32, START_MS = 60000 };

static const char python[] = "/usr/bin/python3"; /* Debian's: the packages are Debian's */
static const char standin[] = "bench/peers/standin/standin.py";

static _Noreturn void give_up(const char *what, const char *more)
{
    (void)fprintf(stderr, "bench: %s%s\n", what, more);
    exit(1);
}

/* -------------------------------------------------------------------- place */

static void link_into(const char *folder, const char *assets, const char *name)
{
    static const char *const places[] = {"detect", "recognize", "liveness"};
    char from[1200], to[1200];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        (void)snprintf(from, sizeof from, "%s/models/%s/%s", assets, places[i], name);
        (void)snprintf(to, sizeof to, "%s/%s", folder, name);
        if (access(from, R_OK) == 0 && symlink(from, to) == 0)
            return;
    }
}

static bool copy_file(const char *from, const char *to)
{
    char buffer[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t n = in != NULL && out != NULL ? fread(buffer, 1, sizeof buffer, in) : 0;
    bool ok = n > 0 && n < sizeof buffer && fwrite(buffer, 1, n, out) == n;
    if (in != NULL)
        (void)fclose(in);
    return out != NULL && fclose(out) == 0 && ok;
}

void load_place_open(struct load_place *place, const char *assets)
{
    static const char *const models[] = {"yunet_n_dynamic.onnx", "w600k_mbf_dequant_fp32.onnx",
                                         "fasnet_2_7.onnx", "fasnet_4_0.onnx"};
    char path[1200];
    memset(place, 0, sizeof *place);
    ssize_t n = readlink("/proc/self/exe", place->program, sizeof place->program - 8);
    char *slash = n > 0 ? strrchr(place->program, '/') : NULL; /* build/release/bench/bench_load */
    if (slash == NULL)
        give_up("where is this program?", "");
    (void)snprintf(slash, sizeof place->program - (size_t)(slash - place->program), "/../frt");
    if (access(place->program, X_OK) != 0)
        give_up("not built: ", place->program);
    char *whole = realpath(assets, NULL); /* the pack's links must not depend on where we stand */
    (void)snprintf(place->assets, sizeof place->assets, "%s", whole != NULL ? whole : assets);
    free(whole);
    (void)snprintf(place->folder, sizeof place->folder, "/tmp/frt_load_XXXXXX");
    if (mkdtemp(place->folder) == NULL)
        give_up("no temporary folder: ", strerror(errno));
    (void)snprintf(place->pack, sizeof place->pack, "%s/pack", place->folder);
    (void)mkdir(place->pack, 0700);
    place->has_models = true;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        link_into(place->pack, place->assets, models[i]);
        (void)snprintf(path, sizeof path, "%s/%s", place->pack, models[i]);
        place->has_models = place->has_models && access(path, R_OK) == 0;
    }
    (void)snprintf(path, sizeof path, "%s/manifest.json", place->pack);
    place->has_models = place->has_models && copy_file("share/packs/yunet-mobilefacenet.json", path);
    if (!place->has_models)
        (void)snprintf(place->pack, sizeof place->pack, "data/packs/default");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

void load_place_close(struct load_place *place)
{
    if (place->folder[0] != '\0')
        (void)nftw(place->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    place->folder[0] = '\0';
}

/* ----------------------------------------------------------------- services */

static void start(struct load_service *service, const char *const *argv, int core)
{
    int log = open(service->log, O_CREAT | O_RDWR | O_TRUNC, 0600);
    service->pid = log >= 0 ? fork() : -1;
    if (service->pid < 0)
        give_up("cannot start: ", argv[0]);
    if (service->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody is left behind */
        if (core != LOAD_ANY_CORE) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET((size_t)core, &one);
            (void)sched_setaffinity(0, sizeof one, &one);
        }
        (void)dup2(log, STDOUT_FILENO);
        (void)dup2(log, STDERR_FILENO);
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(log);
}

static void print_log(const struct load_service *service)
{
    char line[1000];
    FILE *file = fopen(service->log, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)fputs(line, stderr);
    if (file != NULL)
        (void)fclose(file);
}

/* Port from the line "… url=http://127.0.0.1:PORT"; 0 when it is not there yet. */
static int port_in_log(const struct load_service *service)
{
    char line[1000];
    int port = 0;
    FILE *file = fopen(service->log, "r");
    while (file != NULL && port == 0 && fgets(line, sizeof line, file) != NULL) {
        const char *url = strstr(line, "url=http://");
        if (url != NULL && strchr(url, '\n') != NULL)
            port = atoi(strchr(url + strlen("url=http:"), ':') + 1);
    }
    if (file != NULL)
        (void)fclose(file);
    return port;
}

/* True when /readyz says 200; false when the process ended before, with its exit status. */
static bool wait_until_ready(struct load_service *service, int *exit_status)
{
    for (int ms = 0; ms < START_MS; ms += 10) {
        int status = 0;
        if (waitpid(service->pid, &status, WNOHANG) == service->pid) {
            *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            service->pid = 0;
            return false;
        }
        if (service->port == 0)
            service->port = port_in_log(service);
        if (service->port != 0 && load_service_ask(service, "GET", "/readyz", NULL, 0) == 200)
            return true;
        (void)poll(NULL, 0, 10);
    }
    print_log(service);
    give_up("not ready in time", "");
}

void load_service_start(struct load_service *service, const struct load_place *place,
                        const char *const *options, int core)
{
    char database[100];
    int exit_status = 0;
    (void)snprintf(database, sizeof database, "%s/frt.db", place->folder);
    const char *argv[OPTIONS_MAX] = {place->program, "serve",  "--listen",  "127.0.0.1:0", "--data-dir",
                                     place->folder,  "--pack", place->pack, "--database",  database};
    size_t n = 10;
    for (; options != NULL && *options != NULL && n + 1 < OPTIONS_MAX; options++)
        argv[n++] = *options;
    memset(service, 0, sizeof *service);
    (void)snprintf(service->log, sizeof service->log, "%s/log", place->folder);
    start(service, argv, core);
    if (!wait_until_ready(service, &exit_status)) {
        print_log(service);
        give_up("frt serve ended", "");
    }
}

/* A port that is free now: the stand-in cannot say which one it took. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        give_up("no free port", "");
    (void)close(fd);
    return ntohs(address.sin_port);
}

bool load_service_start_peer(struct load_service *service, const struct load_place *place, char *why,
                             size_t why_size)
{
    char port[16], detector[700], embedder[700];
    int exit_status = 0;
    memset(service, 0, sizeof *service);
    if (!place->has_models) {
        (void)snprintf(why, why_size, "YuNet and MobileFaceNet are not in FRT_TEST_ASSETS");
        return false;
    }
    (void)snprintf(service->log, sizeof service->log, "%s/peer.log", place->folder);
    (void)snprintf(port, sizeof port, "%d", service->port = free_port());
    (void)snprintf(detector, sizeof detector, "%s/yunet_n_dynamic.onnx", place->pack);
    (void)snprintf(embedder, sizeof embedder, "%s/w600k_mbf_dequant_fp32.onnx", place->pack);
    const char *const argv[] = {python,   standin,      "--port", port, "--detector",
                                detector, "--embedder", embedder, NULL};
    start(service, argv, LOAD_ANY_CORE);
    if (wait_until_ready(service, &exit_status))
        return true;
    char line[400] = "";
    FILE *file = fopen(service->log, "r");
    if (file != NULL) {
        while (fgets(line, sizeof line, file) != NULL)
            line[strcspn(line, "\n")] = '\0';
        (void)fclose(file);
    }
    (void)snprintf(why, why_size, "the stand-in does not start: %s", line);
    return false;
}

void load_service_stop(struct load_service *service)
{
    if (service->pid <= 0)
        return;
    (void)kill(service->pid, SIGTERM);
    for (int ms = 0; waitpid(service->pid, NULL, WNOHANG) == 0; ms += 5) {
        if (ms > START_MS) {
            (void)kill(service->pid, SIGKILL);
            (void)waitpid(service->pid, NULL, 0);
            break;
        }
        (void)poll(NULL, 0, 5);
    }
    service->pid = 0;
}

/* ------------------------------------------------------------------ looking */

struct load_reading load_service_read(const struct load_service *service)
{
    struct load_reading reading = {0};
    char path[64], line[1000];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)service->pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            reading.rss_mb = strtod(line + 6, NULL) * 1024 / 1e6;
    if (file != NULL)
        (void)fclose(file);
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)service->pid);
    file = fopen(path, "r");
    if (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned long user = 0, system = 0;
        const char *rest = strrchr(line, ')');
        if (rest != NULL &&
            sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
            reading.cpu_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    if (file != NULL)
        (void)fclose(file);
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)service->pid);
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL)
        reading.descriptors++;
    if (dir != NULL)
        (void)closedir(dir);
    reading.descriptors -= 2; /* . and .. */
    return reading;
}

/* The answer whole, NUL-terminated, as far as it fits; its status. */
static int ask(const struct load_service *service, const char *method, const char *target, const void *body,
               size_t size, char *answer, size_t capacity)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)service->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 30};
    char head[400];
    int status = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                     method, target, size);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, head, (size_t)n, MSG_NOSIGNAL | (size > 0 ? MSG_MORE : 0)) == n) {
        for (size_t sent = 0; sent < size;) {
            ssize_t part = send(fd, (const char *)body + sent, size - sent, MSG_NOSIGNAL);
            if (part <= 0)
                break;
            sent += (size_t)part;
        }
        ssize_t got = recv(fd, answer, capacity - 1, MSG_WAITALL);
        answer[got > 0 ? got : 0] = '\0';
        if (got > 12 && strncmp(answer, "HTTP/1.", 7) == 0)
            status = atoi(answer + 9);
    }
    (void)close(fd);
    return status;
}

int load_service_ask(const struct load_service *service, const char *method, const char *target,
                     const void *body, size_t size)
{
    char answer[512];
    return ask(service, method, target, body, size, answer, sizeof answer);
}

bool load_service_names(const struct load_service *service, const char *target, const void *photo, size_t size,
                        const char *name)
{
    char answer[16384];
    return ask(service, "POST", target, photo, size, answer, sizeof answer) == 200 &&
           strstr(answer, name) != NULL;
}
