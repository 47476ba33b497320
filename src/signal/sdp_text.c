/* Spans, lines and the writer of the SDP files. */
#include "signal/sdp_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

bool span_is(struct span s, const char *text)
{
    return strlen(text) == s.n && memcmp(s.p, text, s.n) == 0;
}

bool span_is_nocase(struct span s, const char *text)
{
    if (strlen(text) != s.n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (lower(s.p[i]) != lower(text[i]))
            return false;
    }
    return true;
}

bool span_starts(struct span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

struct span span_next(struct span *s, char sep)
{
    struct span part = {s->p, 0};
    while (part.n < s->n && s->p[part.n] != sep)
        part.n++;
    size_t skip = part.n;
    while (skip < s->n && s->p[skip] == sep)
        skip++;
    s->p += skip;
    s->n -= skip;
    return part;
}

struct span span_trim(struct span s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool span_number(struct span s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0 || s.n > 20)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (v > max)
        return false;
    *out = v;
    return true;
}

bool span_copy(struct span s, char *out, size_t cap)
{
    if (s.n >= cap)
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

int sdp_next_line(struct span *rest, char *type, struct span *value)
{
    while (rest->n > 0) {
        struct span line = {rest->p, 0};
        while (line.n < rest->n && rest->p[line.n] != '\n')
            line.n++;
        size_t skip = line.n < rest->n ? line.n + 1 : line.n;
        rest->p += skip;
        rest->n -= skip;
        while (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0)
            continue;
        /* A CR inside would end a line of the answer that repeats it. */
        if (line.n < 2 || line.p[1] != '=' || line.p[0] < 'a' || line.p[0] > 'z' ||
            memchr(line.p, '\r', line.n))
            return -1;
        *type = line.p[0];
        *value = (struct span){line.p + 2, line.n - 2};
        return 1;
    }
    return 0;
}

void sdp_split_attribute(struct span line, struct span *name, struct span *value)
{
    *name = line;
    *value = (struct span){line.p + line.n, 0};
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == ':') {
            name->n = i;
            *value = (struct span){line.p + i + 1, line.n - i - 1};
            return;
        }
    }
}

bool sdp_ice_word(struct span s, size_t min, char *out, size_t cap)
{
    out[0] = '\0';
    s = span_trim(s);
    if (s.n < min || s.n > 256)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/' || c == '-' || c == '_' || c == '=')) /* the last 3: leniency */
            return false;
    }
    return span_copy(s, out, cap);
}

/* "candidate:1 1 udp …" as ice.h takes it; anything with control characters is no candidate. */
static void add_candidate(struct sdp_media *m, struct span value)
{
    static const char prefix[] = "candidate:";
    size_t at = sizeof prefix - 1;
    value = span_trim(value);
    if (m->candidate_count >= SDP_MAX_CANDIDATES || value.n == 0 ||
        value.n + at >= sizeof m->candidate[0])
        return;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < ' ' || value.p[i] > '~')
            return;
    }
    char *out = m->candidate[m->candidate_count++];
    memcpy(out, prefix, at);
    memcpy(out + at, value.p, value.n);
    out[at + value.n] = '\0';
}

bool sdp_ice_attribute(struct sdp_media *m, struct span name, struct span value)
{
    if (span_is(name, "candidate"))
        add_candidate(m, value);
    else if (span_is(name, "end-of-candidates"))
        m->end_of_candidates = true;
    else if (span_is(name, "ice-ufrag"))
        sdp_ice_word(value, 4, m->ufrag, sizeof m->ufrag);
    else if (span_is(name, "ice-pwd"))
        sdp_ice_word(value, 22, m->pwd, sizeof m->pwd);
    else
        return false;
    return true;
}

int sdp_fail(int code, char *why, size_t why_len, const char *fmt, ...)
{
    va_list ap;
    if (why && why_len > 0) {
        va_start(ap, fmt);
        vsnprintf(why, why_len, fmt, ap);
        va_end(ap);
    }
    return code;
}

void sdp_put(struct sdp_writer *w, const char *fmt, ...)
{
    va_list ap;
    if (w->failed)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(w->buf + w->len, w->cap - w->len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= w->cap - w->len)
        w->failed = true;
    else
        w->len += (size_t)n;
}

int sdp_writer_end(const struct sdp_writer *w)
{
    return w->failed ? SDP_NO_SPACE : (int)w->len;
}
