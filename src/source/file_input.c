#include "source/file_input.h"

#include "base/clock.h"
#include "base/error.h"
#include "source/wake.h"

#include <libavformat/avformat.h>

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    HEAD_PIECE = 16 * 1024,
    HEAD_MAX = 1024 * 1024,
    /* `ssh host ffmpeg … | hevcast share -` may ask for a password first. */
    FIRST_BYTES_US = 60 * 1000000,
};

/* The beginning of an Annex B stream is zero bytes, a start code and a NAL header (B.2). A stream
 * begins with an AUD, VPS, SPS or SEI (7.4.2.4.4), of layer 0 and sub-layer 0: header bytes that
 * in H.264 are a NAL of an unspecified type or a SEI with nal_ref_idc above 0, which is
 * forbidden, and in MPEG-2 and MPEG-4 a slice or a reserved code. */
int file_looks_like_hevc(const uint8_t *data, size_t len)
{
    size_t i = 0;
    while (i < len && data[i] == 0)
        i++;
    if (i > 64)
        return 0;
    if (len - i < 3)
        return i == len || (data[i] == 1 && i >= 2) ? -1 : 0;
    if (i < 2 || data[i] != 1)
        return 0;
    int first = data[i + 1];
    bool type_ok = first == 32 << 1 || first == 33 << 1 || first == 35 << 1 || first == 39 << 1;
    return type_ok && data[i + 2] == 1;
}

/* Is there a scheme? A drive letter or a lone colon is none. */
static bool has_scheme(const char *spec)
{
    size_t n = 0;
    while (isalnum((unsigned char)spec[n]) || (n && strchr("+-.", spec[n]) && spec[n]))
        n++;
    return n > 1 && spec[n] == ':';
}

/* What may be shown of a URL: no user, no password, no query. */
static void show_url(char *out, size_t size, const char *url)
{
    const char *rest = strstr(url, "://");
    if (!rest) {
        snprintf(out, size, "%s", url);
        return;
    }
    rest += 3;
    size_t host_end = strcspn(rest, "/?#");
    const char *at = memrchr(rest, '@', host_end);
    const char *host = at ? at + 1 : rest;
    snprintf(out, size, "%.*s%s%.*s", (int)(rest - url), url, at ? "…@" : "",
             (int)strcspn(host, "?#"), host);
}

void file_input_cancel(struct file_input *in)
{
    atomic_store(&in->cancelled, true);
    wake_signal(in->wake); /* and never cleared: every later wait ends at once */
}

