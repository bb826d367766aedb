/*
 * One transfer is one try; frt_fetch_file repeats tries while they may help.
 *
 *     headers ──(last one)── judge: 200 → from the start, 206 → append, anything else → no bytes taken
 *        │                          sizes against what is allowed and the disk
 *     body ── write to the .part file
 */
#include "model/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/http_call.h"

enum {
    DEFAULT_STALL_S = 60,
    DEFAULT_REDIRECTS = 5,
    VALIDATOR_MAX = 256,
    URL_MAX = 2048,
    PATH_ROOM = 4096,
    PAUSE_STEP_MS = 100,
    MOST_TRIES = 100,
    WORTH_BYTES = 65536
};
static const uint64_t DEFAULT_MAX_BYTES = UINT64_C(4) << 30;

struct transfer {
    const struct frt_fetch_options *options;
    struct frt_http_client *client;
    int fd; /* the .part file */
    char part[PATH_ROOM], from[PATH_ROOM];
    char validator[VALIDATOR_MAX]; /* of what is in the .part file; "" = none */

    /* of the answer under way; a redirect's headers are followed by another answer's */
    char seen_validator[VALIDATOR_MAX];
    uint64_t range_start;
    bool has_range;

    uint64_t asked_from; /* offset that was asked for */
    uint64_t have;       /* bytes in the .part file */
    bool judged;         /* the first bytes have come, and the answer is one to keep */
    uint64_t total;      /* when it is all there; 0 = not known */
    bool resumed;
};

enum frt_status frt_fetch_available(const char **version, struct frt_error *err)
{
    return frt_http_client_available(version, err);
}

bool frt_fetch_is_url(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
}

/* -------------------------------------------------------------- headers */

static void take_header(void *arg, const char *line, size_t size)
{
    struct transfer *t = arg;
    char value[VALIDATOR_MAX];
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0) {
        t->seen_validator[0] = '\0';
        t->has_range = false;
    } else if (frt_http_header_value(line, size, "ETag", value, sizeof value)) {
        if (strncmp(value, "W/", 2) != 0) /* a weak one says nothing of the bytes */
            memcpy(t->seen_validator, value, sizeof value);
    } else if (frt_http_header_value(line, size, "Last-Modified", value, sizeof value)) {
        if (t->seen_validator[0] == '\0')
            memcpy(t->seen_validator, value, sizeof value);
    } else if (frt_http_header_value(line, size, "Content-Range", value, sizeof value)) {
        unsigned long long start;
        t->has_range = sscanf(value, "bytes %llu-", &start) == 1;
        t->range_start = t->has_range ? start : 0;
    }
}

/* ----------------------------------------------------------------- body */

static enum frt_status check_room(const struct transfer *t, uint64_t more, struct frt_error *err)
{
    struct statvfs fs;
    if (fstatvfs(t->fd, &fs) != 0)
        return FRT_OK; /* then writing tells */
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (more > room)
        return frt_fail(err, FRT_ESTORAGE_FULL,
                        "%s: %" PRIu64 " MB are still to come, and the disk has room for %" PRIu64 " MB",
                        t->part, more / 1000000 + 1, room / 1000000);
    return FRT_OK;
}

/* The answer is complete but for its body: keep it? */
static enum frt_status judge(struct transfer *t, const struct frt_http_head *head, struct frt_error *err)
{
    const struct frt_fetch_options *o = t->options;
    int code = head->status;
    int64_t length = head->content_length;
    if (code == 206 && t->asked_from > 0 && t->has_range && t->range_start == t->asked_from) {
        t->resumed = true;
    } else if (code == 200) {
        t->have = 0;
        t->resumed = false;
        if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) < 0)
            return frt_fail(err, FRT_EIO, "%s: %s", t->part, strerror(errno));
    } else {
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: an answer that fits no request (HTTP %d)", o->url, code);
    }
    /* remember whose bytes these are, before the first one */
    FILE *from = fopen(t->from, "we");
    if (from != NULL) {
        (void)fprintf(from, "%s\n%s\n", o->url, t->seen_validator);
        (void)fclose(from);
    }
    uint64_t most = o->size != 0 ? o->size : o->max_bytes != 0 ? o->max_bytes : DEFAULT_MAX_BYTES;
    if (length >= 0) {
        uint64_t whole = t->have + (uint64_t)length;
        t->total = whole;
        if (o->size != 0 && whole != o->size)
            return frt_fail(err, FRT_EBAD_MODEL,
                            "%s: the server has %" PRIu64 " bytes, %" PRIu64 " are expected", o->url, whole,
                            o->size);
        if (whole > most)
            return frt_fail(err, FRT_EBODY_TOO_LARGE,
                            "%s: the server has %" PRIu64 " bytes; at most %" PRIu64 " are taken", o->url,
                            whole, most);
        return check_room(t, (uint64_t)length, err);
    }
    return FRT_OK;
}

