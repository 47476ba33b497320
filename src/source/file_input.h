/* file_input: the bytes of a file, a pipe or standard input.
 *
 * `read` and `rewind` belong to one thread at a time; `cancel` is for any. */
#ifndef HEVCAST_SOURCE_FILE_INPUT_H
#define HEVCAST_SOURCE_FILE_INPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct file_input {
    int fd;           /* -1: a URL, which libavformat opens by itself */
    bool own_fd;
    bool rewindable;  /* a regular file, also as standard input */
    bool raw;         /* HEVC in Annex B */
    bool live;        /* a pipe, a device or a URL: has a pace of its own */
    char path[1024];  /* for libavformat: file:… or the URL; "" when it reads through us */
    char shown[256];  /* for messages: without the secrets of a URL */
    off_t start;      /* where a rewindable input began */
    uint8_t *head;    /* owns; bytes that were looked at, and are read again */
    size_t head_len, head_cap, head_pos;
    bool head_ended;  /* the input ended within the head */
    int64_t begun_us; /* when its first bytes came, or it was asked for them */
    int wake;
    atomic_bool cancelled;
};

/* Opens, looks at the first bytes and sets `raw`. 0, or an error that says it; then nothing is
 * left to close. May wait for a pipe's first bytes. */
int file_input_open(struct file_input *in, const char *spec);
void file_input_close(struct file_input *in);
/* Bytes, 0 at the end, -errno; -ECANCELED after cancel. Blocks. */
ssize_t file_input_read(struct file_input *in, uint8_t *buf, size_t len);
/* Back to the start. false: it can't. */
bool file_input_rewind(struct file_input *in);
/* Makes a read, now and later, return -ECANCELED. */
void file_input_cancel(struct file_input *in);
/* Reads one piece more into the head, which is the part of the input that later reads begin with.
 * 1, 0 at the end or when the head is full, -errno. */
int file_input_more_head(struct file_input *in);

/* Does it look like HEVC in Annex B? 1 yes, 0 no, -1 too short to tell. */
int file_looks_like_hevc(const uint8_t *data, size_t len);

#endif
