#include "display/mux.h"

#include "base/error.h"
#include "decode/avlog.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdlib.h>
#include <string.h>

enum {
    IO_BUFFER = 1 << 16,
    PENDING_MAX = 8 << 20, /* written out before the cluster's end when it is larger */
};

struct mux {
    AVFormatContext *format;
    AVIOContext *io;
    AVPacket *packet;
    struct sink *sink; /* borrows */
    int64_t last_dts;  /* in the stream's time base */
    int error;         /* of the sink: the first one */
    /* Bytes of the cluster that is being built: written by one write(2), so that a killed program
     * leaves no half of it behind. */
    uint8_t *pending;
    size_t len, cap;
};

static int drain(struct mux *m)
{
    if (m->error == 0 && m->len)
        m->error = sink_write(m->sink, m->pending, m->len);
    m->len = 0;
    return m->error;
}

#if LIBAVFORMAT_VERSION_MAJOR >= 61
static int on_write(void *opaque, const uint8_t *data, int len)
#else
static int on_write(void *opaque, uint8_t *data, int len)
#endif
{
    struct mux *m = opaque;
    size_t n = (size_t)len;
    if (m->error < 0)
        return AVERROR(EIO);
    if (m->len + n > m->cap) {
        size_t cap = (m->len + n) * 2;
        uint8_t *p = realloc(m->pending, cap);
        if (!p)
            return AVERROR(ENOMEM);
        m->pending = p;
        m->cap = cap;
    }
    memcpy(m->pending + m->len, data, n);
    m->len += n;
    if (m->len > PENDING_MAX && drain(m) < 0)
        return AVERROR(EIO);
    return len;
}

static int64_t on_seek(void *opaque, int64_t offset, int whence)
{
    struct mux *m = opaque;
    if (whence != SEEK_SET || drain(m) < 0 || !sink_seek(m->sink, offset))
        return AVERROR(EINVAL);
    return offset;
}

/* The parameter sets, as Annex B: libavformat makes the hvcC of them, and converts each packet
 * that is Annex B, parameter sets included (FFmpeg: libavformat/hevc.c). */
static int set_extradata(AVCodecParameters *par, const struct access_unit *irap)
{
    struct nal n;
    size_t pos = 0, len = 0;
    par->extradata = av_mallocz(irap->len + 64 + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!par->extradata)
        return -1;
    while (annexb_next(irap->data, irap->len, &pos, &n)) {
        int type = nal_type(&n);
        if (type < NAL_VPS || type > NAL_PPS || len + n.len + 4 > irap->len + 64)
            continue;
        memcpy(par->extradata + len, "\0\0\0\1", 4);
        memcpy(par->extradata + len + 4, n.data, n.len);
        len += n.len + 4;
    }
    par->extradata_size = (int)len;
    return 0;
}

static int add_stream(struct mux *m, bool mp4, const struct access_unit *irap,
                      const struct hevc_sps *sps)
{
    AVStream *st = avformat_new_stream(m->format, NULL);
    if (!st || set_extradata(st->codecpar, irap) < 0)
        return -1;
    AVCodecParameters *par = st->codecpar;
    par->codec_type = AVMEDIA_TYPE_VIDEO;
    par->codec_id = AV_CODEC_ID_HEVC;
    /* hev1: parameter sets may also be in the samples, and change there (ISO 14496-15 8.4.1). */
    par->codec_tag = mp4 ? MKTAG('h', 'e', 'v', '1') : 0;
    par->width = sps->width;
    par->height = sps->height;
    par->profile = sps->profile_idc;
    par->level = sps->level_idc;
    if (sps->has_vui_colour) {
        par->color_range = sps->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
        par->color_primaries = (enum AVColorPrimaries)sps->colour_primaries;
        par->color_trc = (enum AVColorTransferCharacteristic)sps->transfer;
        par->color_space = (enum AVColorSpace)sps->matrix;
    }
    st->time_base = (AVRational){1, 90000};
    return 0;
}

