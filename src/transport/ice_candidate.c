#include "base/error.h"
#include "transport/ice.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* The next word: its length, 0 at the end. */
static size_t next_word(const char **p, const char **word)
{
    *p += strspn(*p, " ");
    *word = *p;
    size_t n = strcspn(*p, " \r\n");
    *p += n;
    return n;
}

static bool word_number(const char *word, size_t n, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (n == 0 || n > 10)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(word[i] - '0');
    }
    *out = value;
    return value <= max;
}

static bool word_is(const char *word, size_t n, const char *text)
{
    return n == strlen(text) && !strncasecmp(word, text, n);
}

static int malformed(void)
{
    return error_set(ERR_PROTOCOL, "the peer sent a malformed ICE candidate");
}

static int parse_type(const char *p, struct ice_candidate *out)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {
        {"host", ICE_HOST}, {"srflx", ICE_SRFLX}, {"prflx", ICE_PRFLX}, {"relay", ICE_RELAY}};
    const char *word;
    size_t n = next_word(&p, &word);
    if (!word_is(word, n, "typ") || (n = next_word(&p, &word)) == 0)
        return malformed();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (word_is(word, n, types[i].name)) {
            out->type = types[i].type;
            return 1; /* raddr, generation and what else follows says nothing that we need */
        }
    }
    return 0;
}

int ice_candidate_parse(const char *text, struct ice_candidate *out)
{
    static const char head[] = "candidate:";
    memset(out, 0, sizeof *out);
    if (!strncmp(text, "a=", 2))
        text += 2;
    if (strncasecmp(text, head, sizeof head - 1))
        return malformed();
    const char *p = text + sizeof head - 1, *foundation, *transport, *address, *word;
    uint64_t component, priority, port;
    size_t foundation_len = next_word(&p, &foundation);
    size_t n = next_word(&p, &word);
    if (foundation_len == 0 || foundation_len >= sizeof out->foundation ||
        !word_number(word, n, 65535, &component))
        return malformed();
    size_t transport_len = next_word(&p, &transport);
    n = next_word(&p, &word);
    if (transport_len == 0 || !word_number(word, n, UINT32_MAX, &priority))
        return malformed();
    size_t address_len = next_word(&p, &address);
    n = next_word(&p, &word);
    if (address_len == 0 || !word_number(word, n, 65535, &port))
        return malformed();
    int rc = parse_type(p, out);
    if (rc < 0)
        return rc;
    memcpy(out->foundation, foundation, foundation_len);
    out->priority = (uint32_t)priority;
    out->port = (int)port;
    if (rc == 0 || component != 1 || !word_is(transport, transport_len, "udp") || port == 0 ||
        address_len >= sizeof out->address)
        return 0;
    memcpy(out->address, address, address_len);
    struct in6_addr any;
    return inet_pton(AF_INET, out->address, &any) == 1 ||
           inet_pton(AF_INET6, out->address, &any) == 1;
}
