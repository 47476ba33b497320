/* ICE by libnice 0.1.21. Each agent has one stream of one component on the loop's context. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/ice.h"
#include "transport/ice_direct.h"
#include "transport/udp_segment.h"

#include <agent.h>
#include <errno.h>
#include <gio/gio.h>
#include <interfaces.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    /* RFC 8445 section 14.2: Ta may be set by the implementation, not below 5 ms. libnice's 20 ms
     * would put 20 to 60 ms in front of the first picture. */
    PACING_MS = 5,
    /* How long libnice waits with nothing left to check until it says FAILED. Longer than its
     * default of 5 s: a browser's first check can be late, and it is the one that counts when its
     * candidates are mDNS names that we do not look up. */
    IDLE_MS = 10000,
    /* libnice's consent checks go out every 4 to 6 s, once each, and it gives up 10 s after the
     * last answer: at 10 % loss both ways that ends a good connection every few minutes. RFC 7675
     * section 5.1 means 30 s. So the first loss of consent makes us select the same pair again,
     * which gives it another round: a next check after at most 6 s, and 10 s for its answer. If
     * consent is lost again within CONSENT_ROUND_US, nothing was answered: it is final, at most
     * 10 + 6 + 10 s after the last answer.
     * That is four checks, and at 20 % loss both ways one of 60 such rows of four fails: a session
     * a minute. So a peer of which authentic SRTP packets keep coming gets more rounds: it is
     * there and takes part, which is what consent is about; who leaves stops sending them. */
    CONSENT_ROUND_US = 17000000,
    HEARD_US = 5000000, /* reports come every second */
    ROUNDS_WHEN_HEARD = 5,
    /* A key frame comes as hundreds of packets at once. Bounded by net.core.{r,w}mem_max unless
     * the process may override them. */
    RECEIVE_BUFFER = 2 << 20,
    SEND_BUFFER = 1 << 20,
    MAX_ADDRESSES = 12, /* each may give a host, a reflexive and a relayed candidate */
};

struct nice {
    struct ice base;
    struct ice_config config;
    struct ice_server servers[ICE_MAX_SERVERS];
    NiceAgent *agent;
    guint stream;
    bool closed, relays;
    bool credentials_set, ended; /* the peer's; ended: its candidates are complete */
    bool connected, failed;
    /* The selected pair's own socket, for several datagrams at once. */
    bool direct_known;       /* what follows is of the pair that is selected now */
    bool segments_refused;   /* by the kernel or the device: one by one from then on */
    int direct_fd;           /* borrows; -1: relayed, or not known: libnice sends */
    struct sockaddr_storage direct_to;
    socklen_t direct_to_len;
    GSocket *direct_socket; /* owns a reference: its descriptor is that of direct */
    struct ice_direct *direct;
    int64_t consent_lost_us; /* the last time; 0: never */
    int rounds;              /* in a row without an answer */
    /* What came before the peer's credentials. */
    struct ice_candidate early[ICE_MAX_CANDIDATES];
    int early_count, remote_count;
};

static struct nice *nice_of(struct ice *ice) { return (struct nice *)ice; }

/* --- the selected pair's socket --- */

static void on_direct(void *ctx, uint8_t *data, size_t len)
{
    struct nice *n = ctx;
    if (!n->closed)
        n->config.on_packet(n->config.ctx, data, len);
}

static void drop_direct(struct nice *n)
{
    ice_direct_free(&n->direct);
    g_clear_object(&n->direct_socket);
}

static bool same_port(int fd, const NiceAddress *base)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    NiceAddress address;
    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
        return false;
    nice_address_init(&address);
    nice_address_set_from_sockaddr(&address, (const struct sockaddr *)&own);
    return nice_address_get_port(&address) == nice_address_get_port(base);
}

/* Host and reflexive pairs have a UDP socket of their own; what is relayed has to be wrapped for
 * its TURN server, which libnice does. */
static void find_direct(struct nice *n)
{
    NiceCandidate *l, *r;
    n->direct_known = true;
    n->direct_fd = -1;
    drop_direct(n);
    if (!nice_agent_get_selected_pair(n->agent, n->stream, 1, &l, &r)) {
        n->direct_known = false;
        return;
    }
    if (l->type == NICE_CANDIDATE_TYPE_RELAYED || l->transport != NICE_CANDIDATE_TRANSPORT_UDP)
        return;
    GSocket *s = nice_agent_get_selected_socket(n->agent, n->stream, 1);
    if (!s || !same_port(g_socket_get_fd(s), &l->base_addr))
        return;
    memset(&n->direct_to, 0, sizeof n->direct_to);
    nice_address_copy_to_sockaddr(&r->addr, (struct sockaddr *)&n->direct_to);
    n->direct_to_len = nice_address_ip_version(&r->addr) == 6 ? sizeof(struct sockaddr_in6)
                                                             : sizeof(struct sockaddr_in);
    n->direct_fd = g_socket_get_fd(s);
    n->direct_socket = g_object_ref(s);
    n->direct = ice_direct_new(loop_context(n->config.loop), n->direct_fd, on_direct, n);
}

