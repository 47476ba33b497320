/* Made-up screens for the encoder's tests and benchmark: text that is drawn from strokes, so that
 * nothing depends on fonts, in the motions that screens have. The same every time. */
#ifndef HEVCAST_TESTS_SCENES_H
#define HEVCAST_TESTS_SCENES_H

#include "base/picture.h"

enum scene_kind {
    SCENE_STILL,    /* a desktop with coloured text; nothing changes */
    SCENE_TYPING,   /* the same; a letter each step */
    SCENE_TERMINAL, /* a terminal of the whole screen that scrolls by one to three lines each step */
    SCENE_PAGE,     /* a page with a picture, scrolled by 37 pixels each step */
    SCENE_FILM,     /* a noisy moving picture on the whole screen */
    SCENE_KINDS,
};

struct scene {
    enum scene_kind kind;
    struct picture *pic; /* owns; BGRX, with the damage of the last step */
    uint32_t seed;
    int step;
};

const char *scene_name(enum scene_kind kind);
/* Draws the first picture; false: out of memory. */
bool scene_init(struct scene *s, enum scene_kind kind, int width, int height);
void scene_step(struct scene *s);
void scene_free(struct scene *s);

void scene_fill(struct picture *p, struct rect r, uint32_t rgb);
/* Lines of text of random letters in r. */
void scene_text(struct picture *p, struct rect r, uint32_t rgb, uint32_t back, uint32_t *seed);
/* The eight bars of 100 % colour. */
void scene_bars(struct picture *p);

/* PSNR in dB of one plane, over `a`'s size; 99 when equal. */
double plane_psnr(const struct picture *a, const struct picture *b, int plane);

#endif
