#include "scenes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_W = 8, CELL_H = 16 };

static uint32_t rng(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

const char *scene_name(enum scene_kind kind)
{
    static const char *const names[] = {"still", "typing", "terminal", "page", "film"};
    return names[kind];
}

static void put(struct picture *p, int x, int y, uint32_t rgb, int alpha)
{
    if (x < 0 || y < 0 || x >= p->width || y >= p->height)
        return;
    uint8_t *px = p->plane[0] + (ptrdiff_t)y * p->stride[0] + 4 * x;
    for (int c = 0; c < 3; c++) {
        int v = rgb >> 8 * c & 255;
        px[c] = (uint8_t)(alpha == 255 ? v : px[c] + (v - px[c]) * alpha / 255);
    }
}

void scene_fill(struct picture *p, struct rect r, uint32_t rgb)
{
    r = rect_intersect(r, (struct rect){0, 0, p->width, p->height});
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++)
            put(p, x, y, rgb, 255);
}

/* Coverage of a stroke of about 1.3 pixels' width at a distance from its middle. */
static int coverage(double distance)
{
    double a = 1.15 - distance;
    return a <= 0 ? 0 : a >= 1 ? 255 : (int)(255 * a);
}

static double segment_distance(double px, double py, const int s[4])
{
    double dx = s[2] - s[0], dy = s[3] - s[1], len = dx * dx + dy * dy;
    double t = len > 0 ? ((px - s[0]) * dx + (py - s[1]) * dy) / len : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(px - s[0] - t * dx, py - s[1] - t * dy);
}

static uint8_t glyphs[64][CELL_H][CELL_W];

/* Letters: two to four strokes between points of a 3x4 grid, mostly upright or level. */
static void make_glyphs(void)
{
    if (glyphs[1][5][3] || glyphs[2][5][3] || glyphs[1][7][1])
        return;
    uint32_t seed = 77;
    for (int g = 0; g < 64; g++) {
        int n = 2 + (int)(rng(&seed) % 3), strokes[4][4];
        for (int i = 0; i < n; i++) {
            int x0 = 1 + (int)(rng(&seed) % 3) * 2, y0 = 3 + (int)(rng(&seed) % 4) * 3;
            int x1 = 1 + (int)(rng(&seed) % 3) * 2, y1 = 3 + (int)(rng(&seed) % 4) * 3;
            switch (rng(&seed) % 5) {
            case 0: case 1: x1 = x0; y1 = y0 > 6 ? 3 : 12; break;
            case 2: case 3: y1 = y0; x1 = x0 > 3 ? 1 : 5; break;
            default: break;
            }
            int s[4] = {x0, y0, x1, y1};
            memcpy(strokes[i], s, sizeof s);
        }
        for (int y = 0; y < CELL_H; y++)
            for (int x = 0; x < CELL_W; x++)
                for (int i = 0; i < n; i++) {
                    int c = coverage(segment_distance(x, y, strokes[i]));
                    if (c > glyphs[g][y][x])
                        glyphs[g][y][x] = (uint8_t)c;
                }
    }
}

static void draw_glyph(struct picture *p, int x, int y, int g, uint32_t rgb)
{
    for (int j = 0; j < CELL_H; j++)
        for (int i = 0; i < CELL_W; i++)
            if (glyphs[g][j][i])
                put(p, x + i, y + j, rgb, glyphs[g][j][i]);
}

static void text_line(struct picture *p, int x, int y, int cells, uint32_t rgb, uint32_t *seed)
{
    int used = cells / 4 + (int)(rng(seed) % (uint32_t)(cells * 3 / 4 + 1));
    for (int i = 0; i < used; i++)
        if (rng(seed) % 6)
            draw_glyph(p, x + i * CELL_W, y, (int)(rng(seed) % 64), rgb);
}

