/* A connection that is ready for use: whom to ask, TLS, password, database. Runs without any lock. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/redis_pool_inside.h"
#include "core/clock.h"
#include "core/crypto.h"

enum { MAX_REASON = 100 };

enum frt_status redis_ask(struct frt_redis_link *link, const struct frt_redis_command *command,
                          int64_t deadline_ns, struct frt_redis_reply **out, struct frt_error *err)
{
    struct frt_redis_reply *reply = NULL;
    enum frt_status status = frt_redis_link_ask(link, command, err);
    if (status == FRT_OK)
        status = frt_redis_link_next(link, deadline_ns, &reply, err);
    if (status == FRT_OK && frt_redis_reply_kind(reply) == FRT_REDIS_ERROR) {
        status =
            frt_fail(err, FRT_EUNAVAILABLE, "it says: %.*s", MAX_REASON, frt_redis_reply_text(reply, NULL));
        frt_redis_reply_free(reply);
    } else if (status == FRT_OK) {
        *out = reply;
    }
    return status;
}

/* For its success only. */
static enum frt_status tell(struct frt_redis_link *link, const struct frt_redis_command *command,
                            int64_t deadline_ns, struct frt_error *err)
{
    struct frt_redis_reply *reply = NULL;
    const enum frt_status status = redis_ask(link, command, deadline_ns, &reply, err);
    if (status == FRT_OK)
        frt_redis_reply_free(reply);
    return status;
}

/* The file's first line. */
static enum frt_status read_password(const char *path, char out[FRT_REDIS_PASSWORD_SIZE], struct frt_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return frt_fail(err, FRT_EUNAVAILABLE, "'redis_password_file' (%s): %s", path, strerror(errno));
    const bool got = fgets(out, FRT_REDIS_PASSWORD_SIZE, file) != NULL;
    (void)fclose(file);
    if (got)
        out[strcspn(out, "\r\n")] = '\0';
    if (!got || out[0] == '\0')
        return frt_fail(err, FRT_EUNAVAILABLE, "'redis_password_file' (%s) holds no password", path);
    return FRT_OK;
}

static enum frt_status log_in(const struct frt_redis *redis, struct frt_redis_link *link, int64_t deadline_ns,
                              struct frt_error *err)
{
    char password[FRT_REDIS_PASSWORD_SIZE];
    struct frt_redis_command command = {0};
    enum frt_status status = FRT_OK;
    (void)snprintf(password, sizeof password, "%s", redis->address.password);
    if (redis->password_file != NULL)
        status = read_password(redis->password_file, password, err);
    if (status == FRT_OK && password[0] != '\0') {
        frt_redis_word(&command, "AUTH");
        if (redis->address.user[0] != '\0')
            frt_redis_word(&command, redis->address.user);
        frt_redis_word(&command, password);
        status = tell(link, &command, deadline_ns, err);
    }
    frt_wipe(password, sizeof password);
    return status;
}

static enum frt_status choose_database(const struct frt_redis *redis, struct frt_redis_link *link,
                                       int64_t deadline_ns, struct frt_error *err)
{
    char number[24];
    struct frt_redis_command command = {0};
    if (redis->address.db == 0)
        return FRT_OK;
    frt_redis_word(&command, "SELECT");
    frt_redis_word_int(&command, redis->address.db, number);
    return tell(link, &command, deadline_ns, err);
}

static enum frt_status connect_one(const struct frt_redis *redis, const struct frt_redis_host *host, double *ms,
                                   struct frt_redis_link **out, struct frt_error *err)
{
    struct frt_redis_link *link = NULL;
    struct frt_redis_command ping = {0};
    const int64_t deadline_ns = frt_now_ns() + (int64_t)REDIS_CONNECT_MS * 1000000;
    enum frt_status status = frt_redis_link_open(host, redis->tls, deadline_ns, &link, err);
    if (status == FRT_OK)
        status = log_in(redis, link, deadline_ns, err);
    if (status == FRT_OK)
        status = choose_database(redis, link, deadline_ns, err);
    const int64_t start = frt_now_ns();
    frt_redis_word(&ping, "PING");
    if (status == FRT_OK)
        status = tell(link, &ping, deadline_ns, err);
    *ms = frt_elapsed_ms(start);
    if (status == FRT_OK)
        *out = link;
    else
        frt_redis_link_close(link);
    return status;
}

/* Whom a Sentinel holds for the master. */
static enum frt_status ask_sentinel(const struct frt_redis *redis, const struct frt_redis_host *sentinel,
                                    struct frt_redis_host *out, struct frt_error *err)
{
    struct frt_redis_link *link = NULL;
    struct frt_redis_reply *reply = NULL;
    struct frt_redis_command command = {0};
    const int64_t deadline_ns = frt_now_ns() + (int64_t)REDIS_CONNECT_MS * 1000000;
    enum frt_status status = frt_redis_link_open(sentinel, redis->tls, deadline_ns, &link, err);
    frt_redis_word(&command, "SENTINEL");
    frt_redis_word(&command, "get-master-addr-by-name");
    frt_redis_word(&command, redis->address.master);
    if (status == FRT_OK)
        status = redis_ask(link, &command, deadline_ns, &reply, err);
    if (status == FRT_OK) {
        char text[FRT_REDIS_TEXT_SIZE];
        size_t size = 0;
        bool good = frt_redis_reply_count(reply) == 2;
        if (good) {
            const char *name = frt_redis_reply_text(frt_redis_reply_at(reply, 0), &size);
            const bool v6 = strchr(name, ':') != NULL;
            (void)snprintf(text, sizeof text, v6 ? "[%.255s]:%.8s" : "%.255s:%.8s", name,
                           frt_redis_reply_text(frt_redis_reply_at(reply, 1), NULL));
            good = frt_redis_host_parse(text, strlen(text), 0, out);
        }
        if (!good)
            status =
                frt_fail(err, FRT_EUNAVAILABLE, "the Sentinel knows no master '%s'", redis->address.master);
        frt_redis_reply_free(reply);
    }
    frt_redis_link_close(link);
    return status;
}

enum frt_status redis_connect(const struct frt_redis *redis, const struct frt_redis_host *host, bool first,
                              struct frt_redis_host *reached, double *ms, struct frt_redis_link **out,
                              struct frt_error *err)
{
    struct frt_redis_host target = *host;
    enum frt_status status = FRT_EUNAVAILABLE;
    if (!first) {
        status = connect_one(redis, &target, ms, out, err);
    } else {
        for (size_t i = 0; i < redis->address.n_hosts && status != FRT_OK; i++) {
            target = redis->address.hosts[i];
            if (redis->address.sentinel)
                status = ask_sentinel(redis, &redis->address.hosts[i], &target, err);
            if (status == FRT_OK || !redis->address.sentinel)
                status = connect_one(redis, &target, ms, out, err);
        }
    }
    if (status == FRT_OK)
        *reached = target;
    return status;
}
