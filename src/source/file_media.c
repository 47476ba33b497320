#include "source/file_media.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "source/file_pace.h"

#include <libavutil/time.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    AVIO_BUFFER = 32 * 1024,
    URL_ANSWER_US = 15 * 1000000,
    AHEAD_MAX = 256,
    /* What comes from a live input while libavcodec looks into it is delay. */
    LIVE_PROBE_BYTES = 512 * 1024,
    LIVE_PROBE_US = 500000,
};

static int read_bytes(void *opaque, uint8_t *buf, int len)
{
    ssize_t n = file_input_read(opaque, buf, (size_t)len);
    return n > 0 ? (int)n : n == 0 ? AVERROR_EOF : n == -ECANCELED ? AVERROR_EXIT : (int)n;
}

static int64_t seek_to(void *opaque, int64_t offset, int whence)
{
    struct file_input *in = opaque;
    if (whence & AVSEEK_SIZE) {
        off_t at = lseek(in->fd, 0, SEEK_CUR), end = lseek(in->fd, 0, SEEK_END);
        lseek(in->fd, at, SEEK_SET);
        return end - in->start;
    }
    whence &= ~AVSEEK_FORCE;
    off_t to = lseek(in->fd, whence == SEEK_SET ? offset + in->start : offset, whence);
    return to < 0 ? AVERROR(errno) : to - in->start;
}

static int interrupted(void *opaque)
{
    const struct file_media *m = opaque;
    return atomic_load(&m->in->cancelled) || (m->deadline_us && clock_now_us() > m->deadline_us);
}

static int open_error(struct file_media *m, int av)
{
    const char *shown = m->in->shown;
    if (av == AVERROR_INVALIDDATA || av == AVERROR_EOF)
        return error_set(ERR_UNSUPPORTED, "%s is not a video that FFmpeg knows: %s", shown,
                         av_err2str(av));
    if (av == AVERROR_EXIT && m->deadline_us)
        return error_set(ERR_TIMEOUT, "%s did not answer within %d seconds", shown,
                         URL_ANSWER_US / 1000000);
    return error_set(av == AVERROR(ENOENT) ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", shown,
                     av_err2str(av));
}

static int open_format(struct file_media *m)
{
    m->fmt = avformat_alloc_context();
    if (!m->fmt)
        return error_set(ERR_MEMORY, "not enough memory to open %s", m->in->shown);
    m->fmt->interrupt_callback = (AVIOInterruptCB){.callback = interrupted, .opaque = m};
    if (!m->in->path[0]) {
        uint8_t *buffer = av_malloc(AVIO_BUFFER);
        m->avio = buffer ? avio_alloc_context(buffer, AVIO_BUFFER, 0, m->in, read_bytes, NULL,
                                              m->in->rewindable ? seek_to : NULL)
                         : NULL;
        if (!m->avio) {
            av_free(buffer);
            return error_set(ERR_MEMORY, "not enough memory to open %s", m->in->shown);
        }
        m->fmt->pb = m->avio;
    }
    if (m->in->live)
        m->fmt->max_analyze_duration = LIVE_PROBE_US;
    if (m->in->path[0] && m->in->fd < 0)
        m->deadline_us = clock_now_us() + URL_ANSWER_US;
    int av = avformat_open_input(&m->fmt, m->in->path[0] ? m->in->path : "", NULL, NULL);
    return av < 0 ? open_error(m, av) : 0;
}

/* The stream that is meant to be watched: the default one, then the largest. Cover art is none. */
static AVStream *best_stream(AVFormatContext *fmt)
{
    AVStream *best = NULL;
    int64_t best_score = -1;
    for (unsigned i = 0; i < fmt->nb_streams; i++) {
        AVStream *st = fmt->streams[i];
        st->discard = AVDISCARD_ALL;
        if (st->codecpar->codec_type != AVMEDIA_TYPE_VIDEO ||
            st->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS))
            continue;
        int64_t score = (int64_t)st->codecpar->width * st->codecpar->height;
        if (st->disposition & AV_DISPOSITION_DEFAULT)
            score += (int64_t)1 << 40;
        if (score > best_score) {
            best = st;
            best_score = score;
        }
    }
    if (best)
        best->discard = AVDISCARD_DEFAULT;
    return best;
}

