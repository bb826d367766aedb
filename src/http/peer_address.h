/*
 * Whose request it is, when proxies stand in front: the settings' `trusted_proxies` as a list of networks, and
 * the client's address from what the connection and X-Forwarded-For say.
 *
 * X-Forwarded-For is believed only on a connection from a trusted address, and only as far as trusted addresses
 * wrote it: it is read from its end, each proxy having put the address it was asked from behind what it was
 * given, and the first address that is not trusted is the client. What a client writes there himself stands
 * further left and is never reached.
 *
 * Addresses are 16 bytes: IPv6, or IPv4 within it. Threading: immutable after parsing; pure functions.
 */
#ifndef FRT_HTTP_PEER_ADDRESS_H
#define FRT_HTTP_PEER_ADDRESS_H

#include "core/status.h"
#include "http/request.h"

enum { HTTP_MAX_PROXIES = 32, HTTP_FORWARDED_SIZE = 512 };

struct http_proxies {
    struct {
        uint8_t address[HTTP_PEER_BYTES];
        uint32_t bits;
    } networks[HTTP_MAX_PROXIES];
    size_t n;
};

struct sockaddr;

/** "10.0.0.0/8, ::1, 192.0.2.7": networks, or single addresses. "" = none. Errors: FRT_EINVAL, with the word.
 */
FRT_NODISCARD enum frt_status http_proxies_parse(const char *text, struct http_proxies *out,
                                                 struct frt_error *err);
bool http_proxies_trust(const struct http_proxies *proxies, const uint8_t address[HTTP_PEER_BYTES]);

/** The address of a connection; zeros when it has none (NULL, another family). */
void http_peer_of_socket(const struct sockaddr *any, uint8_t out[HTTP_PEER_BYTES]);
/**
 * The client behind it.
 * address    in: of the connection; out: of the client.
 * forwarded  all values of X-Forwarded-For in their order, ", " between them; the end of them, when they are
 * long.
 */
void http_peer_behind(const struct http_proxies *proxies, const char *forwarded,
                      uint8_t address[HTTP_PEER_BYTES]);
/** Of IPv6 the /64 alone: what one host can easily choose from counts as one. */
void http_peer_cut(uint8_t address[HTTP_PEER_BYTES]);

#endif
