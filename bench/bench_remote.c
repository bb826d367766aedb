/*
 * What it costs to have a model computed by a server: `frt serve --model-api true` on loopback, a process of
 * its own, against the same model in this process. Runs alternate, so that whatever else the machine does hits
 * both alike.
 *
 *     here, there         ms of one inference; `there` names `here` as its peer
 *     there-outside       what the way costs: the median of the differences of neighbouring runs
 *     …-fastest           the same of the fastest run of each: what is left of it on a machine with other work
 *     loopback            the same bytes to and fro over a bare TCP connection, nothing computed: the floor
 *     request-json        writing the request with tensors as JSON, KServe's and TensorFlow Serving's (mean of
 * 5)
 *
 * argv: the program; default build/release/frt. Run in the project's folder, with a pack in data/.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/splitmix.h"
#include "engine/context.h"
#include "engine/pack.h"
#include "infer/remote_protocol.h"

enum { RUNS = 31, JSON_RUNS = 5, START_MS = 30000 };

static void need(enum frt_status status, const struct frt_error *err)
{
    if (status == FRT_OK)
        return;
    (void)fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

/* -------------------------------------------------------------- the server */

static pid_t server;
static char folder[] = "/tmp/frt-bench-remote-XXXXXX";

static void stop_server(void)
{
    char command[96];
    if (server > 0) {
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
    }
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        (void)fprintf(stderr, "bench: %s stays\n", folder);
}

/* Its URL, once it is ready. */
static void start_server(const char *program, char *url, size_t room)
{
    char database[64], log[64], line[4096], found[100];
    if (mkdtemp(folder) == NULL || atexit(stop_server) != 0)
        exit(1);
    (void)snprintf(database, sizeof database, "%s/frt.db", folder);
    (void)snprintf(log, sizeof log, "%s/log", folder);
    server = fork();
    if (server == 0) {
        if (freopen(log, "w", stderr) == NULL)
            _exit(1);
        (void)execl(program, program, "serve", "--listen", "127.0.0.1:0", "--database", database, "--model-api",
                    "true", (char *)NULL);
        _exit(127);
    }
    for (int64_t start = frt_now_ns(); frt_elapsed_ms(start) < START_MS; (void)usleep(50000)) {
        FILE *f = fopen(log, "r");
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
            const char *at = strstr(line, "event=ready url=");
            if (at != NULL && sscanf(at, "event=ready url=%99s", found) == 1) {
                (void)snprintf(url, room, "kserve:%s", found);
                (void)fclose(f);
                (void)sleep(4); /* it measures batches then */
                return;
            }
        }
        if (f != NULL)
            (void)fclose(f);
    }
    (void)fprintf(stderr, "bench: %s serve did not start; %s tells why\n", program, log);
    exit(1);
}

/* ------------------------------------------------------------- the runs */

static struct frt_tensor noise(const struct frt_tensor_info *info, int64_t rows)
{
    uint64_t random = 7;
    struct frt_tensor t = {.n_dims = info->n_dims};
    memcpy(t.dims, info->dims, sizeof t.dims);
    t.dims[0] = rows;
    const size_t n = frt_tensor_size(&t);
    float *data = frt_alloc_array(n, sizeof *data);
    if (data == NULL)
        exit(1);
    for (size_t i = 0; i < n; i++)
        data[i] = (float)(frt_splitmix_next(&random) >> 40) / (float)(1 << 24);
    t.data = data;
    return t;
}

static double run(const struct frt_session *session, const struct frt_tensor *input, size_t *answer_bytes)
{
    struct frt_outputs out;
    struct frt_error err = {0};
    int64_t start = frt_now_ns();
    need(frt_session_run(session, input, 1, &out, &err), &err);
    const double ms = frt_elapsed_ms(start);
    *answer_bytes = 0;
    for (uint32_t i = 0; i < out.n; i++)
        *answer_bytes += frt_tensor_size(&out.tensors[i]) * sizeof(float);
    frt_outputs_release(&out);
    return ms;
}

/* ----------------------------------------------------------- bare loopback */

struct echo {
    int fd;
    size_t in, out;
};

static void move(int fd, char *bytes, size_t size, bool send_it)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send_it ? send(fd, bytes + done, size - done, 0) : recv(fd, bytes + done, size - done, 0);
        if (n <= 0)
            exit(1);
        done += (size_t)n;
    }
}

static void *answer(void *arg)
{
    const struct echo *e = arg;
    char *bytes = frt_alloc_zero(1, e->in > e->out ? e->in : e->out);
    for (int i = 0; i < RUNS; i++) {
        move(e->fd, bytes, e->in, false);
        move(e->fd, bytes, e->out, true);
    }
    frt_free(bytes);
    return NULL;
}

