/* gop_cache: the access units since the last IRAP of a stream that is passed through, so that a
 * viewer who joins in the middle sees a picture at once. Bounded in bytes: a group that exceeds
 * it is given up until the next IRAP. Network thread. */
#ifndef HEVCAST_SESSION_GOP_CACHE_H
#define HEVCAST_SESSION_GOP_CACHE_H

#include "base/picture.h"

struct gop_cache {
    struct access_unit **au; /* owned references */
    int count, cap;
    size_t bytes, max_bytes;
    bool overflowed;         /* the group outgrew the bound: wait for the next IRAP */
};

void gop_cache_init(struct gop_cache *g, size_t max_bytes);
void gop_cache_add(struct gop_cache *g, struct access_unit *au); /* borrows; keeps a reference */
void gop_cache_clear(struct gop_cache *g);

#endif
