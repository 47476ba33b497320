/* The status line, notes above it, and the QR code: all on standard error. */
#include "app.h"

#include <pthread.h>
#include <qrencode.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all that follows */
static bool on_terminal, silent;
static char line[256];

static void clear_line(void)
{
    if (on_terminal && line[0])
        fputs("\r\033[K", stderr);
}

static void draw_line(void)
{
    if (on_terminal && line[0]) {
        fputs(line, stderr);
        fflush(stderr);
    }
}

static void before_log(void)
{
    pthread_mutex_lock(&lock);
    clear_line();
}

static void after_log(void)
{
    draw_line();
    pthread_mutex_unlock(&lock);
}

void status_begin(bool quiet)
{
    silent = quiet;
    on_terminal = !quiet && isatty(STDERR_FILENO);
    hevcast_set_log_hooks(before_log, after_log);
}

void status_set(const char *fmt, ...)
{
    va_list ap;
    pthread_mutex_lock(&lock);
    clear_line();
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    draw_line();
    pthread_mutex_unlock(&lock);
}

void status_note(const char *fmt, ...)
{
    va_list ap;
    if (silent)
        return;
    pthread_mutex_lock(&lock);
    clear_line();
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    draw_line();
    pthread_mutex_unlock(&lock);
}

void status_end(void)
{
    pthread_mutex_lock(&lock);
    if (on_terminal && line[0])
        fputc('\n', stderr);
    line[0] = 0;
    pthread_mutex_unlock(&lock);
}

void print_qr(const char *text)
{
    if (!isatty(STDERR_FILENO))
        return;
    QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (!qr)
        return;
    /* Two rows of modules in one row of characters; dark modules stay the terminal's background
     * on black terminals, so everything is drawn inverted with explicit colours. */
    int w = qr->width;
    for (int y = -2; y < w + 2; y += 2) {
        fputs("\033[40;97m", stderr);
        for (int x = -2; x < w + 2; x++) {
            bool inside = x >= 0 && x < w;
            bool up = inside && y >= 0 && y < w && qr->data[y * w + x] & 1;
            bool down = inside && y + 1 >= 0 && y + 1 < w && qr->data[(y + 1) * w + x] & 1;
            fputs(up ? (down ? " " : "▄") : (down ? "▀" : "█"), stderr);
        }
        fputs("\033[0m\n", stderr);
    }
    QRcode_free(qr);
}
