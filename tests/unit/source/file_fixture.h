/* What the tests of files share: clips that the ffmpeg program makes when the test runs, and a
 * standard input that is written by a thread. */
#ifndef TEST_FILE_FIXTURE_H
#define TEST_FILE_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define X265  "-c:v libx265 -preset ultrafast -tune zerolatency "
#define QUIET "log-level=error"

extern char clip_dir[64];
extern bool have_ffmpeg;

#define NEED_FFMPEG()                                                                              \
    do {                                                                                           \
        if (!have_ffmpeg) {                                                                        \
            print_message("SKIPPED: there is no ffmpeg program with libx265 here\n");              \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

int make_clips(void **state); /* group setup and teardown */
int remove_clips(void **state);
/* A path in the directory of the clips; four of them live at a time. */
const char *in_dir(const char *name);
/* Runs ffmpeg with the arguments, in which %d is the directory. */
bool ffmpeg(const char *args);

struct bytes {
    uint8_t *data; /* owns */
    size_t len;
};
struct bytes slurp(const char *path);
void spit(const char *path, const void *data, size_t len);

struct writer {
    struct bytes bytes;
    int fd;
    unsigned seed;
    bool hold; /* keep it open at the end */
};
/* Standard input is a pipe now, which a thread writes in pieces of 1 to 5000 bytes, with pauses. */
pthread_t stdin_from(struct writer *w);
void stdin_back(pthread_t thread);

#endif
