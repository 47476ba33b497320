#include "net/netwatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE_US = 100000 };

struct netwatch {
    int fd;
    GSource *source;
    struct loop_timer *timer;
    uint64_t addresses; /* see sum_of_addresses */
    bool settling;
    void (*on_change)(void *ctx, bool addresses);
    void *ctx;
};

/* IFF_RUNNING goes when the cable is pulled or the access point is lost, IFF_UP when the interface
 * is turned off; its addresses may stay in both cases. */
static bool usable(const struct ifaddrs *i, char text[INET6_ADDRSTRLEN])
{
    if (!i->ifa_addr || (i->ifa_flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING))
        return false;
    int family = i->ifa_addr->sa_family;
    const void *bytes = family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)i->ifa_addr)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
    return (family == AF_INET || family == AF_INET6) &&
           inet_ntop(family, bytes, text, INET6_ADDRSTRLEN);
}

bool netwatch_has_address(const char *address)
{
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];
    bool found = false;
    if (getifaddrs(&all) < 0)
        return true; /* not known to be gone */
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = usable(i, text) && !strcmp(text, address);
    freeifaddrs(all);
    return found;
}

/* Whatever order they are listed in; two sets with the same sum would be a coincidence. */
static uint64_t sum_of_addresses(void)
{
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];
    uint64_t sum = 0;
    if (getifaddrs(&all) < 0)
        return 0;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!usable(i, text))
            continue;
        uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
        for (const char *p = text; *p; p++)
            hash = (hash ^ (uint8_t)*p) * 0x100000001b3;
        sum += hash;
    }
    freeifaddrs(all);
    return sum;
}

static void settled(void *ctx)
{
    struct netwatch *w = ctx;
    uint64_t addresses = sum_of_addresses();
    bool changed = addresses != w->addresses;
    w->addresses = addresses;
    w->settling = false;
    w->on_change(w->ctx, changed);
}

/* What is in the messages does not matter: the addresses are read anew. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer ctx)
{
    (void)condition;
    struct netwatch *w = ctx;
    char buffer[8192];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS)) {
        if (!w->settling)
            loop_timer_set(w->timer, clock_now_us() + SETTLE_US);
        w->settling = true;
    }
    return G_SOURCE_CONTINUE;
}

struct netwatch *netwatch_new(struct loop *l, void (*on_change)(void *ctx, bool addresses),
                              void *ctx)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                               RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                               RTMGRP_IPV6_ROUTE};
    struct netwatch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->on_change = on_change;
    w->ctx = ctx;
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    w->timer = loop_timer_new(l, settled, w);
    if (w->fd < 0 || !w->timer || bind(w->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        LOG_INFO(net, "changes of the network are not told by this system: %s", strerror(errno));
        netwatch_free(&w);
        return NULL;
    }
    w->addresses = sum_of_addresses();
    w->source = g_unix_fd_source_new(w->fd, G_IO_IN);
    g_source_set_callback(w->source, G_SOURCE_FUNC(on_readable), w, NULL);
    g_source_attach(w->source, loop_context(l));
    return w;
}

void netwatch_free(struct netwatch **watch)
{
    struct netwatch *w = *watch;
    *watch = NULL;
    if (!w)
        return;
    if (w->source) {
        g_source_destroy(w->source);
        g_source_unref(w->source);
    }
    loop_timer_free(&w->timer);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}
