/* udp_segment: several datagrams of one size in one system call (UDP_SEGMENT, Linux 4.18). */
#ifndef HEVCAST_TRANSPORT_UDP_SEGMENT_H
#define HEVCAST_TRANSPORT_UDP_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { UDP_SEGMENTS_MAX = 48 }; /* at once; old kernels take 64 */

/* Datagrams of `segment` bytes each, the last one shorter or not, to `to` without waiting. 0, or
 * the negative errno. -EIO, -EINVAL, -ENOPROTOOPT and the like: not with this kernel, device or
 * size; nothing was sent then. */
int udp_send_segments(int fd, const struct sockaddr_storage *to, socklen_t to_len,
                      const uint8_t *data, size_t len, size_t segment);

#endif
