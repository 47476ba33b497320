#include "session/gop_cache.h"

#include <stdlib.h>

void gop_cache_init(struct gop_cache *g, size_t max_bytes)
{
    *g = (struct gop_cache){.max_bytes = max_bytes};
}

static void drop_all(struct gop_cache *g)
{
    for (int i = 0; i < g->count; i++)
        access_unit_unref(&g->au[i]);
    g->count = 0;
    g->bytes = 0;
}

static bool make_room(struct gop_cache *g)
{
    if (g->count < g->cap)
        return true;
    int cap = g->cap ? g->cap * 2 : 64;
    struct access_unit **au = realloc(g->au, (size_t)cap * sizeof *au);
    if (!au)
        return false;
    g->au = au;
    g->cap = cap;
    return true;
}

void gop_cache_add(struct gop_cache *g, struct access_unit *au)
{
    if (au->irap) {
        drop_all(g);
        g->overflowed = false;
    } else if (g->overflowed || !g->count) {
        return;
    }
    if (g->bytes + au->len > g->max_bytes || !make_room(g)) {
        drop_all(g);
        g->overflowed = true;
        return;
    }
    g->au[g->count++] = access_unit_ref(au);
    g->bytes += au->len;
}

void gop_cache_clear(struct gop_cache *g)
{
    drop_all(g);
    free(g->au);
    *g = (struct gop_cache){.max_bytes = g->max_bytes};
}