static double loopback(size_t there, size_t back)
{
    const int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    double ms[RUNS];
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        connect(fd, (struct sockaddr *)&address, size) != 0)
        exit(1);
    struct echo e = {accept(listener, NULL, NULL), there, back};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(e.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char *bytes = frt_alloc_zero(1, there > back ? there : back);
    if (pthread_create(&thread, NULL, answer, &e) != 0)
        exit(1);
    for (int i = 0; i < RUNS; i++) {
        int64_t start = frt_now_ns();
        move(fd, bytes, there, true);
        move(fd, bytes, back, false);
        ms[i] = frt_elapsed_ms(start);
    }
    (void)pthread_join(thread, NULL);
    (void)close(fd);
    (void)close(e.fd);
    (void)close(listener);
    frt_free(bytes);
    return bench_median(ms, RUNS);
}

static void as_json(const char *name, const struct frt_session *session, const struct frt_tensor *input)
{
    static const struct frt_remote_protocol *const protocols[] = {&frt_remote_kserve, &frt_remote_tfserving};
    const struct frt_remote_model model = {.info = session->info};
    struct frt_remote_request request;
    struct frt_error err = {0};
    char label[96];
    for (int p = 0; p < 2; p++) {
        size_t bytes = 0;
        int64_t start = frt_now_ns();
        for (int i = 0; i < JSON_RUNS; i++) {
            need(protocols[p]->write_request(&model, input, 1, &request, &err), &err);
            bytes = request.text.size;
            frt_remote_request_deinit(&request);
        }
        (void)snprintf(label, sizeof label, "%s-request-json-%s", name, protocols[p]->name);
        bench_print(&(struct bench_figure){"remote", label, "ms", frt_elapsed_ms(start) / JSON_RUNS, NULL, 0});
        (void)snprintf(label, sizeof label, "%s-request-json-%s-bytes", name, protocols[p]->name);
        bench_print(&(struct bench_figure){"remote", label, "KB", (double)bytes / 1000, "as bytes",
                                           (double)(frt_tensor_size(input) * sizeof(float)) / 1000});
    }
}

static void measure(const char *model, int64_t rows, const struct frt_pack *here, const struct frt_pack *there,
                    bool json)
{
    const struct frt_model_spec *spec = NULL;
    const struct frt_session *a = NULL, *b = NULL;
    struct frt_error err = {0};
    double local[RUNS], remote[RUNS], outside[RUNS];
    char name[64], label[96];
    size_t answer_bytes = 0;
    need(frt_pack_session(here, model, &spec, &a, &err), &err);
    need(frt_pack_session(there, model, &spec, &b, &err), &err);
    struct frt_tensor input = noise(&a->info.inputs[0], rows);
    (void)run(a, &input, &answer_bytes);
    (void)run(b, &input, &answer_bytes);
    for (int i = 0; i < RUNS; i++) {
        local[i] = run(a, &input, &answer_bytes);
        remote[i] = run(b, &input, &answer_bytes);
        outside[i] = remote[i] - local[i];
    }
    (void)snprintf(name, sizeof name, "%s-%d", model, (int)rows);
    (void)snprintf(label, sizeof label, "%s-there", name);
    bench_print(&(struct bench_figure){"remote", label, "ms", bench_median(remote, RUNS), "here",
                                       bench_median(local, RUNS)});
    (void)snprintf(label, sizeof label, "%s-there-outside", name);
    bench_print(&(struct bench_figure){"remote", label, "ms", bench_median(outside, RUNS), "loopback",
                                       loopback(frt_tensor_size(&input) * sizeof(float), answer_bytes)});
    (void)snprintf(label, sizeof label, "%s-there-outside-fastest", name); /* sorted by now */
    bench_print(&(struct bench_figure){"remote", label, "ms", remote[0] - local[0], "here, fastest", local[0]});
    if (json)
        as_json(name, a, &input);
    frt_free((void *)(uintptr_t)input.data);
}

int main(int argc, char **argv)
{
    char url[128] = "";
    struct frt_context *here = NULL, *there = NULL;
    struct frt_pack *pack_here = NULL, *pack_there = NULL;
    struct frt_remote_figures figures;
    struct frt_error err = {0};
    start_server(argc > 1 ? argv[1] : "build/release/frt", url, sizeof url);
    const struct frt_infer_server at = {.address = url, .timeout_ms = 60000, .connect_timeout_ms = 5000};
    need(frt_context_new(NULL, &here, &err), &err);
    need(frt_context_new(&(struct frt_context_options){.infer = &at}, &there, &err), &err);
    need(frt_pack_open(here, NULL, NULL, &pack_here, &err), &err);
    need(frt_pack_open(there, NULL, NULL, &pack_there, &err), &err);
    measure("face_recognition", 1, pack_here, pack_there, true);
    measure("face_recognition", 8, pack_here, pack_there, false);
    measure("face_landmark_68", 1, pack_here, pack_there, false);
    measure("ssd_mobilenetv1", 1, pack_here, pack_there, false);
    if (!frt_remote_models_figures(there->remote, &figures) || figures.fallbacks > 0) {
        (void)fputs("bench: some inferences were computed here after all\n", stderr);
        return 1;
    }
    frt_pack_free(pack_there);
    frt_pack_free(pack_here);
    frt_context_free(there);
    frt_context_free(here);
    return 0;
}
