/* ice_direct: reads SRTP and SRTCP from the socket of libnice's selected pair before libnice does, and leaves all
 * else to it. libnice reads a socket until GLib makes a GError of "would block": an allocation for each time that the
 * loop wakes, which with a paced stream is each packet. Network thread. */
#ifndef HEVCAST_TRANSPORT_ICE_DIRECT_H
#define HEVCAST_TRANSPORT_ICE_DIRECT_H

#include <stddef.h>
#include <stdint.h>

typedef struct _GMainContext GMainContext;

struct ice_direct;
/* fd: borrows, until ice_direct_free. on_packet may change data in place, and may free the ice_direct. Packets come
 * from whatever address: that they are the peer's, is for SRTP to say. */
struct ice_direct *ice_direct_new(GMainContext *context, int fd,
                                  void (*on_packet)(void *ctx, uint8_t *data, size_t len), void *ctx);
void ice_direct_free(struct ice_direct **d);

#endif