static enum frt_status take_body(void *arg, const struct frt_http_head *head, const void *bytes, size_t size,
                                 struct frt_error *err)
{
    struct transfer *t = arg;
    const struct frt_fetch_options *o = t->options;
    if (!t->judged) {
        enum frt_status status = judge(t, head, err);
        if (status != FRT_OK)
            return status;
        t->judged = true;
    }
    uint64_t most = o->size != 0 ? o->size : o->max_bytes != 0 ? o->max_bytes : DEFAULT_MAX_BYTES;
    if (size > most - t->have)
        return frt_fail(err, o->size != 0 ? FRT_EBAD_MODEL : FRT_EBODY_TOO_LARGE,
                        "%s: more than the %" PRIu64 " bytes that are %s", o->url, most,
                        o->size != 0 ? "expected" : "taken");
    for (size_t put = 0; put < size;) {
        ssize_t n = write(t->fd, (const char *)bytes + put, size - put);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return frt_fail(err, errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO,
                            "%s: cannot write: %s", t->part, strerror(errno));
        put += (size_t)n;
    }
    t->have += size;
    return FRT_OK;
}

static bool is_cancelled(const struct frt_fetch_options *o)
{
    return o->cancelled != NULL && o->cancelled(o->cancelled_arg);
}

static bool goes_on(void *arg)
{
    const struct transfer *t = arg;
    const struct frt_fetch_options *o = t->options;
    if (o->progress != NULL && t->judged)
        o->progress(o->progress_arg, t->have, o->size != 0 ? o->size : t->total);
    return !is_cancelled(o);
}

/* ------------------------------------------------------------- one try */

static void read_origin(struct transfer *t)
{
    char url[URL_MAX] = "", validator[VALIDATOR_MAX] = "";
    FILE *from = fopen(t->from, "re");
    t->validator[0] = '\0';
    if (from == NULL)
        return;
    if (fgets(url, sizeof url, from) != NULL && fgets(validator, sizeof validator, from) != NULL) {
        url[strcspn(url, "\n")] = '\0';
        validator[strcspn(validator, "\n")] = '\0';
        if (strcmp(url, t->options->url) == 0)
            memcpy(t->validator, validator, sizeof validator);
    }
    (void)fclose(from);
}

static enum frt_status call(struct transfer *t, struct frt_http_answer *answer, struct frt_error *err)
{
    const struct frt_fetch_options *o = t->options;
    char range[48], condition[VALIDATOR_MAX + 16];
    const char *headers[] = {range, condition};
    struct frt_http_call one = {.url = o->url,
                                .headers = headers,
                                .connect_timeout_ms = o->connect_timeout_ms,
                                .stall_timeout_s =
                                    o->stall_timeout_s != 0 ? o->stall_timeout_s : DEFAULT_STALL_S,
                                .max_redirects = o->max_redirects != 0 ? o->max_redirects : DEFAULT_REDIRECTS,
                                .header = take_header,
                                .take = take_body,
                                .goes_on = goes_on,
                                .arg = t};
    if (t->asked_from > 0) {
        (void)snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-", t->asked_from);
        (void)snprintf(condition, sizeof condition, "If-Range: %s", t->validator);
        one.n_headers = t->validator[0] != '\0' ? 2 : 1;
    }
    return frt_http_call(t->client, &one, answer, err);
}

/* Begin anew next time: what there is cannot be gone on with. */
static void forget(struct transfer *t)
{
    (void)!ftruncate(t->fd, 0);
    (void)unlink(t->from);
    t->have = 0;
}

/* The end of one try, as its caller is told of it. */
static enum frt_status conclude(struct transfer *t, enum frt_status status,
                                const struct frt_http_answer *answer, bool *again, struct frt_error *err)
{
    const char *url = t->options->url;
    if (status == FRT_EBAD_MODEL || status == FRT_EBODY_TOO_LARGE)
        forget(t);
    if (status == FRT_ECANCELLED)
        return frt_fail(err, status, "%s: cancelled; the same command goes on with it", url);
    if (status == FRT_EUNAVAILABLE && answer->status == 416 && t->asked_from > 0) {
        forget(t); /* the file there is no longer than what we have: it is another one */
        *again = true;
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: the file there has changed", url);
    }
    if (status != FRT_OK && !t->judged && status != FRT_ENOMEM && strstr(err->text, url) == NULL)
        return frt_fail_within(err, status, "%s", url);
    if (status != FRT_OK)
        return status;
    if (!t->judged) /* no body at all */
        return frt_fail(err, FRT_EBAD_MODEL, "%s: the server sends an empty file", url);
    if (t->options->size != 0 && t->have != t->options->size) {
        *again = true; /* no Content-Length, and the line was cut */
        return frt_fail(err, FRT_EBAD_MODEL, "%s: %" PRIu64 " bytes came, %" PRIu64 " are expected", url,
                        t->have, t->options->size);
    }
    return FRT_OK;
}

