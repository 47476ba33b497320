/* A network of its own for a test: loopback alone, no port in use. */
#ifndef HEVCAST_TESTS_NETNS_H
#define HEVCAST_TESTS_NETNS_H

#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEST_SKIPPED = 77 }; /* what Meson takes for skipped */

/* Before any thread starts. false: the system does not let us. */
static inline bool netns_enter(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        perror("SKIPPED: a network namespace is needed and cannot be made: unshare");
        return false;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    strcpy(request.ifr_name, "lo");
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (!up)
        perror("SKIPPED: lo does not come up");
    if (fd >= 0)
        close(fd);
    return up;
}

#endif
