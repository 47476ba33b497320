/* ice: the driver interface of ICE agents (RFC 8445). Network thread. */
#ifndef HEVCAST_TRANSPORT_ICE_H
#define HEVCAST_TRANSPORT_ICE_H

#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ICE_MAX_CANDIDATES = 32, ICE_MAX_SERVERS = 8 };

struct ice_server { /* stun:host[:port], turn(s):host[:port][?transport=udp|tcp|tls] */
    bool turn;
    char transport; /* 'u' udp, 't' tcp, 's' tls */
    char host[256];
    int port;
    char username[128], password[256];
};
/* Parses `stun:host:port` and `turn:user:password@host:port?transport=tcp`. ERR_INVALID. */
int ice_server_parse(const char *url, struct ice_server *out);

struct ice_config {
    struct loop *loop;
    bool controlling;
    const struct ice_server *servers; /* copied */
    int server_count;
    int udp_port_min, udp_port_max;   /* 0: any */
    bool relay_only;                  /* use TURN alone, which hides our addresses (RFC 8828) */
    /* gathered: all local candidates are known. candidate: one more became known (trickle), in
     * the form of an a= line's value: "candidate:1 1 udp …". state: */
    void (*on_candidate)(void *ctx, const char *candidate);
    void (*on_gathered)(void *ctx);
    void (*on_state)(void *ctx, int state);
    void (*on_packet)(void *ctx, uint8_t *data, size_t len); /* data may be changed in place */
    /* When the peer was last heard with keys that are its own (SRTP): then it still wants us,
     * though checks of consent were lost. 0: never. NULL: nobody can tell. */
    int64_t (*heard_us)(void *ctx);
    void *ctx;
};
/* The parts of a candidate that count here (RFC 8839 section 5.1). */
struct ice_candidate {
    char foundation[33];
    char address[48]; /* numeric */
    int port;
    uint32_t priority;
    enum { ICE_HOST, ICE_SRFLX, ICE_PRFLX, ICE_RELAY } type;
};
/* 1: parsed; 0: well-formed, but of no use (TCP, another component, a name such as mDNS's, an
 * address or type that is not known); ERR_PROTOCOL: malformed. */
int ice_candidate_parse(const char *text, struct ice_candidate *out);

enum ice_state { ICE_CONNECTING, ICE_CONNECTED, ICE_FAILED }; /* FAILED: consent lost, or no pair */

struct ice {
    const struct ice_ops *ops;
};
struct ice_ops {
    const char *name;
    int (*open)(struct ice **out, const struct ice_config *config);
    int (*gather)(struct ice *ice);
    void (*local_credentials)(struct ice *ice, char ufrag[64], char pwd[128]);
    int (*set_remote_credentials)(struct ice *ice, const char *ufrag, const char *pwd);
    /* "candidate:…" (a leading "a=" is taken off). Unusable ones (mDNS, TCP, another component)
     * are ignored with 0; malformed ones give ERR_PROTOCOL. */
    int (*add_remote_candidate)(struct ice *ice, const char *candidate);
    void (*remote_end_of_candidates)(struct ice *ice);
    int (*send)(struct ice *ice, const uint8_t *data, size_t len); /* bytes sent, or negative */
    /* Datagrams of `segment` bytes each, the last one at most as long, in one system call where that
     * works. 0; negative: none of them went, or not all are known to. May be NULL. */
    int (*send_segments)(struct ice *ice, const uint8_t *data, size_t len, size_t segment);
    void (*selected_pair)(struct ice *ice, char *text, size_t len); /* for logs: types and addresses */
    /* Of ours, numeric: what the selected pair sends from; false: no pair, or a relayed one. */
    bool (*local_address)(struct ice *ice, char text[48]);
    void (*close)(struct ice *ice); /* takes; fine inside a callback, none comes any more */
};
/* An ICE restart (RFC 8445 section 9) is a new agent that takes over when it is connected: so it
 * also finds the interfaces that a changed network has now. */
extern const struct ice_ops ice_nice;

#endif