/* What the failure of a libavformat call was: the sink's sentence, or its own. */
static int failed(struct mux *m, int av_error)
{
    if (m->error < 0)
        return m->error;
    return error_set(av_error == AVERROR(ENOMEM) ? ERR_MEMORY : ERR_IO,
                     "the recording cannot be written: %s", av_err2str(av_error));
}

static void mux_free(struct mux **pm)
{
    struct mux *m = *pm;
    *pm = NULL;
    if (!m)
        return;
    avformat_free_context(m->format);
    if (m->io)
        av_freep(&m->io->buffer);
    avio_context_free(&m->io);
    av_packet_free(&m->packet);
    free(m->pending);
    free(m);
}

static int write_header(struct mux *m, bool mp4)
{
    AVDictionary *options = NULL;
    if (mp4) {
        /* Fragments end where mux_flush says; the header is there from the beginning. */
        av_dict_set(&options, "movflags", "empty_moov+default_base_moof+frag_custom", 0);
        av_dict_set(&options, "video_track_timescale", "90000", 0);
    } else {
        av_dict_set(&options, "cluster_time_limit", "1000", 0);
    }
    int r = avformat_write_header(m->format, &options);
    av_dict_free(&options);
    if (r < 0)
        return failed(m, r);
    avio_flush(m->io);
    return drain(m);
}

int mux_open(struct mux **out, struct sink *sink, bool mp4, const struct access_unit *irap,
             const struct hevc_sps *sps)
{
    avlog_route();
    *out = NULL;
    int e = error_set(ERR_MEMORY, "out of memory");
    struct mux *m = calloc(1, sizeof *m);
    if (!m)
        return e;
    m->sink = sink;
    m->last_dts = INT64_MIN;
    uint8_t *buffer = av_malloc(IO_BUFFER);
    m->packet = av_packet_alloc();
    if (buffer)
        m->io = avio_alloc_context(buffer, IO_BUFFER, 1, m, NULL, on_write,
                                   sink_seekable(sink) ? on_seek : NULL);
    if (!m->io)
        av_free(buffer);
    if (!m->io || !m->packet ||
        avformat_alloc_output_context2(&m->format, NULL, mp4 ? "mp4" : "matroska", NULL) < 0 ||
        add_stream(m, mp4, irap, sps) < 0)
        goto fail;
    m->format->pb = m->io;
    m->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    if ((e = write_header(m, mp4)) < 0)
        goto fail;
    *out = m;
    return 0;
fail:
    mux_free(&m);
    return e;
}

int mux_write(struct mux *m, const struct access_unit *au, int64_t pts_90k, int64_t duration_90k)
{
    AVStream *st = m->format->streams[0];
    AVRational from = {1, 90000};
    int64_t dts = av_rescale_q(pts_90k, from, st->time_base);
    if (dts <= m->last_dts) /* Matroska counts milliseconds */
        dts = m->last_dts + 1;
    m->last_dts = dts;
    av_packet_unref(m->packet);
    m->packet->data = au->data;
    m->packet->size = (int)au->len;
    m->packet->pts = m->packet->dts = dts;
    m->packet->duration = av_rescale_q(duration_90k, from, st->time_base);
    m->packet->flags = au->irap ? AV_PKT_FLAG_KEY : 0;
    int r = av_write_frame(m->format, m->packet);
    return r < 0 || m->error < 0 ? failed(m, r) : 0;
}

int mux_flush(struct mux *m)
{
    int r = av_write_frame(m->format, NULL);
    avio_flush(m->io);
    if (r < 0)
        return failed(m, r);
    return drain(m);
}

int mux_close(struct mux **pm)
{
    struct mux *m = *pm;
    if (!m)
        return 0;
    int e = mux_flush(m);
    if (e == 0) {
        int r = av_write_trailer(m->format);
        avio_flush(m->io);
        if (r < 0)
            e = failed(m, r);
        else
            e = drain(m);
    }
    mux_free(pm);
    return e;
}

void mux_abandon(struct mux **m)
{
    mux_free(m);
}