/* --- signals; all come on the loop's thread, outside libnice's lock --- */

static void on_new_candidate(NiceAgent *agent, NiceCandidate *c, struct nice *n)
{
    if (n->closed || c->component_id != 1 || c->transport != NICE_CANDIDATE_TRANSPORT_UDP)
        return;
    char *text = nice_agent_generate_local_candidate_sdp(agent, c);
    if (text && !strncmp(text, "a=", 2))
        n->config.on_candidate(n->config.ctx, text + 2);
    g_free(text);
}

static void set_buffer(int fd, int option, int force_option, int bytes)
{
    if (setsockopt(fd, SOL_SOCKET, force_option, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes); /* as much as is allowed */
}

static void enlarge_buffers(struct nice *n)
{
    GPtrArray *sockets = nice_agent_get_sockets(n->agent, n->stream, 1);
    for (guint i = 0; sockets && i < sockets->len; i++) {
        int fd = g_socket_get_fd(sockets->pdata[i]);
        set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, RECEIVE_BUFFER);
        set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, SEND_BUFFER);
    }
    if (sockets)
        g_ptr_array_unref(sockets);
}

static void on_gathering_done(NiceAgent *agent, guint stream, struct nice *n)
{
    (void)agent;
    (void)stream;
    if (!n->closed)
        n->config.on_gathered(n->config.ctx);
}

static void fail(struct nice *n)
{
    if (n->failed)
        return;
    n->failed = true;
    n->config.on_state(n->config.ctx, ICE_FAILED);
}

/* See CONSENT_ROUND_US. */
static void consent_lost(struct nice *n)
{
    int64_t now_us = clock_now_us(), last_us = n->consent_lost_us;
    int64_t heard_us = n->config.heard_us ? n->config.heard_us(n->config.ctx) : 0;
    bool heard = heard_us && now_us - heard_us < HEARD_US;
    n->rounds = last_us && now_us - last_us < CONSENT_ROUND_US ? n->rounds + 1 : 0;
    n->consent_lost_us = now_us;
    NiceCandidate *local, *remote;
    if (n->rounds >= (heard ? ROUNDS_WHEN_HEARD : 1) ||
        !nice_agent_get_selected_pair(n->agent, n->stream, 1, &local, &remote)) {
        fail(n);
        return;
    }
    LOG_INFO(ice, "the peer has not answered checks for 10 s; trying on");
    char local_foundation[NICE_CANDIDATE_MAX_FOUNDATION];
    char remote_foundation[NICE_CANDIDATE_MAX_FOUNDATION];
    snprintf(local_foundation, sizeof local_foundation, "%s", local->foundation);
    snprintf(remote_foundation, sizeof remote_foundation, "%s", remote->foundation);
    if (!nice_agent_set_selected_pair(n->agent, n->stream, 1, local_foundation, remote_foundation))
        fail(n);
}

static void on_state_changed(NiceAgent *agent, guint stream, guint component, guint state,
                             struct nice *n)
{
    (void)agent;
    (void)stream;
    (void)component;
    if (n->closed)
        return;
    LOG_DEBUG(ice, "%s", nice_component_state_to_string(state));
    switch (state) {
    case NICE_COMPONENT_STATE_CONNECTED: /* a pair works; a better one may follow until READY */
    case NICE_COMPONENT_STATE_READY:
        if (!n->connected) {
            n->connected = true;
            find_direct(n);
            n->config.on_state(n->config.ctx, ICE_CONNECTED);
        }
        break;
    case NICE_COMPONENT_STATE_FAILED:
        if (n->connected)
            consent_lost(n);
        else
            fail(n);
        break;
    default:
        break;
    }
}

static void on_new_pair(NiceAgent *agent, guint stream, guint component, NiceCandidate *local,
                        NiceCandidate *remote, struct nice *n)
{
    (void)agent, (void)stream, (void)component, (void)local, (void)remote;
    if (!n->closed)
        find_direct(n);
}

