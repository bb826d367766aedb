/*
 * load_client: put load on an HTTP service on this machine, print what came of it as one JSON line.
 *
 *     load_client [OPTIONS] http://127.0.0.1:PORT/TARGET [BODY FILE…]
 *
 *     -c N           connections (1)
 *     -d SECONDS     how long (5, unless -n)        -n N     how many requests
 *     -r RATE        open loop: so many a second are due; without it a closed loop (load_client.h)
 *     -w SECONDS     warm-up before, not counted
 *     -u             make every body another one, so that no cache knows it
 *     -X METHOD      POST with a body, GET without
 *     -H 'A: b'      a header; may be given several times
 *     -D MS          deadline: 2xx later than this are "late", and not in the goodput
 *     -T MS          give a request up after this (30000)
 *     -k N           requests a connection, then it idles; the run is over when every connection is there
 *     -h SECONDS     hold the connections, idle, at the end; says "holding N connections" on stderr
 *
 * Bodies are sent in turn. Examples:
 *
 *     hot, 8 connections, 10 s       load_client -c 8 -d 10 -w 1 -H 'Content-Type: image/jpeg' URL photo.jpg
 *     cold, 200 a second             load_client -u -r 200 -c 64 -D 1000 -H 'Content-Type: image/jpeg' URL
 * *.jpg 5,000 idle connections         load_client -c 5000 -k 1 -h 30 http://127.0.0.1:8080/healthz
 *
 * Exit status: 0 it ran (whatever the answers were), 1 it could not, 2 a wrong option.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/load_client.h"

enum { HEADERS_MAX = 4096 };

struct arguments {
    struct load_options load;
    const char *method;
    char headers[HEADERS_MAX];
    bool unique;
};

static _Noreturn void usage(const char *wrong)
{
    (void)fprintf(
        stderr,
        "load_client: %s\n"
        "load_client [-c CONNECTIONS] [-d SECONDS | -n REQUESTS] [-r RATE] [-w WARMUP] [-u] [-X METHOD]\n"
        "            [-H HEADER]… [-D DEADLINE_MS] [-T TIMEOUT_MS] [-k PER_CONNECTION] [-h HOLD]\n"
        "            http://127.0.0.1:PORT/TARGET [BODY FILE…]\n",
        wrong);
    exit(2);
}

static double number(const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= 0) || value > 1e12)
        usage("a number is wrong");
    return value;
}

static void add_header(struct arguments *arguments, const char *header)
{
    size_t used = strlen(arguments->headers), size = strlen(header);
    if (strchr(header, ':') == NULL || strpbrk(header, "\r\n") != NULL || used + size + 3 > HEADERS_MAX)
        usage("a header is wrong");
    (void)snprintf(arguments->headers + used, HEADERS_MAX - used, "%s\r\n", header);
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments a = {.load = {.connections = 1}};
    int c;
    while ((c = getopt(argc, argv, "c:d:n:r:w:uX:H:D:T:k:h:")) != -1) {
        switch (c) {
        case 'c':
            a.load.connections = (uint32_t)number(optarg);
            break;
        case 'd':
            a.load.duration_s = number(optarg);
            break;
        case 'n':
            a.load.count = (uint64_t)number(optarg);
            break;
        case 'r':
            a.load.rate = number(optarg);
            break;
        case 'w':
            a.load.warmup_s = number(optarg);
            break;
        case 'u':
            a.unique = true;
            break;
        case 'X':
            a.method = optarg;
            break;
        case 'H':
            add_header(&a, optarg);
            break;
        case 'D':
            a.load.deadline_ms = number(optarg);
            break;
        case 'T':
            a.load.timeout_ms = number(optarg);
            break;
        case 'k':
            a.load.per_connection = (uint32_t)number(optarg);
            break;
        case 'h':
            a.load.hold_s = number(optarg);
            break;
        default:
            usage("no such option");
        }
    }
    if (a.load.duration_s <= 0 && a.load.count == 0 && a.load.per_connection == 0)
        a.load.duration_s = 5;
    return a;
}

/* Host and port into `load` (host into static storage); the target. */
static const char *split_url(const char *url, struct load_options *load)
{
    static char host[64];
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        usage("the URL does not begin with http://");
    const char *start = url + sizeof scheme - 1;
    const char *target = strchr(start, '/');
    const char *end = target != NULL ? target : start + strlen(start);
    const char *colon = memrchr(start, ':', (size_t)(end - start));
    if (colon == NULL || colon == start)
        usage("the URL names no port");
    bool bracketed = *start == '[' && colon[-1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - start - (bracketed ? 2 : 0)), start + bracketed);
    load->host = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    load->port = atoi(colon + 1);
    return target != NULL ? target : "/";
}

static void *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    long end = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) > 0 &&
        fseek(file, 0, SEEK_SET) == 0)
        bytes = malloc((size_t)end);
    if (bytes == NULL || fread(bytes, 1, (size_t)end, file) != (size_t)end) {
        (void)fprintf(stderr, "load_client: %s cannot be read, or is empty\n", path);
        exit(1);
    }
    (void)fclose(file);
    *size = (size_t)end;
    return bytes;
}

static void say_holding(void *arg, double elapsed_s, bool holding)
{
    bool *said = arg;
    (void)elapsed_s;
    if (holding && !*said) {
        fputs("holding\n", stderr);
        *said = true;
    }
}

int main(int argc, char **argv)
{
    struct arguments a = parse(argc, argv);
    struct load_report *report = calloc(1, sizeof *report);
    bool said = false;
    char error[200] = "";
    if (optind >= argc)
        usage("no URL");
    const char *target = split_url(argv[optind++], &a.load);
    size_t n = optind < argc ? (size_t)(argc - optind) : 1;
    struct load_request *requests = calloc(n, sizeof *requests);
    if (report == NULL || requests == NULL)
        return 1;
    const char *method = a.method != NULL ? a.method : optind < argc ? "POST" : "GET";
    for (size_t i = 0; i < n; i++) {
        size_t size = 0;
        void *body = optind < argc ? read_file(argv[optind + (int)i], &size) : NULL;
        load_request_init(&requests[i], method, target, a.headers, body, size, a.unique);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    a.load.requests = requests;
    a.load.n_requests = n;
    a.load.tick = a.load.hold_s > 0 ? say_holding : NULL;
    a.load.tick_arg = &said;
    a.load.tick_s = 0.1;
    int status = load_run(&a.load, report, error, sizeof error);
    if (status != 0)
        (void)fprintf(stderr, "load_client: %s\n", error);
    else
        load_print(report, &a.load);
    for (size_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)requests[i].body);
        load_request_deinit(&requests[i]);
    }
    free(requests);
    free(report);
    return status == 0 ? 0 : 1;
}
