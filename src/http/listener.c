#include "http/listener.h"

#include "http/listen_address.h"

static enum frt_status check_open_access(const struct http_service *service, const char *where,
                                         struct frt_error *err)
{
    bool credentials = false;
    enum frt_status status = frt_access_configured(service->access, &credentials, err);
    if (status != FRT_OK || service->loopback || credentials)
        return status;
    return frt_fail(err, FRT_EUNAVAILABLE,
                    "refusing to listen on %s: there are no credentials, and everybody who reaches that "
                    "address could use the service; 'frt user add EMAIL --role admin' or "
                    "'frt key create NAME --role admin' makes some; without them listen on 127.0.0.1 or [::1]",
                    where);
}

enum frt_status http_listener_open(struct http_service *service, int *fd, char *url, size_t url_size,
                                   bool *inherited, struct frt_error *err)
{
    const struct frt_config *config = service->config;
    enum frt_status status = http_listen_inherited(fd, url, url_size, &service->loopback, err);
    *inherited = status == FRT_OK && *fd >= 0;
    if (status == FRT_OK && !*inherited)
        status = http_listen_is_loopback(config->listen, &service->loopback, err);
    if (status == FRT_OK)
        status = check_open_access(service, *inherited ? url : config->listen, err);
    if (status == FRT_OK && !*inherited)
        status = http_listen(config->listen, config->reuse_port, fd, url, url_size, err);
    return status;
}