static enum frt_status try_once(struct transfer *t, bool *again, struct frt_error *err)
{
    struct frt_http_answer answer;
    off_t end = lseek(t->fd, 0, SEEK_END);
    *again = false;
    if (end < 0)
        return frt_fail(err, FRT_EIO, "%s: %s", t->part, strerror(errno));
    t->have = (uint64_t)end;
    if (t->options->size != 0 && t->have > t->options->size)
        forget(t);
    if (t->options->size != 0 && t->have == t->options->size)
        return FRT_OK; /* the rename is all that was missing */
    read_origin(t);
    t->asked_from = t->have;
    t->judged = false;
    t->total = 0;
    enum frt_status status = call(t, &answer, err);
    *again = status != FRT_OK && answer.again;
    return conclude(t, status, &answer, again, err);
}

/* ------------------------------------------------------------ the tries */

static bool pause_ms(const struct frt_fetch_options *o, uint32_t ms)
{
    while (ms > 0 && !is_cancelled(o)) {
        uint32_t step = ms < PAUSE_STEP_MS ? ms : PAUSE_STEP_MS;
        struct timespec t = {.tv_nsec = (long)step * 1000000};
        (void)nanosleep(&t, NULL);
        ms -= step;
    }
    return !is_cancelled(o);
}

static enum frt_status open_part(struct transfer *t, struct frt_error *err)
{
    const char *path = t->options->path;
    if ((size_t)snprintf(t->part, sizeof t->part, "%s.part", path) >= sizeof t->part ||
        (size_t)snprintf(t->from, sizeof t->from, "%s.part.from", path) >= sizeof t->from)
        return frt_fail(err, FRT_EINVAL, "%.100s…: path too long", path);
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (t->fd < 0)
        return frt_fail(err, errno == ENOSPC ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s", t->part, strerror(errno));
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
        return frt_fail(err, FRT_ECONFLICT, "%s: another download of this file is under way", t->part);
    return FRT_OK;
}

static enum frt_status run_tries(struct transfer *t, bool *resumed, struct frt_error *err)
{
    const struct frt_fetch_options *o = t->options;
    const uint32_t tries = o->tries != 0 ? o->tries : 5;
    const uint32_t first_ms = o->first_pause_ms != 0 ? o->first_pause_ms : 1000;
    uint32_t wait_ms = first_ms;
    for (uint32_t failed = 0, n = 1;; n++) {
        bool again = false;
        enum frt_status status = try_once(t, &again, err);
        *resumed = *resumed || t->resumed;
        if (status == FRT_OK || !again)
            return status;
        bool came = t->have > t->asked_from + WORTH_BYTES;
        failed = came ? 1 : failed + 1;
        wait_ms = came ? first_ms : wait_ms;
        if (failed >= tries || n >= MOST_TRIES)
            return status;
        if (!pause_ms(o, wait_ms))
            return frt_fail(err, FRT_ECANCELLED, "%s: cancelled; the same command goes on with it", o->url);
        wait_ms = wait_ms < 16000 ? 2 * wait_ms : wait_ms;
    }
}

enum frt_status frt_fetch_file(const struct frt_fetch_options *options, struct frt_fetch_result *out,
                               struct frt_error *err)
{
    bool resumed = false;
    if (!frt_fetch_is_url(options->url) || strlen(options->url) >= URL_MAX ||
        strchr(options->url, '\n') != NULL)
        return frt_fail(err, FRT_EINVAL, "%.200s: not an http:// or https:// address of at most %d bytes",
                        options->url, URL_MAX - 1);
    struct frt_error own;
    if (err == NULL)
        err = &own;
    struct frt_http_client *client = NULL;
    const struct frt_http_client_options connection = {.ca_file = options->ca_file};
    enum frt_status status = frt_http_client_new(&connection, &client, err);
    if (status != FRT_OK)
        return status;
    struct transfer *t = frt_alloc_zero(1, sizeof *t);
    if (t == NULL) {
        frt_http_client_free(client);
        return frt_fail_nomem(err, "a download");
    }
    t->options = options;
    t->client = client;
    t->fd = -1;
    status = open_part(t, err);
    if (status == FRT_OK)
        status = run_tries(t, &resumed, err);
    if (status == FRT_OK && (fsync(t->fd) != 0 || rename(t->part, options->path) != 0))
        status = frt_fail(err, errno == ENOSPC || errno == EDQUOT ? FRT_ESTORAGE_FULL : FRT_EIO, "%s: %s",
                          options->path, strerror(errno));
    if (status == FRT_OK) {
        (void)unlink(t->from);
        if (out != NULL)
            *out = (struct frt_fetch_result){.size = t->have, .resumed = resumed};
    }
    if (t->fd >= 0)
        (void)close(t->fd);
    frt_free(t);
    frt_http_client_free(client);
    return status;
}
