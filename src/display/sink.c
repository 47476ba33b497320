#include "display/sink.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIPE_BYTES = 1 << 20, /* asked for: fewer wake-ups of both sides per picture */
    SAFE_CHUNK = 4096,    /* PIPE_BUF: after POLLOUT this much never blocks (pipe(7)) */
    FIFO_RETRY_MS = 50,
};

struct sink {
    int fd; /* -1: a FIFO that has no reader yet */
    int abort_fd;
    atomic_bool aborted;
    bool fifo, regular, socket;
    bool nonblocking; /* our own file description, so O_NONBLOCK disturbs nobody else */
    bool whole;       /* takes any length at once: a file, a device that is no terminal */
    char path[];      /* as given, for messages */
};

static const char *name_of(const struct sink *s)
{
    return strcmp(s->path, "-") == 0 ? "standard output" : s->path;
}

/* Standard output is shared with others, who would be surprised by O_NONBLOCK: a pipe can be
 * opened anew, which gives a file description of our own. */
static int open_stdout(bool *nonblocking)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode)) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            *nonblocking = true;
            return fd;
        }
    }
    return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_fifo(struct sink *s)
{
    s->fd = open(s->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (s->fd < 0)
        return -1;
    s->nonblocking = true;
    fcntl(s->fd, F_SETPIPE_SZ, PIPE_BYTES);
    return 0;
}

int sink_open(struct sink **out, const char *path)
{
    *out = NULL;
    struct sink *s = calloc(1, sizeof *s + strlen(path) + 1);
    if (!s)
        return error_set(ERR_MEMORY, "out of memory");
    memcpy(s->path, path, strlen(path) + 1);
    s->fd = -1;
    s->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->abort_fd < 0)
        goto fail;
    struct stat st;
    if (strcmp(path, "-") == 0) {
        s->fd = open_stdout(&s->nonblocking);
    } else if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode)) {
        s->fifo = true;
        if (open_fifo(s) < 0 && errno != ENXIO)
            goto fail;
    } else {
        s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    }
    if (s->fd >= 0) {
        if (fstat(s->fd, &st) < 0)
            goto fail;
        s->regular = S_ISREG(st.st_mode);
        s->socket = S_ISSOCK(st.st_mode);
        s->whole = s->regular || s->socket || (S_ISCHR(st.st_mode) && !isatty(s->fd));
        if (S_ISFIFO(st.st_mode))
            fcntl(s->fd, F_SETPIPE_SZ, PIPE_BYTES);
    } else if (!s->fifo) {
        goto fail;
    }
    *out = s;
    return 0;
fail:
    error_set(ERR_IO, "%s cannot be written: %s; choose another file", name_of(s), strerror(errno));
    sink_close(&s);
    return ERR_IO;
}

void sink_close(struct sink **ps)
{
    struct sink *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    if (s->abort_fd >= 0)
        close(s->abort_fd);
    free(s);
}

void sink_abort(struct sink *s)
{
    uint64_t one = 1;
    atomic_store(&s->aborted, true);
    if (write(s->abort_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is readable already */
}

bool sink_aborted(const struct sink *s)
{
    return atomic_load(&s->aborted);
}
bool sink_seekable(const struct sink *s)
{
    return s->regular;
}

bool sink_seek(struct sink *s, int64_t offset)
{
    return s->regular && lseek(s->fd, offset, SEEK_SET) == offset;
}

static int stopped(const struct sink *s)
{
    return error_set(ERR_ENDED, "writing to %s was given up", name_of(s));
}

static int wait_for_reader(struct sink *s)
{
    while (s->fd < 0) {
        if (open_fifo(s) == 0)
            break;
        if (errno != ENXIO && errno != EINTR)
            return error_set(ERR_IO, "%s cannot be written: %s; choose another file", name_of(s),
                             strerror(errno));
        struct pollfd p = {.fd = s->abort_fd, .events = POLLIN};
        poll(&p, 1, FIFO_RETRY_MS);
        if (sink_aborted(s))
            return stopped(s);
    }
    return 0;
}

static int write_failed(const struct sink *s, int err)
{
    if (err == EPIPE || err == ECONNRESET)
        return error_set(ERR_ENDED, "the reader of %s went away", name_of(s));
    if (err == ENOSPC || err == EDQUOT || err == EFBIG)
        return error_set(ERR_IO,
                         "%s cannot be written any further: %s; make room or choose another "
                         "disk",
                         name_of(s), strerror(err));
    return error_set(ERR_IO, "%s cannot be written: %s", name_of(s), strerror(err));
}

int sink_write(struct sink *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    int r = wait_for_reader(s);
    if (r < 0)
        return r;
    while (len) {
        if (sink_aborted(s))
            return stopped(s);
        if (!s->regular) {
            struct pollfd f[2] = {{.fd = s->fd, .events = POLLOUT},
                                  {.fd = s->abort_fd, .events = POLLIN}};
            if (poll(f, 2, -1) < 0 && errno != EINTR)
                return write_failed(s, errno);
            if (!f[0].revents)
                continue;
        }
        size_t n = s->whole || s->nonblocking || len < SAFE_CHUNK ? len : SAFE_CHUNK;
        ssize_t done =
            s->socket ? send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(s->fd, p, n);
        if (done < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (done < 0)
            return write_failed(s, errno);
        p += done;
        len -= (size_t)done;
    }
    return 0;
}