static void on_receive(NiceAgent *agent, guint stream, guint component, guint len, gchar *buf,
                       gpointer ctx)
{
    (void)agent;
    (void)stream;
    (void)component;
    struct nice *n = ctx;
    if (!n->closed)
        n->config.on_packet(n->config.ctx, (uint8_t *)buf, len);
}

/* --- opening --- */

/* fe80::/10 */
static bool is_ipv6_link_local(const char *ip)
{
    return !strncasecmp(ip, "fe", 2) && strchr("89abAB", ip[2]) && ip[2];
}

/* Our own addresses, but no IPv6 link-local ones: they need a zone, which means nothing in a
 * candidate. Loopback is a candidate only where there is no other IPv4 address: RFC 8445 section
 * 5.1.1.1 has none of it, and a viewer on this machine reaches our other addresses too, as they
 * are routed inside the kernel; but a machine or a namespace without a network has nothing else. */
static void add_addresses(NiceAgent *agent)
{
    bool ipv4 = false;
    int count = 0;
    GList *ips = nice_interfaces_get_local_ips(FALSE);
    for (GList *i = ips; i; i = i->next) {
        NiceAddress address;
        nice_address_init(&address);
        if (!nice_address_set_from_string(&address, i->data))
            continue;
        bool v4 = nice_address_ip_version(&address) == 4;
        if ((!v4 && is_ipv6_link_local(i->data)) || count == MAX_ADDRESSES)
            continue;
        nice_agent_add_local_address(agent, &address);
        ipv4 |= v4;
        count++;
    }
    g_list_free_full(ips, g_free);
    if (!ipv4) {
        NiceAddress loopback;
        nice_address_init(&loopback);
        nice_address_set_from_string(&loopback, "127.0.0.1");
        nice_agent_add_local_address(agent, &loopback);
    }
}

static void add_servers(struct nice *n)
{
    bool stun = false;
    for (int i = 0; i < n->config.server_count; i++) {
        const struct ice_server *s = &n->servers[i];
        if (!s->turn) {
            if (stun)
                LOG_INFO(ice, "only the first STUN server is used; not %s", s->host);
            else
                g_object_set(n->agent, "stun-server", s->host, "stun-server-port", (guint)s->port,
                             NULL);
            stun = true;
        } else if (s->transport == 's') {
            /* libnice's TURN_TLS is the pseudo-TLS of old Google and Microsoft servers. */
            LOG_WARN(ice, "TURN over TLS is not supported; %s is not used (udp and tcp are)",
                     s->host);
        } else {
            n->relays |= nice_agent_set_relay_info(
                n->agent, n->stream, 1, s->host, (guint)s->port, s->username, s->password,
                s->transport == 't' ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP);
        }
    }
}

/* libnice's warnings (a STUN server's name that does not resolve) as lines of ours. */
static void on_library_log(const gchar *domain, GLogLevelFlags level, const gchar *text,
                           gpointer ctx)
{
    (void)domain;
    (void)ctx;
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        LOG_ERROR(ice, "libnice: %s", text);
    else
        LOG_WARN(ice, "libnice: %s", text);
}

static void take_library_log(void)
{
    g_log_set_handler("libnice",
                      G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING |
                          G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION,
                      on_library_log, NULL);
}

static int nice_open(struct ice **out, const struct ice_config *config)
{
    static pthread_once_t log_once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&log_once, take_library_log);
    struct nice *n = calloc(1, sizeof *n);
    if (!n)
        return error_set(ERR_MEMORY, "out of memory for ICE");
    n->base.ops = &ice_nice;
    n->config = *config;
    n->config.server_count =
        config->server_count < ICE_MAX_SERVERS ? config->server_count : ICE_MAX_SERVERS;
    if (n->config.server_count > 0)
        memcpy(n->servers, config->servers, (size_t)n->config.server_count * sizeof *n->servers);
    n->config.servers = n->servers;

    /* Aggressive nomination (libnice's default): the first pair that works carries packets, one
     * round trip earlier than with regular nomination. */
    n->agent = nice_agent_new_full(loop_context(config->loop), NICE_COMPATIBILITY_RFC5245,
                                   NICE_AGENT_OPTION_ICE_TRICKLE |
                                       NICE_AGENT_OPTION_CONSENT_FRESHNESS);
    g_object_set(n->agent, "ice-tcp", FALSE, "upnp", FALSE, "controlling-mode",
                 (gboolean)config->controlling, "stun-pacing-timer", (guint)PACING_MS,
                 "idle-timeout", (guint)IDLE_MS, "force-relay", (gboolean)config->relay_only, NULL);
    add_addresses(n->agent);
    n->stream = nice_agent_add_stream(n->agent, 1);
    if (n->stream == 0) {
        g_object_unref(n->agent);
        free(n);
        return error_set(ERR_IO, "libnice cannot make a stream");
    }
    if (config->udp_port_min > 0)
        nice_agent_set_port_range(n->agent, n->stream, 1, (guint)config->udp_port_min,
                                  (guint)config->udp_port_max);
    g_signal_connect(n->agent, "new-candidate-full", G_CALLBACK(on_new_candidate), n);
    g_signal_connect(n->agent, "candidate-gathering-done", G_CALLBACK(on_gathering_done), n);
    g_signal_connect(n->agent, "component-state-changed", G_CALLBACK(on_state_changed), n);
    g_signal_connect(n->agent, "new-selected-pair-full", G_CALLBACK(on_new_pair), n);
    nice_agent_attach_recv(n->agent, n->stream, 1, loop_context(config->loop), on_receive, n);
    add_servers(n);
    *out = &n->base;
    return 0;
}

