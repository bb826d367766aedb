#include "http/peer_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_SIZE = 64, V4_AT = 12, V4_BITS = 96 };
static const uint8_t v4_mapped[V4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* An address as text, without port and brackets. */
static bool parse_address(const char *text, uint8_t out[HTTP_PEER_BYTES])
{
    uint8_t v6[HTTP_PEER_BYTES];
    if (inet_pton(AF_INET, text, v6 + V4_AT) == 1)
        memcpy(v6, v4_mapped, V4_AT);
    else if (inet_pton(AF_INET6, text, v6) != 1)
        return false;
    memcpy(out, v6, sizeof v6);
    return true;
}

static bool is_v4(const uint8_t address[HTTP_PEER_BYTES])
{
    return memcmp(address, v4_mapped, V4_AT) == 0;
}

static bool within(const uint8_t address[HTTP_PEER_BYTES], const uint8_t network[HTTP_PEER_BYTES],
                   uint32_t bits)
{
    const size_t whole = bits / 8;
    const uint32_t left = bits % 8;
    if (memcmp(address, network, whole) != 0)
        return false;
    return left == 0 || ((address[whole] ^ network[whole]) >> (8 - left)) == 0;
}

bool http_proxies_trust(const struct http_proxies *proxies, const uint8_t address[HTTP_PEER_BYTES])
{
    for (size_t i = 0; i < proxies->n; i++)
        if (within(address, proxies->networks[i].address, proxies->networks[i].bits))
            return true;
    return false;
}

/* "10.0.0.0/8" or "::1". */
static bool parse_network(char *word, uint8_t address[HTTP_PEER_BYTES], uint32_t *bits)
{
    char *slash = strchr(word, '/'), *end = NULL;
    if (slash != NULL)
        *slash = '\0';
    if (!parse_address(word, address))
        return false;
    const unsigned long most = is_v4(address) ? 32 : 128;
    unsigned long wanted = most;
    if (slash != NULL) {
        *slash = '/';
        if (slash[1] < '0' || slash[1] > '9')
            return false;
        wanted = strtoul(slash + 1, &end, 10);
        if (*end != '\0' || wanted > most)
            return false;
    }
    *bits = (uint32_t)wanted + (most == 32 ? V4_BITS : 0);
    return true;
}

enum frt_status http_proxies_parse(const char *text, struct http_proxies *out, struct frt_error *err)
{
    struct http_proxies proxies = {.n = 0};
    char word[WORD_SIZE];
    for (const char *at = text + strspn(text, ", "); *at != '\0'; at += strspn(at, ", ")) {
        const size_t n = strcspn(at, ", ");
        if (proxies.n == HTTP_MAX_PROXIES)
            return frt_fail(err, FRT_EINVAL, "trusted_proxies names more than %d networks", HTTP_MAX_PROXIES);
        if (n < sizeof word) {
            memcpy(word, at, n);
            word[n] = '\0';
        }
        if (n >= sizeof word ||
            !parse_network(word, proxies.networks[proxies.n].address, &proxies.networks[proxies.n].bits))
            return frt_fail(err, FRT_EINVAL,
                            "trusted_proxies: '%.*s' is no address and no network; 10.0.0.0/8 or ::1 is right",
                            (int)(n < WORD_SIZE ? n : WORD_SIZE), at);
        proxies.n++;
        at += n;
    }
    *out = proxies;
    return FRT_OK;
}

void http_peer_of_socket(const struct sockaddr *any, uint8_t out[HTTP_PEER_BYTES])
{
    memset(out, 0, HTTP_PEER_BYTES);
    if (any != NULL && any->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, any, sizeof v6);
        memcpy(out, &v6.sin6_addr, HTTP_PEER_BYTES);
    } else if (any != NULL && any->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, any, sizeof v4);
        memcpy(out, v4_mapped, V4_AT);
        memcpy(out + V4_AT, &v4.sin_addr, 4);
    }
}

void http_peer_cut(uint8_t address[HTTP_PEER_BYTES])
{
    if (!is_v4(address))
        memset(address + HTTP_PEER_BYTES / 2, 0, HTTP_PEER_BYTES / 2);
}

/* One element of the header: blanks around it, perhaps brackets, perhaps a port. */
static bool parse_hop(const char *text, size_t size, uint8_t out[HTTP_PEER_BYTES])
{
    char word[WORD_SIZE];
    while (size > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        size--;
    }
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    if (size == 0 || size >= sizeof word)
        return false;
    memcpy(word, text, size);
    word[size] = '\0';
    char *host = word, *colon = strrchr(word, ':');
    if (word[0] == '[') {
        char *close = strchr(word, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return false;
        *close = '\0';
        host = word + 1;
    } else if (colon != NULL && strchr(word, ':') == colon) {
        *colon = '\0'; /* one colon: IPv4 and a port */
    }
    return parse_address(host, out);
}

void http_peer_behind(const struct http_proxies *proxies, const char *forwarded,
                      uint8_t address[HTTP_PEER_BYTES])
{
    size_t end = strlen(forwarded);
    while (end > 0 && http_proxies_trust(proxies, address)) {
        size_t begin = end;
        while (begin > 0 && forwarded[begin - 1] != ',')
            begin--;
        if (!parse_hop(forwarded + begin, end - begin, address))
            return; /* a trusted one wrote what is no address ("unknown"): it is as far as one can see */
        end = begin > 0 ? begin - 1 : 0;
    }
}
