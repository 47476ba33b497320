#include "signal/whep_link.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct link {
    char target[WHEP_LINK_URL_MAX];
    char rel[128], username[256], credential[256];
};

static const char *skip_space(const char *p) { return p + strspn(p, " \t"); }

/* A token or a quoted-string (RFC 9110 section 5.6.4), cut to cap. Gives where it ends. */
static const char *param_value(const char *p, char *out, size_t cap)
{
    size_t n = 0;
    if (*p != '"') {
        size_t len = strcspn(p, ";, \t");
        snprintf(out, cap, "%.*s", (int)(len < cap ? len : cap), p);
        return p + len;
    }
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        if (n + 1 < cap)
            out[n++] = *p;
    }
    out[n] = '\0';
    return *p == '"' ? p + 1 : p;
}

static const char *one_param(const char *p, struct link *l)
{
    char name[32], value[256] = "";
    size_t n = strcspn(p, "=;, \t");
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name), p);
    p = skip_space(p + n);
    if (*p == '=')
        p = param_value(skip_space(p + 1), value, sizeof value);
    if (strcasecmp(name, "rel") == 0)
        memcpy(l->rel, value, sizeof l->rel - 1);
    else if (strcasecmp(name, "username") == 0)
        memcpy(l->username, value, sizeof l->username - 1);
    else if (strcasecmp(name, "credential") == 0)
        memcpy(l->credential, value, sizeof l->credential - 1);
    return p;
}

/* "<target>; name=value; …" up to the comma; false: nothing is left. */
static bool parse_link(const char **value, struct link *l)
{
    memset(l, 0, sizeof *l);
    const char *p = *value;
    p += strcspn(p, "<");
    if (*p == '\0')
        return false;
    size_t n = strcspn(++p, ">");
    if (n < sizeof l->target)
        memcpy(l->target, p, n);
    p += n;
    if (*p == '>')
        p++;
    p = skip_space(p);
    while (*p == ';') {
        p = skip_space(p + 1);
        p = skip_space(one_param(p, l));
    }
    *value = p + (*p == ',');
    return true;
}

static bool is_turn(const char *url)
{
    return strncasecmp(url, "turn:", 5) == 0 || strncasecmp(url, "turns:", 6) == 0;
}

static bool is_stun(const char *url)
{
    return strncasecmp(url, "stun:", 5) == 0 || strncasecmp(url, "stuns:", 6) == 0;
}

/* RFC 3986 section 2.1: all but unreserved characters as %XX. */
static void percent_encode(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    for (const char *p = text; *p && n + 4 <= cap; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        if (plain)
            out[n++] = *p;
        else
            n += (size_t)snprintf(out + n, cap - n, "%%%02X", (unsigned char)*p);
    }
    out[n] = '\0';
}

/* The text that is shown to nobody, but goes on into parsers: printable ASCII without spaces. */
static bool clean(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

static bool link_url(const struct link *l, char out[WHEP_LINK_URL_MAX])
{
    if (strcasecmp(l->rel, "ice-server") != 0 || !clean(l->target))
        return false;
    int n;
    if (is_turn(l->target) && l->username[0]) {
        char user[256], password[256];
        percent_encode(l->username, user, sizeof user);
        percent_encode(l->credential, password, sizeof password);
        size_t scheme = strcspn(l->target, ":");
        n = snprintf(out, WHEP_LINK_URL_MAX, "%.*s:%s:%s@%s", (int)scheme, l->target, user,
                     password, l->target + scheme + 1);
    } else if (is_turn(l->target) || is_stun(l->target)) {
        n = snprintf(out, WHEP_LINK_URL_MAX, "%s", l->target);
    } else {
        return false;
    }
    return n > 0 && n < WHEP_LINK_URL_MAX;
}

int whep_link_next(const char **value, char out[WHEP_LINK_URL_MAX])
{
    struct link l;
    while (parse_link(value, &l)) {
        if (link_url(&l, out))
            return 1;
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n characters of text, percent-decoded, as a quoted-string. false: no room. */
static bool quote(const char *text, size_t n, char *out, size_t cap)
{
    size_t at = 0;
    if (cap < 3)
        return false;
    out[at++] = '"';
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '%' && i + 2 < n && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
            c = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
            i += 2;
        }
        if (c < ' ' || c > '~' || at + 4 > cap)
            return false;
        if (c == '"' || c == '\\')
            out[at++] = '\\';
        out[at++] = c;
    }
    out[at++] = '"';
    out[at] = '\0';
    return true;
}

int whep_link_format(const char *url, char *out, size_t cap)
{
    int n;
    const char *at = strrchr(url, '@');
    if (!clean(url) || strpbrk(url, "<>\""))
        return -1;
    if (is_turn(url) && at) {
        char user[260], password[260];
        const char *start = strchr(url, ':') + 1;
        const char *colon = memchr(start, ':', (size_t)(at - start));
        if (!colon || !quote(start, (size_t)(colon - start), user, sizeof user) ||
            !quote(colon + 1, (size_t)(at - colon - 1), password, sizeof password))
            return -1;
        n = snprintf(out, cap,
                     "<%.*s%s>; rel=\"ice-server\"; username=%s; credential=%s; "
                     "credential-type=\"password\"",
                     (int)(start - url), url, at + 1, user, password);
    } else if (is_stun(url) || is_turn(url)) {
        n = snprintf(out, cap, "<%s>; rel=\"ice-server\"", url);
    } else {
        return -1;
    }
    return n > 0 && (size_t)n < cap ? n : -1;
}
