/* frt ping: is the service there, and ready? For health checks of containers, and scripts that wait. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/service_call.h"

enum { MAX_ANSWER_BYTES = 64 << 10, PING_QUIET_MS = 5000 };

/* What the service listens on, as somebody on the same machine reaches it: every address is loopback's, too. */
static enum frt_status url_of(const char *listen, char *out, size_t size, struct frt_error *err)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL)
        return frt_fail(err, FRT_EINVAL, "listen is '%s'; ADDRESS:PORT is right", listen);
    if (strcmp(colon, ":0") == 0)
        return frt_fail(err, FRT_EINVAL, "listen is '%s', a port that the system picks; --url names it",
                        listen);
    const size_t host = (size_t)(colon - listen);
    if (host == 0 || (host == 7 && strncmp(listen, "0.0.0.0", host) == 0))
        (void)snprintf(out, size, "http://127.0.0.1%s", colon);
    else if (host == 4 && strncmp(listen, "[::]", host) == 0)
        (void)snprintf(out, size, "http://[::1]%s", colon);
    else
        (void)snprintf(out, size, "http://%s", listen);
    return FRT_OK;
}

int cli_ping(struct cli_run *run)
{
    char url[FRT_CONFIG_TEXT_MAX + 32];
    struct frt_error err = {0};
    struct frt_buf answer;
    enum frt_status status = FRT_OK;
    int code = 0;
    cli_catch_interrupts();
    frt_buf_init(&answer, MAX_ANSWER_BYTES);
    if (!cli_has(run, "url"))
        status = url_of(run->config.listen, url, sizeof url, &err);
    const struct cli_service_call call = {.url = cli_has(run, "url") ? cli_text(run, "url") : url,
                                          .path = cli_has(run, "live") ? "/healthz" : "/readyz",
                                          .headers = "",
                                          .quiet_ms = PING_QUIET_MS};
    if (status == FRT_OK)
        status = cli_service_get(&call, &code, &answer, &err);
    if (status == FRT_OK && code != 200)
        status = frt_fail(&err, FRT_EUNAVAILABLE, "%s%s answers %d", call.url, call.path, code);
    if (status == FRT_ETIMEOUT)
        err.status = FRT_EUNAVAILABLE; /* silent or absent: to who waits for it the same */
    if (status == FRT_OK)
        (void)printf("%s is %s\n", call.url, cli_has(run, "live") ? "alive" : "ready");
    frt_buf_deinit(&answer);
    return status == FRT_OK ? FRT_EXIT_OK : cli_complain(run, &err);
}
