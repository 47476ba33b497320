/* netwatch: this machine's addresses, and when they or its routes change (rtnetlink).
 * Network thread. */
#ifndef HEVCAST_NET_NETWATCH_H
#define HEVCAST_NET_NETWATCH_H

#include "net/loop.h"

#include <stdbool.h>

struct netwatch;
/* on_change comes some 100 ms after a change, once for those that come together. addresses: the set
 * of usable addresses is another one now; else routes or something without a meaning for us.
 * NULL: the system does not let us (a sandbox); then nothing is ever told. */
struct netwatch *netwatch_new(struct loop *l, void (*on_change)(void *ctx, bool addresses),
                              void *ctx);
void netwatch_free(struct netwatch **w);
/* Is this numeric address one of an interface that is up and has a carrier? Any thread. */
bool netwatch_has_address(const char *address);

#endif
