#include "decode/avlog.h"

#include "base/log.h"

#include <libavutil/log.h>
#include <pthread.h>
#include <string.h>

static void on_message(void *avcl, int level, const char *fmt, va_list ap)
{
    if (level > AV_LOG_INFO || !log_enabled("ffmpeg", LOG_LEVEL_DEBUG))
        return;
    char line[512];
    int prefix = 1;
    av_log_format_line2(avcl, level, fmt, ap, line, sizeof line, &prefix);
    line[strcspn(line, "\n")] = 0;
    LOG_RATE(ffmpeg, LOG_LEVEL_DEBUG, "%s", line);
}

static void set_callback(void)
{
    av_log_set_callback(on_message);
}

void avlog_route(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_callback);
}
