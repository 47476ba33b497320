/* key_governor: one for each encode. Merges PLI, FIR, joins and purges into key frames: the first
 * at once, then at least KEY_INTERVAL_US apart (wire.md: at most one per 300 ms per encoder,
 * whatever the number of viewers that ask). Pure. */
#ifndef HEVCAST_SESSION_KEY_GOVERNOR_H
#define HEVCAST_SESSION_KEY_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

enum { KEY_INTERVAL_US = 300000 };

struct key_governor {
    int64_t last_us; /* when the last one was granted; 0: never */
    bool pending;
};

void key_governor_request(struct key_governor *g);
/* true: make a key frame now; the pending requests are thereby answered. */
bool key_governor_poll(struct key_governor *g, int64_t now_us);
/* When to poll again; INT64_MAX: nothing is pending. */
int64_t key_governor_next_us(const struct key_governor *g);
/* A key frame went out that nobody asked the governor for (a source's own): it answers all. */
void key_governor_seen(struct key_governor *g, int64_t now_us);

#endif
