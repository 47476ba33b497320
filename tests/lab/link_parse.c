#include "link.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char *text, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0 && isfinite(*out) && *out >= 0 && *out <= most;
}

static bool percent(const char *text, double *out)
{
    if (!number(text, 100, out))
        return false;
    *out /= 100;
    return true;
}

static bool ms(const char *text, int64_t *out)
{
    double v;
    if (!number(text, 3.6e6, &v))
        return false;
    *out = (int64_t)llround(v * 1000);
    return true;
}

/* 10M, 500k, 1.5M, or bits */
static bool rate(char *text, int64_t *out)
{
    size_t n = strlen(text);
    double unit = 1, v;
    if (n > 0 && strchr("kMG", text[n - 1])) {
        unit = text[n - 1] == 'k' ? 1e3 : text[n - 1] == 'M' ? 1e6 : 1e9;
        text[n - 1] = 0;
    }
    if (!number(text, 1e11, &v))
        return false;
    *out = (int64_t)llround(v * unit);
    return *out == 0 || *out >= 1000;
}

/* 300 or 300ms, or 64000B */
static bool queue(struct link_config *c, char *text)
{
    size_t n = strlen(text);
    double v;
    if (n > 1 && text[n - 1] == 'B') {
        text[n - 1] = 0;
        if (!number(text, 1e9, &v))
            return false;
        c->queue_bytes = (int64_t)v;
        c->queue_us = 0;
        return true;
    }
    if (n > 2 && strcmp(text + n - 2, "ms") == 0)
        text[n - 2] = 0;
    c->queue_bytes = 0;
    return ms(text, &c->queue_us);
}

static bool pair(char *text, double *share, double *second, double most)
{
    char *colon = strchr(text, ':');
    if (!colon)
        return number(text, 0, share); /* 0 turns it off */
    *colon = 0;
    return percent(text, share) && number(colon + 1, most, second);
}

static bool set(struct link_config *c, const char *key, char *value)
{
    if (strcmp(key, "rate") == 0)
        return rate(value, &c->rate_bps);
    if (strcmp(key, "queue") == 0)
        return queue(c, value);
    if (strcmp(key, "delay") == 0)
        return ms(value, &c->delay_us);
    if (strcmp(key, "jitter") == 0)
        return ms(value, &c->jitter_us);
    if (strcmp(key, "loss") == 0)
        return percent(value, &c->loss);
    if (strcmp(key, "duplicate") == 0)
        return percent(value, &c->duplicate);
    if (strcmp(key, "burst") == 0) {
        if (!pair(value, &c->burst_loss, &c->burst_length, 1e6))
            return false;
        return c->burst_loss == 0 || c->burst_length >= 1;
    }
    if (strcmp(key, "reorder") == 0) {
        double late_ms = 0;
        if (!pair(value, &c->reorder, &late_ms, 1e5))
            return false;
        c->reorder_us = (int64_t)llround(late_ms * 1000);
        return true;
    }
    double v;
    if (strcmp(key, "unordered") == 0 && number(value, 1, &v)) {
        c->unordered = v != 0;
        return true;
    }
    return false;
}

bool link_config_parse(struct link_config *c, const char *text, char *scratch, size_t scratch_len,
                       const char **bad)
{
    struct link_config out = *c;
    size_t len = strlen(text);
    *bad = text;
    if (len >= scratch_len)
        return false;
    memcpy(scratch, text, len + 1);
    char *rest = scratch, *word;
    while ((word = strsep(&rest, " \t\r\n,"))) {
        char *equals = strchr(word, '=');
        if (*word == 0)
            continue;
        *bad = word;
        if (!equals)
            return false;
        *equals = 0;
        if (!set(&out, word, equals + 1)) {
            *equals = '='; /* the value may be cut at its unit: enough to find the word */
            return false;
        }
    }
    *c = out;
    return true;
}