/* --- calls --- */

static int nice_gather(struct ice *ice)
{
    struct nice *n = nice_of(ice);
    if (!nice_agent_gather_candidates(n->agent, n->stream))
        return error_set(ERR_IO, "no UDP port can be opened for the connection; are the ports of "
                                 "--udp-ports all in use?");
    enlarge_buffers(n);
    return 0;
}

static void nice_local_credentials(struct ice *ice, char ufrag[64], char pwd[128])
{
    struct nice *n = nice_of(ice);
    char *u = NULL, *p = NULL;
    ufrag[0] = pwd[0] = 0;
    if (nice_agent_get_local_credentials(n->agent, n->stream, &u, &p)) {
        snprintf(ufrag, 64, "%s", u);
        snprintf(pwd, 128, "%s", p);
    }
    g_free(u);
    g_free(p);
}

static void apply_candidate(struct nice *n, const struct ice_candidate *from)
{
    static const NiceCandidateType types[] = {
        [ICE_HOST] = NICE_CANDIDATE_TYPE_HOST,
        [ICE_SRFLX] = NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE,
        [ICE_PRFLX] = NICE_CANDIDATE_TYPE_PEER_REFLEXIVE,
        [ICE_RELAY] = NICE_CANDIDATE_TYPE_RELAYED,
    };
    NiceCandidate *c = nice_candidate_new(types[from->type]);
    c->component_id = 1;
    c->stream_id = n->stream;
    c->transport = NICE_CANDIDATE_TRANSPORT_UDP;
    c->priority = from->priority;
    snprintf(c->foundation, sizeof c->foundation, "%s", from->foundation);
    if (nice_address_set_from_string(&c->addr, from->address)) {
        nice_address_set_port(&c->addr, (guint)from->port);
        GSList list = {.data = c};
        nice_agent_set_remote_candidates(n->agent, n->stream, 1, &list);
    }
    nice_candidate_free(c);
}

static int nice_set_remote_credentials(struct ice *ice, const char *ufrag, const char *pwd)
{
    struct nice *n = nice_of(ice);
    /* RFC 8839 section 5.4: 4 to 256 and 22 to 256 characters. */
    size_t u = strlen(ufrag), p = strlen(pwd);
    if (u < 4 || u > 256 || p < 22 || p > 256)
        return error_set(ERR_PROTOCOL, "the peer's ice-ufrag or ice-pwd is too short or too long");
    if (!nice_agent_set_remote_credentials(n->agent, n->stream, ufrag, pwd))
        return error_set(ERR_IO, "libnice refuses the peer's ICE credentials");
    n->credentials_set = true;
    for (int i = 0; i < n->early_count; i++)
        apply_candidate(n, &n->early[i]);
    n->early_count = 0;
    if (n->ended)
        nice_agent_peer_candidate_gathering_done(n->agent, n->stream);
    return 0;
}

static int nice_add_remote_candidate(struct ice *ice, const char *text)
{
    struct nice *n = nice_of(ice);
    struct ice_candidate c;
    int rc = ice_candidate_parse(text, &c);
    if (rc <= 0)
        return rc;
    if (n->remote_count == ICE_MAX_CANDIDATES) {
        LOG_RATE(ice, LOG_LEVEL_INFO, "more than %d candidates of one peer; one is not used",
                 (int)ICE_MAX_CANDIDATES);
        return 0;
    }
    n->remote_count++;
    if (n->credentials_set)
        apply_candidate(n, &c);
    else
        n->early[n->early_count++] = c;
    return 0;
}

