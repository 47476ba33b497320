/* The window, by SDL2. A graphics card converts and scales the picture when there is one; else
 * the CPU converts (libyuv) and SDL's software renderer scales, without Mesa's software OpenGL,
 * which costs hundreds of megabytes and milliseconds. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "convert/convert.h"
#include "display/display.h"
#include "display/font.h"

#include <SDL.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

/* Text that is drawn over the picture. */
struct label {
    char *text; /* NULL: none */
    SDL_Texture *texture;
    int scale; /* 0: must be drawn again */
    int w, h;
};

struct sdl_display {
    struct display base;
    struct display *idle; /* what `wait` waits on while there is no window */
    atomic_bool has_window;
    atomic_bool wake_pending; /* at most one wake-up event is in SDL's queue */
    Uint32 wake_event;
    char title[128];
    bool fullscreen, accelerated;
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *picture; /* the last one shown */
    Uint32 format;
    int width, height;
    struct label overlay, message;
    bool dirty; /* what the window shows is not what it should */
};

static int sdl_failed(const char *what)
{
    return error_set(ERR_UNSUPPORTED,
                     "%s: %s; use --no-window, with --raw or --record for the pictures", what,
                     SDL_GetError());
}

/* SDL would also take the console (KMSDRM) or no screen at all (offscreen). */
static bool init_video(void)
{
    if (!getenv("SDL_VIDEODRIVER") && !getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY")) {
        SDL_SetError("neither DISPLAY nor WAYLAND_DISPLAY is set");
        return false;
    }
    SDL_SetHintWithPriority(SDL_HINT_VIDEODRIVER,
                            !getenv("WAYLAND_DISPLAY") ? "x11"
                            : !getenv("DISPLAY")       ? "wayland"
                                                       : "x11,wayland",
                            SDL_HINT_DEFAULT);
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1"); /* Ctrl-C is the program's */
    SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    SDL_SetHint(SDL_HINT_VIDEO_MINIMIZE_ON_FOCUS_LOSS, "0"); /* full screen on a second monitor */
    SDL_SetHint(SDL_HINT_APP_NAME, "hevcast");
    return SDL_InitSubSystem(SDL_INIT_VIDEO) == 0;
}

static bool sdl_probe(char *reason, size_t reason_len)
{
    if (init_video()) {
        SDL_QuitSubSystem(SDL_INIT_VIDEO);
        return true;
    }
    SDL_strlcpy(reason, SDL_GetError(), reason_len);
    return false;
}

static int sdl_open(struct display **out, const char *title, bool fullscreen)
{
    *out = NULL;
    if (!init_video())
        return sdl_failed("no window can be opened");
    struct sdl_display *d = calloc(1, sizeof *d);
    if (!d || display_null.open(&d->idle, title, false) < 0) {
        free(d);
        SDL_QuitSubSystem(SDL_INIT_VIDEO);
        return error_set(ERR_MEMORY, "out of memory");
    }
    d->base.ops = &display_sdl;
    d->fullscreen = fullscreen;
    d->wake_event = SDL_RegisterEvents(1);
    SDL_strlcpy(d->title, title, sizeof d->title);
    SDL_StopTextInput(); /* keys are keys: no input method between */
    *out = &d->base;
    return 0;
}

static bool has_graphics_card(void)
{
    glob_t g = {0};
    bool found = glob("/dev/dri/renderD*", 0, NULL, &g) == 0 ||
                 glob("/dev/nvidiactl", GLOB_APPEND, NULL, &g) == 0;
    globfree(&g);
    return found;
}

/* OpenGL on the CPU (a remote desktop on a machine with a graphics card has it). */
static bool is_software_gl(SDL_Renderer *r)
{
    SDL_RendererInfo info;
    if (SDL_GetRendererInfo(r, &info) != 0 || strncmp(info.name, "opengl", 6) != 0)
        return false;
    enum { GL_RENDERER_NAME = 0x1f01 };
    const char *(*get_string)(unsigned) =
        (const char *(*)(unsigned))SDL_GL_GetProcAddress("glGetString");
    const char *name = get_string ? get_string(GL_RENDERER_NAME) : NULL;
    return name && (strstr(name, "llvmpipe") || strstr(name, "softpipe") || strstr(name, "swrast"));
}