void scene_text(struct picture *p, struct rect r, uint32_t rgb, uint32_t back, uint32_t *seed)
{
    make_glyphs();
    scene_fill(p, r, back);
    for (int y = r.y; y + CELL_H <= r.y + r.h; y += CELL_H)
        text_line(p, r.x, y, r.w / CELL_W, rgb, seed);
}

void scene_bars(struct picture *p)
{
    static const uint32_t bars[8] = {0xffffff, 0xffff00, 0x00ffff, 0x00ff00,
                                     0xff00ff, 0xff0000, 0x0000ff, 0x000000};
    for (int i = 0; i < 8; i++) {
        int x0 = p->width * i / 8, x1 = p->width * (i + 1) / 8;
        scene_fill(p, (struct rect){x0, 0, x1 - x0, p->height}, bars[i]);
    }
}

static void draw_desktop(struct scene *s)
{
    struct picture *p = s->pic;
    int w = p->width, h = p->height;
    for (int y = 0; y < h; y++)
        scene_fill(p, (struct rect){0, y, w, 1}, 0x203040u + (uint32_t)(y * 60 / h) * 0x010101u);
    struct rect editor = {w / 24, h / 14, w * 5 / 9, h * 4 / 5};
    scene_fill(p, (struct rect){editor.x, editor.y - 22, editor.w, 22}, 0x3a3f4b);
    scene_text(p, editor, 0x202020, 0xfcfcfc, &s->seed);
    struct rect term = {w * 5 / 8, h / 5, w / 3, h * 3 / 5};
    scene_fill(p, (struct rect){term.x, term.y - 22, term.w, 22}, 0x3a3f4b);
    static const uint32_t colours[5] = {0xe0e0e0, 0xff5050, 0x60e060, 0x70a0ff, 0xe0d040};
    int part = term.h / 5;
    for (int i = 0; i < 5; i++)
        scene_text(p, (struct rect){term.x, term.y + i * part, term.w, part}, colours[i], 0x101418,
                   &s->seed);
}

static void type_letter(struct scene *s)
{
    struct picture *p = s->pic;
    int x0 = p->width / 24, y = p->height / 14 + p->height * 4 / 5 - 2 * CELL_H;
    int cells = p->width * 5 / 9 / CELL_W - 2;
    if (cells < 1)
        return;
    struct rect cell = {x0 + s->step % cells * CELL_W, y, CELL_W, CELL_H};
    scene_fill(p, cell, 0xfcfcfc);
    draw_glyph(p, cell.x, cell.y, (int)(rng(&s->seed) % 64), 0x202020);
    struct rect caret = {cell.x + CELL_W, y, 2, CELL_H};
    scene_fill(p, caret, 0x0000a0);
    damage_add(&p->damage, cell);
    damage_add(&p->damage, caret);
}

static void move_rows_up(struct picture *p, int rows)
{
    for (int y = 0; y + rows < p->height; y++)
        memcpy(p->plane[0] + (ptrdiff_t)y * p->stride[0],
               p->plane[0] + (ptrdiff_t)(y + rows) * p->stride[0], (size_t)p->width * 4);
}

static void scroll_terminal(struct scene *s, int lines)
{
    static const uint32_t colours[4] = {0xd0d0d0, 0xd0d0d0, 0x60e060, 0x70a0ff};
    struct picture *p = s->pic;
    move_rows_up(p, lines * CELL_H);
    for (int i = lines; i > 0; i--) {
        struct rect r = {0, p->height - i * CELL_H, p->width, CELL_H};
        scene_text(p, r, colours[rng(&s->seed) % 4], 0x101418, &s->seed);
    }
    damage_set_all(&p->damage, p->width, p->height);
}

