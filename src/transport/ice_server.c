#include "base/error.h"
#include "transport/ice.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies with %XX decoded (RFC 3986 section 2.1); false: too long, or a malformed or zero byte. */
static bool copy_decoded(char *out, size_t cap, const char *from, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)from[i];
        if (c == '%') {
            if (i + 2 >= len)
                return false;
            int high = hex_digit(from[i + 1]), low = hex_digit(from[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0 || n + 1 >= cap)
            return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return n > 0;
}

/* host, host:port, [IPv6] or [IPv6]:port, all of [p, end). */
static bool parse_host_port(const char *p, const char *end, struct ice_server *out)
{
    const char *host = p, *host_end, *port = NULL;
    if (p < end && *p == '[') {
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return false;
        if (host_end + 1 < end) {
            if (host_end[1] != ':')
                return false;
            port = host_end + 2;
        }
    } else {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        host_end = colon ? colon : end;
        port = colon ? colon + 1 : NULL;
    }
    size_t n = (size_t)(host_end - host);
    if (n == 0 || n >= sizeof out->host)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)host[i] <= ' ' || strchr("/@%[]?#", host[i]))
            return false;
    memcpy(out->host, host, n);
    out->host[n] = 0;
    if (!port)
        return true;
    int value = 0;
    if (port == end || end - port > 5)
        return false;
    for (; port < end; port++) {
        if (*port < '0' || *port > '9')
            return false;
        value = value * 10 + (*port - '0');
    }
    out->port = value;
    return value >= 1 && value <= 65535;
}

static bool parse_query(const char *query, struct ice_server *out)
{
    static const char key[] = "transport=";
    if (strncasecmp(query, key, sizeof key - 1))
        return false;
    query += sizeof key - 1;
    if (!strcasecmp(query, "udp") && out->transport != 's')
        out->transport = 'u';
    else if (!strcasecmp(query, "tcp"))
        out->transport = out->transport == 's' ? 's' : 't'; /* turns: with tcp is TLS */
    else if (!strcasecmp(query, "tls"))
        out->transport = 's';
    else
        return false;
    return true;
}

static bool parse_userinfo(const char *p, const char *end, struct ice_server *out)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));
    return colon && copy_decoded(out->username, sizeof out->username, p, (size_t)(colon - p)) &&
           copy_decoded(out->password, sizeof out->password, colon + 1, (size_t)(end - colon - 1));
}

/* RFC 7064 and RFC 7065, with the credentials in front of the host. The sentences name no part
 * of the address: it may hold a password. */
int ice_server_parse(const char *url, struct ice_server *out)
{
    *out = (struct ice_server){.transport = 'u'};
    const char *p;
    if (!strncasecmp(url, "stun:", 5)) {
        p = url + 5;
    } else if (!strncasecmp(url, "turn:", 5)) {
        p = url + 5;
        out->turn = true;
    } else if (!strncasecmp(url, "turns:", 6)) {
        p = url + 6;
        out->turn = true;
        out->transport = 's';
    } else {
        return error_set(ERR_INVALID, "an ICE server is written stun:HOST[:PORT] or "
                                      "turn:USER:PASSWORD@HOST[:PORT][?transport=tcp]");
    }
    if (!strncmp(p, "//", 2)) /* not in the RFCs, but often written */
        p += 2;
    const char *at = strrchr(p, '@');
    const char *host = at ? at + 1 : p, *query = strchr(host, '?');
    const char *host_end = query ? query : host + strlen(host);
    if (out->turn && !at)
        return error_set(ERR_INVALID, "a TURN server needs credentials: "
                                      "turn:USER:PASSWORD@HOST[:PORT]");
    if (at && (!out->turn || !parse_userinfo(p, at, out)))
        return error_set(ERR_INVALID, "the credentials of the ICE server are not USER:PASSWORD "
                                      "(with :, @ and %% in them written as %%3A, %%40, %%25)");
    if (!parse_host_port(host, host_end, out))
        return error_set(ERR_INVALID, "the ICE server's address is not HOST, HOST:PORT or "
                                      "[IPV6]:PORT");
    if (query && (!out->turn || !parse_query(query + 1, out)))
        return error_set(ERR_INVALID, "an ICE server takes ?transport=udp, tcp or tls, and a STUN "
                                      "server none of them");
    if (!out->port)
        out->port = out->transport == 's' ? 5349 : 3478;
    return 0;
}