static int make_renderer(struct sdl_display *d)
{
    /* Never with PRESENTVSYNC: it would hold the next picture back. */
    if (getenv("SDL_RENDER_DRIVER"))
        d->renderer = SDL_CreateRenderer(d->window, -1, 0);
    else if (has_graphics_card())
        d->renderer = SDL_CreateRenderer(d->window, -1, SDL_RENDERER_ACCELERATED);
    if (d->renderer && !getenv("SDL_RENDER_DRIVER") && is_software_gl(d->renderer)) {
        SDL_DestroyRenderer(d->renderer);
        d->renderer = NULL;
    }
    if (!d->renderer) {
        SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
        d->renderer = SDL_CreateRenderer(d->window, -1, SDL_RENDERER_SOFTWARE);
    }
    if (!d->renderer)
        return sdl_failed("the window cannot be drawn");
    SDL_RendererInfo info;
    d->accelerated =
        SDL_GetRendererInfo(d->renderer, &info) == 0 && (info.flags & SDL_RENDERER_ACCELERATED);
    LOG_INFO(display, "drawing by %s on %s", info.name, SDL_GetCurrentVideoDriver());
    return 0;
}

/* The largest rectangle of w : h in the middle of out_w x out_h. */
static SDL_Rect fit(int out_w, int out_h, int w, int h)
{
    SDL_Rect r = {0, 0, out_w, out_h};
    if ((int64_t)w * out_h > (int64_t)h * out_w)
        r.h = (int)(((int64_t)h * out_w + w / 2) / w);
    else
        r.w = (int)(((int64_t)w * out_h + h / 2) / h);
    r.w = r.w < 1 ? 1 : r.w;
    r.h = r.h < 1 ? 1 : r.h;
    r.x = (out_w - r.w) / 2;
    r.y = (out_h - r.h) / 2;
    return r;
}

static void sdl_wake(struct display *base)
{
    struct sdl_display *d = (struct sdl_display *)base;
    display_null.wake(d->idle);
    if (!atomic_load(&d->has_window) || atomic_exchange(&d->wake_pending, true))
        return;
    SDL_Event e = {.type = d->wake_event};
    if (SDL_PushEvent(&e) != 1)
        atomic_store(&d->wake_pending, false);
}

/* In the picture's size, or what fits the desktop without its panels. */
static int make_window(struct sdl_display *d, int width, int height)
{
    SDL_Rect desk;
    int w = width, h = height;
    if (SDL_GetDisplayUsableBounds(0, &desk) == 0 && (w > desk.w || h > desk.h)) {
        SDL_Rect f = fit(desk.w, desk.h, width, height);
        w = f.w;
        h = f.h;
    }
    d->window = SDL_CreateWindow(d->title, SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, w, h,
                                 SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI |
                                     (d->fullscreen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0));
    if (!d->window)
        return sdl_failed("no window can be opened");
    int e = make_renderer(d);
    if (e < 0) {
        SDL_DestroyWindow(d->window);
        d->window = NULL;
        return e;
    }
    atomic_store(&d->has_window, true);
    sdl_wake(&d->base); /* for a wake-up that came before SDL could take it */
    return 0;
}

/* The card takes planes of limited range; all else is converted here, exactly. */
static Uint32 texture_format(const struct sdl_display *d, const struct picture *pic)
{
    if (!d->accelerated)
        return SDL_PIXELFORMAT_RGB888; /* the X server's own */
    if (pic->fmt == PIX_I420 && !pic->full_range)
        return SDL_PIXELFORMAT_IYUV;
    if (pic->fmt == PIX_NV12 && !pic->full_range)
        return SDL_PIXELFORMAT_NV12;
    return SDL_PIXELFORMAT_ARGB8888;
}

static int upload_rgb(struct sdl_display *d, const struct picture *pic)
{
    void *pixels;
    int pitch, e = 0;
    if (SDL_LockTexture(d->picture, NULL, &pixels, &pitch) != 0)
        return sdl_failed("a picture cannot be shown");
    if (pic->fmt == PIX_BGRX)
        for (int y = 0; y < pic->height; y++)
            memcpy((uint8_t *)pixels + (ptrdiff_t)y * pitch,
                   pic->plane[0] + (ptrdiff_t)y * pic->stride[0], (size_t)pic->width * 4);
    else
        e = convert_yuv_to_rgb(pic, pixels, pitch, 4, false);
    SDL_UnlockTexture(d->picture);
    return e;
}

