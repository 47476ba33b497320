#include "session/key_governor.h"

void key_governor_request(struct key_governor *g) { g->pending = true; }

int64_t key_governor_next_us(const struct key_governor *g)
{
    if (!g->pending)
        return INT64_MAX;
    return g->last_us ? g->last_us + KEY_INTERVAL_US : 0;
}

bool key_governor_poll(struct key_governor *g, int64_t now_us)
{
    if (now_us < key_governor_next_us(g))
        return false;
    g->pending = false;
    g->last_us = now_us;
    return true;
}

void key_governor_seen(struct key_governor *g, int64_t now_us)
{
    g->pending = false;
    g->last_us = now_us;
}