int file_media_find_info(struct file_media *m)
{
    int64_t probe = m->fmt->probesize;
    if (m->in->live)
        m->fmt->probesize = LIVE_PROBE_BYTES;
    int av = avformat_find_stream_info(m->fmt, NULL);
    m->fmt->probesize = probe;
    return av < 0 ? open_error(m, av) : 0;
}

int file_media_open(struct file_media *m, struct file_input *in)
{
    *m = (struct file_media){.in = in};
    int rc = open_format(m);
    if (rc < 0)
        goto fail;
    /* A recording on a server that can seek is no live stream. */
    if (in->path[0] && m->fmt->pb && m->fmt->pb->seekable & AVIO_SEEKABLE_NORMAL)
        in->live = false;
    /* Formats without a header tell their streams only in their packets. */
    m->stream = best_stream(m->fmt);
    bool known = m->stream && (m->stream->codecpar->codec_id == AV_CODEC_ID_HEVC ||
                               (m->stream->codecpar->codec_id && m->stream->codecpar->width > 0));
    if (!known || !in->live) {
        for (unsigned i = 0; i < m->fmt->nb_streams; i++)
            m->fmt->streams[i]->discard = AVDISCARD_DEFAULT;
        if ((rc = file_media_find_info(m)) < 0)
            goto fail;
        m->stream = best_stream(m->fmt);
    }
    /* FFmpeg draws any text file as a terminal would; nobody who shares one means that. */
    if (!m->stream || m->stream->codecpar->codec_id == AV_CODEC_ID_ANSI) {
        rc = error_set(ERR_UNSUPPORTED, "%s has no video stream", in->shown);
        goto fail;
    }
    m->deadline_us = 0;
    return 0;
fail:
    file_media_close(m);
    return rc;
}

void file_media_close(struct file_media *m)
{
    for (int i = m->ahead_pos; i < m->ahead_len; i++)
        av_packet_free(&m->ahead[i]);
    av_freep(&m->ahead);
    m->ahead_len = m->ahead_pos = 0;
    avformat_close_input(&m->fmt);
    if (m->avio) {
        av_freep(&m->avio->buffer);
        avio_context_free(&m->avio);
    }
    m->stream = NULL;
}

static int read_packet(struct file_media *m, AVPacket *pkt)
{
    for (;;) {
        int av = av_read_frame(m->fmt, pkt);
        if (av == AVERROR(EAGAIN)) { /* a device or protocol with nothing just now */
            if (interrupted(m))
                return AVERROR_EXIT;
            av_usleep(1000);
            continue;
        }
        if (av < 0 || pkt->stream_index == m->stream->index)
            return av;
        av_packet_unref(pkt);
    }
}

int file_media_packet(struct file_media *m, AVPacket *pkt)
{
    if (m->ahead_pos < m->ahead_len) {
        av_packet_move_ref(pkt, m->ahead[m->ahead_pos]);
        av_packet_free(&m->ahead[m->ahead_pos++]);
        return 0;
    }
    return read_packet(m, pkt);
}

int file_media_peek(struct file_media *m, const AVPacket **pkt)
{
    if (m->ahead_len == AHEAD_MAX)
        return AVERROR(ENOSPC);
    if (!m->ahead && !(m->ahead = av_calloc(AHEAD_MAX, sizeof *m->ahead)))
        return AVERROR(ENOMEM);
    AVPacket *p = av_packet_alloc();
    if (!p)
        return AVERROR(ENOMEM);
    int av = read_packet(m, p);
    if (av < 0) {
        av_packet_free(&p);
        return av;
    }
    m->ahead[m->ahead_len++] = p;
    *pkt = p;
    return 0;
}

int64_t file_media_us(const struct file_media *m, int64_t ts)
{
    if (ts == AV_NOPTS_VALUE)
        return FILE_PACE_UNKNOWN;
    return av_rescale_q(ts, m->stream->time_base, AV_TIME_BASE_Q);
}

int64_t file_media_interval_us(const struct file_media *m)
{
    AVRational rate = m->stream->avg_frame_rate;
    if (rate.num <= 0 || rate.den <= 0)
        rate = m->stream->r_frame_rate;
    if (rate.num <= 0 || rate.den <= 0)
        return 0;
    int64_t us = av_rescale(1000000, rate.den, rate.num);
    return us < 1000 ? 1000 : us > 1000000 ? 1000000 : us;
}