static int upload(struct sdl_display *d, const struct picture *pic)
{
    Uint32 format = texture_format(d, pic);
    if (!d->picture || d->format != format || d->width != pic->width || d->height != pic->height) {
        if (d->picture)
            SDL_DestroyTexture(d->picture);
        d->picture = SDL_CreateTexture(d->renderer, format, SDL_TEXTUREACCESS_STREAMING, pic->width,
                                       pic->height);
        if (!d->picture)
            return sdl_failed("a picture cannot be shown");
        SDL_SetTextureBlendMode(d->picture, SDL_BLENDMODE_NONE);
        d->format = format;
        d->width = pic->width;
        d->height = pic->height;
    }
    SDL_SetYUVConversionMode(pic->bt601 ? SDL_YUV_CONVERSION_BT601 : SDL_YUV_CONVERSION_BT709);
    int r;
    if (format == SDL_PIXELFORMAT_IYUV)
        r = SDL_UpdateYUVTexture(d->picture, NULL, pic->plane[0], pic->stride[0], pic->plane[1],
                                 pic->stride[1], pic->plane[2], pic->stride[2]);
    else if (format == SDL_PIXELFORMAT_NV12)
        r = SDL_UpdateNVTexture(d->picture, NULL, pic->plane[0], pic->stride[0], pic->plane[1],
                                pic->stride[1]);
    else
        return upload_rgb(d, pic);
    return r == 0 ? 0 : sdl_failed("a picture cannot be shown");
}

/* Draws the text into its texture: white on what darkens the picture. */
static void prepare_label(struct sdl_display *d, struct label *l, int scale)
{
    enum { MARGIN = 3 };
    int columns, lines;
    font_measure(l->text, &columns, &lines);
    int w = (columns * FONT_CELL_W + 2 * MARGIN) * scale;
    int h = (lines * FONT_CELL_H + 2 * MARGIN) * scale;
    if (!l->texture || w != l->w || h != l->h) {
        if (l->texture)
            SDL_DestroyTexture(l->texture);
        l->texture = SDL_CreateTexture(d->renderer, SDL_PIXELFORMAT_ARGB8888,
                                       SDL_TEXTUREACCESS_STREAMING, w, h);
        if (!l->texture)
            return;
        SDL_SetTextureBlendMode(l->texture, SDL_BLENDMODE_BLEND);
        l->w = w;
        l->h = h;
    }
    void *pixels;
    int pitch;
    if (SDL_LockTexture(l->texture, NULL, &pixels, &pitch) != 0)
        return;
    uint32_t *p = pixels;
    int stride = pitch / 4, m = MARGIN * scale;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            p[(ptrdiff_t)y * stride + x] = 0xc0000000;
    font_draw(p + (ptrdiff_t)m * stride + m, stride, w - m, h - m, l->text, scale, 0xffffffff);
    SDL_UnlockTexture(l->texture);
    l->scale = scale;
}

/* In the middle of w x h; of 0 x 0: in the corner. */
static void draw_label(struct sdl_display *d, struct label *l, int scale, int w, int h)
{
    if (l->scale != scale)
        prepare_label(d, l, scale);
    SDL_Rect r = {4 * scale, 4 * scale, l->w, l->h};
    if (w) {
        r.x = (w - l->w) / 2;
        r.y = (h - l->h) / 2;
    }
    if (l->texture)
        SDL_RenderCopy(d->renderer, l->texture, NULL, &r);
}

/* As large as fits three quarters of the window, at most 1/20 of its height a line. */
static int message_scale(const struct sdl_display *d, int w, int h)
{
    int columns, lines;
    font_measure(d->message.text, &columns, &lines);
    int across = columns > 0 ? w * 3 / 4 / (columns * FONT_CELL_W) : 1;
    int scale = h / (20 * FONT_CELL_H) + 1;
    scale = across < scale ? across : scale;
    return scale < 1 ? 1 : scale;
}

static void draw(struct sdl_display *d)
{
    int w = 0, h = 0;
    d->dirty = false;
    if (!d->renderer || SDL_GetRendererOutputSize(d->renderer, &w, &h) != 0 || w < 1 || h < 1)
        return;
    SDL_SetRenderDrawColor(d->renderer, 0, 0, 0, 255);
    SDL_RenderClear(d->renderer);
    if (d->picture) {
        SDL_Rect r = fit(w, h, d->width, d->height);
        SDL_RenderCopy(d->renderer, d->picture, NULL, &r);
    }
    int scale = (h + 240) / 480;
    scale = scale < 1 ? 1 : scale;
    if (d->message.text) {
        SDL_SetRenderDrawBlendMode(d->renderer, SDL_BLENDMODE_BLEND);
        SDL_SetRenderDrawColor(d->renderer, 0, 0, 0, 0x90);
        SDL_RenderFillRect(d->renderer, NULL);
        draw_label(d, &d->message, message_scale(d, w, h), w, h);
    }
    if (d->overlay.text)
        draw_label(d, &d->overlay, scale, 0, 0);
    SDL_RenderPresent(d->renderer);
}

