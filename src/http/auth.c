#include "http/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/admission.h"
#include "http/listen_address.h"

/* Size of the authority without the port that its scheme implies. */
static size_t without_port(const char *authority, const char *port)
{
    size_t n = strlen(authority), k = strlen(port);
    return n > k && strcmp(authority + n - k, port) == 0 ? n - k : n;
}

bool http_origin_is_host(const char *origin, const char *host)
{
    const char *port, *authority;
    if (host == NULL)
        return false;
    if (strncasecmp(origin, "https://", 8) == 0) {
        authority = origin + 8;
        port = ":443";
    } else if (strncasecmp(origin, "http://", 7) == 0) {
        authority = origin + 7;
        port = ":80";
    } else {
        return false; /* "null" and what is no web page's */
    }
    size_t n = without_port(authority, port);
    return n > 0 && n == without_port(host, port) && strncasecmp(authority, host, n) == 0;
}

static bool configured(struct http_service *service, const struct http_request *request,
                       struct http_response *response, bool *out)
{
    struct frt_error err = {0};
    enum frt_status status = frt_access_configured(service->access, out, &err);
    if (status == FRT_OK)
        return true;
    frt_log(FRT_LOG_ERROR, "access", FRT_LOG_STR("error", err.text), FRT_LOG_END);
    http_problem(response, request, FRT_EUNAVAILABLE,
                 "the store of credentials cannot be read; try again later");
    return false;
}

bool http_auth_host(struct http_service *service, const struct http_request *request,
                    struct http_response *response)
{
    bool credentials = false;
    if (!configured(service, request, response, &credentials))
        return false;
    if (credentials || (service->loopback && http_host_is_loopback(request->host)))
        return true;
    http_problem(response, request, FRT_EFORBIDDEN,
                 service->loopback
                     ? "the Host header is missing or names another machine; without credentials the "
                       "service answers to localhost, 127.0.0.1 and [::1] only"
                     : "there are no credentials any more; 'frt user add' or 'frt key create' makes some");
    return false;
}

static void unauthorized(const struct http_request *request, struct http_response *response, bool given,
                         const char *detail)
{
    http_problem(response, request, FRT_EUNAUTHORIZED, detail);
    http_response_header(response, "WWW-Authenticate",
                         given ? "Bearer realm=\"frt\", error=\"invalid_token\"" : "Bearer realm=\"frt\"");
}

/* The token of "Bearer TOKEN", NULL when it is another scheme. */
static const char *bearer(const char *authorization)
{
    if (strncasecmp(authorization, "Bearer", 6) != 0 || (authorization[6] != ' ' && authorization[6] != '\t'))
        return NULL;
    return authorization + 6 + strspn(authorization + 6, " \t");
}

static enum frt_status identify(struct http_service *service, const struct http_request *request,
                                struct frt_caller *caller, struct frt_error *err)
{
    if (request->authorization != NULL) {
        const char *token = bearer(request->authorization);
        if (token == NULL)
            return frt_fail(err, FRT_EUNAUTHORIZED, "the Authorization header must be 'Bearer TOKEN'");
        if (strncmp(token, "frt_k_", 6) == 0) /* a key: scrapers know no other header. A JWT begins with ey. */
            return frt_access_check_key(service->access, token, caller, err);
        return frt_access_check_token(service->access, token, strlen(token), caller, err);
    }
    return frt_access_check_key(service->access, request->api_key, caller, err);
}

bool http_auth_route(struct http_service *service, struct http_request *request, const struct http_route *route,
                     struct http_response *response)
{
    struct frt_error err = {0};
    struct frt_caller caller = {.role = FRT_ROLE_NONE};
    bool credentials = false, given = request->authorization != NULL || request->api_key != NULL;
    char text[160];
    if ((route->flags & HTTP_CHANGES) != 0 && request->origin != NULL &&
        !http_origin_is_host(request->origin, request->host)) {
        http_problem(
            response, request, FRT_EFORBIDDEN,
            "the Origin header names another page's host; only the service's own pages may ask for this");
        return false;
    }
    if (!configured(service, request, response, &credentials))
        return false;
    if (!credentials) {
        request->role = FRT_ROLE_ADMIN;
        return true;
    }
    if (route->role == FRT_ROLE_NONE)
        return true;
    if (!given) {
        unauthorized(request, response, false,
                     "this needs credentials: 'Authorization: Bearer TOKEN' of a login, or 'X-API-Key: KEY'");
        return false;
    }
    enum frt_status status = identify(service, request, &caller, &err);
    if (status == FRT_EUNAUTHORIZED) {
        unauthorized(request, response, true, err.text);
    } else if (status != FRT_OK) {
        frt_log(FRT_LOG_ERROR, "access", FRT_LOG_STR("error", err.text), FRT_LOG_END);
        http_problem(response, request, FRT_EUNAVAILABLE,
                     "the store of credentials cannot be read; try again later");
    } else if (caller.role < route->role) {
        (void)snprintf(text, sizeof text, "this needs the role %s; these credentials have %s",
                       frt_role_name(route->role), frt_role_name(caller.role));
        http_problem(response, request, FRT_EFORBIDDEN, text);
        status = FRT_EFORBIDDEN;
    }
    request->role = caller.role;
    if (status == FRT_OK)
        request->client = http_client_number(service, caller.name, strlen(caller.name));
    return status == FRT_OK;
}
