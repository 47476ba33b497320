/* A committed clip (tests/data/view), cut into access units as a receiver would have them. */
#ifndef TEST_VIEW_CLIP_H
#define TEST_VIEW_CLIP_H

#include "base/picture.h"

enum { CLIP_MAX = 64 };
struct clip {
    int n;
    struct access_unit *au[CLIP_MAX];
};

/* Fails the test when the clip is not there. RTP time stamps begin near the wrap-around. */
void clip_load(struct clip *c, const char *name, int fps);
void clip_free(struct clip *c);
/* MD5 of the planes' visible bytes, as `ffmpeg -f rawvideo` writes them. */
struct AVMD5;
void picture_md5_update(struct AVMD5 *md5, const struct picture *pic);
void md5_hex(struct AVMD5 *md5, char hex[33]);

#endif