static int sdl_show(struct display *base, const struct picture *pic)
{
    struct sdl_display *d = (struct sdl_display *)base;
    int e = d->window ? 0 : make_window(d, pic->width, pic->height);
    if (e == 0)
        e = upload(d, pic);
    if (e == 0)
        draw(d);
    return e;
}

static void set_label(struct sdl_display *d, struct label *l, const char *text)
{
    if (text && !*text)
        text = NULL;
    if (text ? l->text && strcmp(text, l->text) == 0 : !l->text)
        return;
    free(l->text);
    l->text = text ? strdup(text) : NULL;
    l->scale = 0;
    d->dirty = true;
}

static void sdl_overlay(struct display *base, const char *text)
{
    struct sdl_display *d = (struct sdl_display *)base;
    set_label(d, &d->overlay, text);
}

static void sdl_message(struct display *base, const char *text)
{
    struct sdl_display *d = (struct sdl_display *)base;
    set_label(d, &d->message, text);
}

static enum display_event on_key(struct sdl_display *d, const SDL_KeyboardEvent *key)
{
    if (key->repeat || (key->keysym.mod & (KMOD_CTRL | KMOD_ALT | KMOD_GUI)))
        return DISPLAY_NONE;
    switch (key->keysym.sym) {
    case SDLK_q:
    case SDLK_ESCAPE:
        return DISPLAY_QUIT;
    case SDLK_s:
        return DISPLAY_TOGGLE_STATS;
    case SDLK_f:
        d->fullscreen = !d->fullscreen;
        SDL_SetWindowFullscreen(d->window, d->fullscreen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
        d->dirty = true;
        return DISPLAY_NONE;
    default:
        return DISPLAY_NONE;
    }
}

static enum display_event on_event(struct sdl_display *d, const SDL_Event *e, bool *woken)
{
    switch (e->type) {
    case SDL_QUIT:
        return DISPLAY_QUIT;
    case SDL_KEYDOWN:
        return on_key(d, &e->key);
    case SDL_WINDOWEVENT:
        if (e->window.event == SDL_WINDOWEVENT_CLOSE)
            return DISPLAY_QUIT;
        if (e->window.event == SDL_WINDOWEVENT_EXPOSED ||
            e->window.event == SDL_WINDOWEVENT_SIZE_CHANGED)
            d->dirty = true;
        return DISPLAY_NONE;
    default:
        if (e->type == d->wake_event) {
            atomic_store(&d->wake_pending, false);
            *woken = true;
        }
        return DISPLAY_NONE;
    }
}

static enum display_event sdl_wait(struct display *base, int64_t timeout_us)
{
    struct sdl_display *d = (struct sdl_display *)base;
    /* Without a window SDL would look for events a thousand times a second. */
    if (!d->window)
        return display_null.wait(d->idle, timeout_us);
    int64_t until = clock_now_us() + timeout_us;
    bool woken = false;
    for (;;) {
        SDL_Event e;
        while (SDL_PollEvent(&e)) {
            enum display_event what = on_event(d, &e, &woken);
            if (what != DISPLAY_NONE)
                return what;
        }
        if (d->dirty)
            draw(d);
        int64_t left = timeout_us < 0 ? 3600 * 1000000ll : until - clock_now_us();
        if (woken || left <= 0)
            return DISPLAY_NONE;
        left = (left + 999) / 1000;
        SDL_WaitEventTimeout(NULL, left > 3600000 ? 3600000 : (int)left);
    }
}

static void sdl_close(struct display *base)
{
    struct sdl_display *d = (struct sdl_display *)base;
    atomic_store(&d->has_window, false);
    if (d->overlay.texture)
        SDL_DestroyTexture(d->overlay.texture);
    if (d->message.texture)
        SDL_DestroyTexture(d->message.texture);
    if (d->picture)
        SDL_DestroyTexture(d->picture);
    if (d->renderer)
        SDL_DestroyRenderer(d->renderer);
    if (d->window)
        SDL_DestroyWindow(d->window);
    SDL_QuitSubSystem(SDL_INIT_VIDEO);
    display_null.close(d->idle);
    free(d->overlay.text);
    free(d->message.text);
    free(d);
}

const struct display_ops display_sdl = {
    .name = "sdl",
    .probe = sdl_probe,
    .open = sdl_open,
    .show = sdl_show,
    .overlay = sdl_overlay,
    .message = sdl_message,
    .wait = sdl_wait,
    .wake = sdl_wake,
    .close = sdl_close,
};
