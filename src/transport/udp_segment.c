#include "transport/udp_segment.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

int udp_send_segments(int fd, const struct sockaddr_storage *to, socklen_t to_len,
                      const uint8_t *data, size_t len, size_t segment)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = len}; /* the kernel only reads */
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(uint16_t))];
    } control = {{0}};
    struct msghdr m = {.msg_name = (void *)to, .msg_namelen = to_len, .msg_iov = &iov,
                       .msg_iovlen = 1};
    if (len > segment) {
        uint16_t size = (uint16_t)segment;
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}