static ssize_t read_fd(struct file_input *in, uint8_t *buf, size_t len, int64_t timeout_us)
{
    int64_t deadline = timeout_us < 0 ? 0 : clock_now_us() + timeout_us;
    for (;;) {
        if (atomic_load(&in->cancelled))
            return -ECANCELED;
        int64_t left = timeout_us < 0 ? -1 : deadline - clock_now_us();
        if (timeout_us >= 0 && left <= 0)
            return -ETIMEDOUT;
        if (wake_wait(in->wake, in->fd, left) != WAKE_READY)
            continue;
        ssize_t n = read(in->fd, buf, len);
        if (n >= 0)
            return n;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

ssize_t file_input_read(struct file_input *in, uint8_t *buf, size_t len)
{
    size_t left = in->head_len - in->head_pos;
    if (left) {
        size_t n = len < left ? len : left;
        memcpy(buf, in->head + in->head_pos, n);
        in->head_pos += n;
        return (ssize_t)n;
    }
    if (in->head_ended)
        return 0;
    if (in->head) { /* not needed any more */
        free(in->head);
        in->head = NULL;
        in->head_len = in->head_pos = in->head_cap = 0;
    }
    return read_fd(in, buf, len, -1);
}

bool file_input_rewind(struct file_input *in)
{
    if (!in->rewindable || lseek(in->fd, in->start, SEEK_SET) < 0)
        return false;
    in->head_len = in->head_pos = 0;
    in->head_ended = false;
    return true;
}

int file_input_more_head(struct file_input *in)
{
    if (in->head_ended || in->head_len >= HEAD_MAX)
        return 0;
    if (in->head_cap - in->head_len < HEAD_PIECE) {
        size_t cap = in->head_cap ? in->head_cap * 2 : HEAD_PIECE;
        uint8_t *head = realloc(in->head, cap);
        if (!head)
            return -ENOMEM;
        in->head = head;
        in->head_cap = cap;
    }
    ssize_t n = read_fd(in, in->head + in->head_len, in->head_cap - in->head_len, FIRST_BYTES_US);
    if (n < 0)
        return (int)n;
    if (!in->head_len)
        in->begun_us = clock_now_us();
    in->head_len += (size_t)n;
    in->head_ended = n == 0;
    return n > 0;
}

static int look_at_head(struct file_input *in)
{
    int rc, looks = -1;
    while (looks < 0 && (rc = file_input_more_head(in)) > 0)
        looks = file_looks_like_hevc(in->head, in->head_len);
    if (looks < 0 && rc == -ETIMEDOUT)
        return error_set(ERR_TIMEOUT, "nothing came from %s for %d seconds; start what writes "
                                      "to it", in->shown, FIRST_BYTES_US / 1000000);
    if (looks < 0 && rc < 0)
        return error_set(ERR_IO, "cannot read %s: %s", in->shown, strerror(-rc));
    if (in->head_len == 0)
        return error_set(ERR_IO, "%s is empty", in->shown);
    in->raw = looks == 1;
    if (!in->raw && in->rewindable)
        file_input_rewind(in);
    return 0;
}

static int open_path(struct file_input *in, const char *spec, const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return error_set(ERR_INVALID, "%s is a directory; name a file in it", in->shown);
    /* O_NONBLOCK: a FIFO opens before its writer does; reads are preceded by poll. */
    in->fd = open(spec, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in->fd < 0)
        return error_set(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", in->shown,
                         strerror(errno));
    in->own_fd = true;
    if (S_ISREG(st->st_mode))
        snprintf(in->path, sizeof in->path, "file:%s", spec);
    return 0;
}

static int open_stdin(struct file_input *in)
{
    struct stat st;
    snprintf(in->shown, sizeof in->shown, "standard input");
    in->fd = STDIN_FILENO;
    if (fstat(in->fd, &st) < 0)
        return error_set(ERR_IO, "cannot read standard input: %s", strerror(errno));
    if (isatty(in->fd))
        return error_set(ERR_INVALID, "standard input is a terminal; pipe a video stream into it");
    if (S_ISDIR(st.st_mode))
        return error_set(ERR_INVALID, "standard input is a directory; pipe a video stream into it");
    return 0;
}

static int open_named(struct file_input *in, const char *spec)
{
    struct stat st;
    if (strlen(spec) >= sizeof in->path - 8)
        return error_set(ERR_INVALID, "the name of the source is too long");
    const char *path = strncmp(spec, "file:", 5) ? spec : spec + 5;
    snprintf(in->shown, sizeof in->shown, "\"%.250s\"", path);
    if (stat(path, &st) == 0)
        return open_path(in, path, &st);
    int err = errno;
    if (path != spec || !has_scheme(spec) || err != ENOENT)
        return error_set(err == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                         "cannot open %s: %s%s", in->shown, strerror(err),
                         err == ENOENT ? "; a source is screen, x11, test, a file, a URL or -" : "");
    snprintf(in->path, sizeof in->path, "%s", spec);
    show_url(in->shown, sizeof in->shown, spec);
    in->live = true;
    in->begun_us = clock_now_us();
    return 0;
}

int file_input_open(struct file_input *in, const char *spec)
{
    memset(in, 0, sizeof *in);
    in->fd = -1;
    if (!spec || !*spec)
        return error_set(ERR_INVALID, "the name of the source is empty");
    atomic_init(&in->cancelled, false);
    in->wake = wake_new();
    if (in->wake < 0)
        return error_set(ERR_IO, "cannot wait for input: %s", strerror(errno));
    int rc = strcmp(spec, "-") ? open_named(in, spec) : open_stdin(in);
    if (rc == 0 && in->fd >= 0) {
        in->start = lseek(in->fd, 0, SEEK_CUR);
        struct stat st;
        in->rewindable = in->start >= 0 && fstat(in->fd, &st) == 0 && S_ISREG(st.st_mode);
        in->live = !in->rewindable;
        rc = look_at_head(in);
    }
    if (rc < 0)
        file_input_close(in);
    return rc;
}

void file_input_close(struct file_input *in)
{
    free(in->head);
    in->head = NULL;
    if (in->own_fd && in->fd >= 0)
        close(in->fd);
    in->fd = -1;
    if (in->wake >= 0)
        close(in->wake);
    in->wake = -1;
}