static void nice_remote_end(struct ice *ice)
{
    struct nice *n = nice_of(ice);
    n->ended = true;
    if (n->credentials_set)
        nice_agent_peer_candidate_gathering_done(n->agent, n->stream);
}

static int nice_send(struct ice *ice, const uint8_t *data, size_t len)
{
    struct nice *n = nice_of(ice);
    int sent = nice_agent_send(n->agent, n->stream, 1, (guint)len, (const gchar *)data);
    return sent > 0 ? sent : ERR_IO; /* no sentence: it is counted, in a packet path */
}

static int nice_send_segments(struct ice *ice, const uint8_t *data, size_t len, size_t segment)
{
    struct nice *n = nice_of(ice);
    if (!n->direct_known)
        find_direct(n);
    bool refused = n->direct_fd < 0 || (n->segments_refused && len > segment);
    int rc = refused ? -EINVAL
                     : udp_send_segments(n->direct_fd, &n->direct_to, n->direct_to_len, data, len,
                                         segment);
    if (rc == 0)
        return 0;
    if (rc == -EAGAIN || rc == -ENOBUFS)
        return ERR_IO; /* the socket is full: one by one would not go either */
    if (!refused && len > segment) {
        LOG_INFO(ice, "no segmentation offload here (%s); packets go one by one", strerror(-rc));
        n->segments_refused = true;
    }
    int failed = 0;
    for (size_t at = 0; at < len; at += segment)
        failed |= nice_send(ice, data + at, len - at < segment ? len - at : segment) < 0;
    return failed ? ERR_IO : 0;
}

static const char *type_name(const NiceCandidate *c)
{
    return nice_candidate_type_to_string(c->type);
}

static void nice_selected_pair(struct ice *ice, char *text, size_t len)
{
    struct nice *n = nice_of(ice);
    NiceCandidate *l, *r;
    if (!nice_agent_get_selected_pair(n->agent, n->stream, 1, &l, &r)) {
        snprintf(text, len, "no pair");
        return;
    }
    char local[NICE_ADDRESS_STRING_LEN], remote[NICE_ADDRESS_STRING_LEN];
    nice_address_to_string(&l->addr, local);
    nice_address_to_string(&r->addr, remote);
    snprintf(text, len, "%s [%s]:%u - %s [%s]:%u", type_name(l), local,
             nice_address_get_port(&l->addr), type_name(r), remote,
             nice_address_get_port(&r->addr));
}

static bool nice_local_address(struct ice *ice, char text[48])
{
    struct nice *n = nice_of(ice);
    NiceCandidate *l, *r;
    if (!nice_agent_get_selected_pair(n->agent, n->stream, 1, &l, &r) ||
        l->type == NICE_CANDIDATE_TYPE_RELAYED)
        return false;
    char address[NICE_ADDRESS_STRING_LEN];
    nice_address_to_string(&l->base_addr, address);
    snprintf(text, 48, "%s", address);
    return true;
}

static void closed_async(GObject *agent, GAsyncResult *result, gpointer ctx)
{
    struct nice *n = ctx;
    (void)result;
    g_object_unref(agent);
    loop_hold(n->config.loop, -1);
    free(n);
}

static void close_later(void *ctx)
{
    struct nice *n = ctx;
    if (n->relays) { /* gives the allocations back to the TURN servers, and waits for them */
        loop_hold(n->config.loop, 1);
        nice_agent_close_async(n->agent, closed_async, n);
        return;
    }
    g_object_unref(n->agent);
    free(n);
}

static void nice_close(struct ice *ice)
{
    struct nice *n = nice_of(ice);
    n->closed = true;
    drop_direct(n);
    nice_agent_attach_recv(n->agent, n->stream, 1, NULL, NULL, NULL);
    g_signal_handlers_disconnect_by_data(n->agent, n);
    loop_post(n->config.loop, close_later, n); /* we may be inside one of the agent's callbacks */
}

const struct ice_ops ice_nice = {
    .name = "libnice",
    .open = nice_open,
    .gather = nice_gather,
    .local_credentials = nice_local_credentials,
    .set_remote_credentials = nice_set_remote_credentials,
    .add_remote_candidate = nice_add_remote_candidate,
    .remote_end_of_candidates = nice_remote_end,
    .send = nice_send,
    .send_segments = nice_send_segments,
    .selected_pair = nice_selected_pair,
    .local_address = nice_local_address,
    .close = nice_close,
};
