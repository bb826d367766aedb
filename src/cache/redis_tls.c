#include "cache/redis_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <string.h>

#include "core/mem.h"

struct frt_redis_tls {
    gnutls_certificate_credentials_t credentials;
};

struct frt_redis_tls_session {
    gnutls_session_t session;
};

enum frt_status frt_redis_tls_new(const char *ca_file, const char *cert_file, struct frt_redis_tls **out,
                                  struct frt_error *err)
{
    struct frt_redis_tls *tls = frt_alloc_zero(1, sizeof *tls);
    if (tls == NULL)
        return frt_fail_nomem(err, "TLS");
    if (gnutls_certificate_allocate_credentials(&tls->credentials) != GNUTLS_E_SUCCESS) {
        frt_free(tls);
        return frt_fail_nomem(err, "TLS");
    }
    enum frt_status status = FRT_OK;
    int n = ca_file[0] == '\0'
                ? gnutls_certificate_set_x509_system_trust(tls->credentials)
                : gnutls_certificate_set_x509_trust_file(tls->credentials, ca_file, GNUTLS_X509_FMT_PEM);
    if (n <= 0 && ca_file[0] != '\0')
        status = frt_fail(err, FRT_EINVAL, "'redis_ca_file' (%s) holds no certificates: %s", ca_file,
                          n == 0 ? "it is empty" : gnutls_strerror(n));
    if (status == FRT_OK && cert_file[0] != '\0') {
        n = gnutls_certificate_set_x509_key_file(tls->credentials, cert_file, cert_file, GNUTLS_X509_FMT_PEM);
        if (n < 0)
            status = frt_fail(err, FRT_EINVAL, "'redis_cert_file' (%s) holds no certificate with its key: %s",
                              cert_file, gnutls_strerror(n));
    }
    if (status == FRT_OK)
        *out = tls;
    else
        frt_redis_tls_free(tls);
    return status;
}

void frt_redis_tls_free(struct frt_redis_tls *tls)
{
    if (tls == NULL)
        return;
    gnutls_certificate_free_credentials(tls->credentials);
    frt_free(tls);
}

static bool is_number(const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

enum frt_status frt_redis_tls_start(struct frt_redis_tls *tls, int fd, const char *name,
                                    struct frt_redis_tls_session **out, struct frt_error *err)
{
    struct frt_redis_tls_session *s = frt_alloc_zero(1, sizeof *s);
    if (s == NULL)
        return frt_fail_nomem(err, "a TLS session");
    if (gnutls_init(&s->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != GNUTLS_E_SUCCESS) {
        frt_free(s);
        return frt_fail_nomem(err, "a TLS session");
    }
    int n = gnutls_set_default_priority(s->session);
    if (n == GNUTLS_E_SUCCESS)
        n = gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    if (n == GNUTLS_E_SUCCESS && !is_number(name)) /* RFC 6066: numbers are no names of servers */
        n = gnutls_server_name_set(s->session, GNUTLS_NAME_DNS, name, strlen(name));
    if (n != GNUTLS_E_SUCCESS) {
        frt_redis_tls_end(s);
        return frt_fail(err, FRT_EUNAVAILABLE, "TLS: %s", gnutls_strerror(n));
    }
    gnutls_session_set_verify_cert(s->session, name, 0);
    gnutls_transport_set_int(s->session, fd);
    *out = s;
    return FRT_OK;
}

void frt_redis_tls_end(struct frt_redis_tls_session *session)
{
    if (session == NULL)
        return;
    gnutls_deinit(session->session);
    frt_free(session);
}

enum frt_status frt_redis_tls_shake(struct frt_redis_tls_session *session, short *events, struct frt_error *err)
{
    const int n = gnutls_handshake(session->session);
    if (n == GNUTLS_E_SUCCESS)
        return FRT_OK;
    if (gnutls_error_is_fatal(n) == 0) {
        *events = gnutls_record_get_direction(session->session) != 0 ? POLLOUT : POLLIN;
        return FRT_ETIMEOUT;
    }
    gnutls_datum_t why = {NULL, 0};
    if (n == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
        gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(session->session),
                                                     GNUTLS_CRT_X509, &why, 0) == GNUTLS_E_SUCCESS) {
        const enum frt_status status = frt_fail(err, FRT_EUNAVAILABLE, "TLS: %s", (const char *)why.data);
        gnutls_free(why.data);
        return status;
    }
    return frt_fail(err, FRT_EUNAVAILABLE, "TLS: %s", gnutls_strerror(n));
}

static ssize_t as_errno(ssize_t n)
{
    if (n >= 0)
        return n;
    errno = gnutls_error_is_fatal((int)n) == 0 ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t frt_redis_tls_read(struct frt_redis_tls_session *session, void *out, size_t size)
{
    const ssize_t n = gnutls_record_recv(session->session, out, size);
    return n == GNUTLS_E_PREMATURE_TERMINATION ? 0 : as_errno(n);
}

ssize_t frt_redis_tls_write(struct frt_redis_tls_session *session, const void *bytes, size_t size)
{
    return as_errno(gnutls_record_send(session->session, bytes, size));
}