/* A page without end: paragraphs, headings and pictures by the row. */
static void page_row(struct scene *s, int at, struct rect r)
{
    struct picture *p = s->pic;
    int block = at / 480, in_block = at % 480;
    scene_fill(p, r, 0xffffff);
    if (block % 3 == 2) {
        for (int x = r.w / 4; x < r.w * 3 / 4; x++) {
            double v = sin(x * .013 + block) + sin(in_block * .021) + sin((x + in_block) * .047);
            uint32_t g = (uint32_t)(128 + 40 * v), n = rng(&s->seed) % 9;
            put(p, x, r.y, (g + n) << 16 | (g / 2 + n) << 8 | (255 - g), 255);
        }
        return;
    }
    uint32_t seed = (uint32_t)(at / 20) * 7919u;
    int row = at % 20;
    make_glyphs();
    for (int x = r.w / 6; row < CELL_H && x < r.w * 5 / 6; x += CELL_W) {
        uint32_t g = rng(&seed);
        for (int i = 0; g % 6 && i < CELL_W; i++)
            if (glyphs[g / 6 % 64][row][i])
                put(p, x + i, r.y, in_block < 20 ? 0x0040c0 : 0x282828,
                    glyphs[g / 6 % 64][row][i]);
    }
}

static void scroll_page(struct scene *s, int rows)
{
    struct picture *p = s->pic;
    move_rows_up(p, rows);
    for (int i = rows; i > 0; i--) {
        int y = p->height - i;
        if (y >= 0)
            page_row(s, s->step * 37 + y, (struct rect){0, y, p->width, 1});
    }
    damage_set_all(&p->damage, p->width, p->height);
}

static void draw_film(struct scene *s)
{
    struct picture *p = s->pic;
    for (int y = 0; y < p->height; y++) {
        uint8_t *row = p->plane[0] + (ptrdiff_t)y * p->stride[0];
        for (int x = 0; x < p->width; x++) {
            int u = x + 3 * s->step, v = y + s->step;
            int base = (u * u / 2048 + v * 3 / 4 + ((u >> 5 ^ v >> 5) & 7) * 9) & 255;
            base = base > 127 ? 255 - base : base;
            int n = (int)(rng(&s->seed) >> 19 & 31);
            row[4 * x] = (uint8_t)(60 + base / 2 + n);
            row[4 * x + 1] = (uint8_t)(40 + base + n);
            row[4 * x + 2] = (uint8_t)(80 + base * 3 / 4 + n);
        }
    }
    damage_set_all(&p->damage, p->width, p->height);
}

bool scene_init(struct scene *s, enum scene_kind kind, int width, int height)
{
    *s = (struct scene){.kind = kind, .seed = 12345};
    s->pic = picture_new(PIX_BGRX, width, height);
    if (!s->pic)
        return false;
    make_glyphs();
    switch (kind) {
    case SCENE_TERMINAL: scroll_terminal(s, height / CELL_H + 1); break;
    case SCENE_PAGE: scroll_page(s, height); break;
    case SCENE_FILM: draw_film(s); break;
    default: draw_desktop(s); break;
    }
    damage_set_all(&s->pic->damage, width, height);
    return true;
}

void scene_step(struct scene *s)
{
    s->step++;
    damage_clear(&s->pic->damage);
    switch (s->kind) {
    case SCENE_TYPING: type_letter(s); break;
    case SCENE_TERMINAL: scroll_terminal(s, 1 + s->step % 3); break;
    case SCENE_PAGE: scroll_page(s, 37); break;
    case SCENE_FILM: draw_film(s); break;
    default: break;
    }
}

void scene_free(struct scene *s) { picture_unref(&s->pic); }

double plane_psnr(const struct picture *a, const struct picture *b, int plane)
{
    int64_t sum = 0;
    int w = picture_row_bytes(a->fmt, a->width, plane), h = picture_rows(a->fmt, a->height, plane);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int d = a->plane[plane][(ptrdiff_t)y * a->stride[plane] + x] -
                    b->plane[plane][(ptrdiff_t)y * b->stride[plane] + x];
            sum += d * d;
        }
    return sum ? 10 * log10(255. * 255. * w * h / (double)sum) : 99;
}
