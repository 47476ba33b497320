#include "source/file_stream.h"

#include "base/error.h"
#include "base/log.h"
#include "hevc/nal.h"
#include "source/file_decode.h"
#include "source/file_media.h"
#include "source/file_pace.h"
#include "source/wake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_PIECE = 64 * 1024,
    AU_MAX = 32 * 1024 * 1024,
    PEEK_MAX = 200, /* packets in which an SPS must come: an intra period of the longer sort */
};

struct file_stream {
    bool decode_always;
    int fps;
    struct file_input in;
    struct file_media media;      /* unless in.raw */
    struct au_splitter *splitter; /* if in.raw */
    bool split_ended;
    struct param_sets *params;
    int nal_length_size; /* of the container's samples; 0: Annex B */
    bool need_irap;      /* nothing before it can be decoded */
    int64_t last_media_us;
    struct file_decoder *decoder; /* NULL: access units are passed through */
    AVPacket *pkt;
    bool pkt_pending; /* the decoder has not taken it yet */
    int64_t interval_us;
    uint8_t buf[READ_PIECE];
};

/* ---- access units ---- */

static int next_raw(struct file_stream *s, struct access_unit **out)
{
    for (;;) {
        *out = au_splitter_pop(s->splitter);
        if (*out)
            return 0;
        if (s->split_ended)
            return ERR_ENDED;
        ssize_t n = file_input_read(&s->in, s->buf, sizeof s->buf);
        if (n == -ECANCELED)
            return ERR_ENDED;
        if (n < 0)
            return error_set(ERR_IO, "cannot read %s: %s", s->in.shown, strerror((int)-n));
        if (n == 0) {
            au_splitter_end(s->splitter);
            s->split_ended = true;
        } else if (!au_splitter_push(s->splitter, s->buf, (size_t)n)) {
            return error_set(ERR_MEMORY, "not enough memory for a picture of %s", s->in.shown);
        }
    }
}

static int next_packet(struct file_stream *s)
{
    int av = file_media_packet(&s->media, s->pkt);
    if (av >= 0)
        return 0;
    if (av == AVERROR_EOF || av == AVERROR_EXIT || atomic_load(&s->in.cancelled))
        return ERR_ENDED;
    if (av == AVERROR_INVALIDDATA) {
        LOG_WARN(source, "%s ends early: it is damaged%s", s->in.shown,
                 s->in.live && s->in.path[0] ? ", or its server cannot seek in it" : "");
        return ERR_ENDED;
    }
    return error_set(ERR_IO, "cannot read %s: %s", s->in.shown, av_err2str(av));
}

/* Parameter sets as Annex B or hvcC, which begins with its version, 1 (ISO 14496-15 8.3.3.1). */
static void learn_extradata(struct file_stream *s, const uint8_t *data, size_t len)
{
    struct access_unit *sets = access_unit_new(len + 64);
    if (!sets)
        return;
    bool ok;
    if (len > 22 && data[0] == 1) {
        ok = hvcc_to_annexb(data, len, sets, &s->nal_length_size);
    } else {
        s->nal_length_size = 0;
        ok = access_unit_append(sets, data, len);
    }
    if (ok)
        param_sets_learn(s->params, sets);
    access_unit_unref(&sets);
}

/* Samples in Annex B are written again, for the start codes of four bytes. */
static bool append_annexb(struct access_unit *au, const uint8_t *data, size_t len)
{
    struct nal nal;
    for (size_t pos = 0; annexb_next(data, len, &pos, &nal);)
        if (!au_append_nal(au, nal.data, nal.len))
            return false;
    return true;
}

static bool append_sample(const struct file_stream *s, const AVPacket *pkt, struct access_unit *au)
{
    return s->nal_length_size
               ? hvcc_sample_to_annexb(pkt->data, (size_t)pkt->size, s->nal_length_size, au)
               : append_annexb(au, pkt->data, (size_t)pkt->size);
}

static int next_sample(struct file_stream *s, struct access_unit **out, int64_t *media_us)
{
    for (;;) {
        int rc = next_packet(s);
        if (rc < 0)
            return rc;
        size_t extra_len = 0;
        const uint8_t *extra = av_packet_get_side_data(s->pkt, AV_PKT_DATA_NEW_EXTRADATA,
                                                       &extra_len);
        if (extra)
            learn_extradata(s, extra, extra_len);
        *media_us = file_media_us(&s->media,
                                  s->pkt->pts != AV_NOPTS_VALUE ? s->pkt->pts : s->pkt->dts);
        struct access_unit *au = access_unit_new((size_t)s->pkt->size + 256);
        bool whole = au && !(s->pkt->flags & AV_PKT_FLAG_CORRUPT) && append_sample(s, s->pkt, au);
        av_packet_unref(s->pkt);
        if (whole) {
            *out = au;
            return 0;
        }
        if (!au)
            return error_set(ERR_MEMORY, "not enough memory for a picture of %s", s->in.shown);
        access_unit_unref(&au);
        /* What refers to it can't be decoded either. */
        s->need_irap = true;
        LOG_RATE(source, LOG_LEVEL_WARN, "a picture of %s is damaged and was left out", s->in.shown);
    }
}

static bool has_picture(const struct access_unit *au)
{
    struct nal nal;
    for (size_t pos = 0; annexb_next(au->data, au->len, &pos, &nal);)
        if (nal_is_vcl(nal_type(&nal)))
            return true;
    return false;
}

/* NULL: viewers can decode it as it is, picture by picture. */
static const char *why_not_as_it_is(const struct file_stream *s, const struct hevc_sps *sps)
{
    if (s->decode_always)
        return "it is wanted so";
    if (!sps)
        return "it has no readable SPS";
    /* A decoder waits for as many pictures as the SPS lets be out of order (C.5.2.2). */
    if (sps->max_num_reorder > 0)
        return "it has B-frames";
    if (sps->bit_depth_luma != 8 || sps->bit_depth_chroma != 8)
        return "it has more than 8 bits a sample";
    if (sps->chroma_format_idc != 1 && sps->chroma_format_idc != 3)
        return "it is neither 4:2:0 nor 4:4:4";
    /* FFmpeg's libx265 makes this of a screen that it grabs, unless told -pix_fmt yuv420p. */
    if (sps->has_vui_colour && sps->matrix == 0)
        return "it is RGB, which few decoders show (-pix_fmt yuv420p avoids it)";
    return NULL;
}

/* What was chosen at open cannot be changed any more; but it is said when it was wrong. */
static void watch(struct file_stream *s, const struct access_unit *au, int64_t media_us)
{
    const char *why = au->irap ? why_not_as_it_is(s, param_sets_sps(s->params)) : NULL;
    if (why)
        LOG_RATE(source, LOG_LEVEL_WARN, "%s has changed: %s; viewers may not show it", s->in.shown,
                 why);
    if (media_us == FILE_PACE_UNKNOWN)
        return;
    if (s->last_media_us != FILE_PACE_UNKNOWN && media_us <= s->last_media_us)
        LOG_RATE(source, LOG_LEVEL_WARN, "the timestamps of %s go back", s->in.shown);
    s->last_media_us = media_us;
}

static int next_au(struct file_stream *s, struct file_item *out)
{
    for (;;) {
        struct access_unit *au = NULL;
        int64_t media_us = FILE_PACE_UNKNOWN;
        int rc = s->in.raw ? next_raw(s, &au) : next_sample(s, &au, &media_us);
        if (rc < 0)
            return rc;
        param_sets_learn(s->params, au);
        if (!param_sets_complete(s->params, au)) {
            access_unit_unref(&au);
            return error_set(ERR_MEMORY, "not enough memory for a picture of %s", s->in.shown);
        }
        s->need_irap = (s->need_irap || au->after_loss) && !au->irap;
        au->after_loss = false; /* the receiving side's */
        if (s->need_irap || !has_picture(au)) {
            access_unit_unref(&au);
            continue;
        }
        watch(s, au, media_us);
        *out = (struct file_item){.au = au, .media_us = media_us};
        return 0;
    }
}

/* ---- pictures ---- */

/* Fills s->pkt. */
static int next_coded(struct file_stream *s)
{
    if (!s->in.raw)
        return next_packet(s);
    struct access_unit *au;
    int rc = next_raw(s, &au);
    if (rc < 0)
        return rc;
    if (av_new_packet(s->pkt, (int)au->len) < 0)
        rc = error_set(ERR_MEMORY, "not enough memory for a picture of %s", s->in.shown);
    else
        memcpy(s->pkt->data, au->data, au->len);
    access_unit_unref(&au);
    return rc;
}

static int feed_decoder(struct file_stream *s)
{
    if (!s->pkt_pending) {
        int rc = next_coded(s);
        if (rc == ERR_ENDED && !atomic_load(&s->in.cancelled)) {
            file_decoder_send(s->decoder, NULL);
            return 0;
        }
        if (rc < 0)
            return rc;
        s->pkt_pending = true;
    }
    int av = file_decoder_send(s->decoder, s->pkt);
    if (av == AVERROR(EAGAIN))
        return 0;
    s->pkt_pending = false;
    av_packet_unref(s->pkt);
    if (av < 0)
        LOG_RATE(source, LOG_LEVEL_WARN, "a picture of %s cannot be decoded: %s", s->in.shown,
                 av_err2str(av));
    return 0;
}

static int next_picture(struct file_stream *s, struct file_item *out)
{
    for (;;) {
        if (atomic_load(&s->in.cancelled))
            return ERR_ENDED;
        int64_t ts = AV_NOPTS_VALUE;
        struct picture *pic = NULL;
        int av = file_decoder_receive(s->decoder, &pic, &ts), rc = 0;
        if (av == 0) {
            int64_t us = s->in.raw ? FILE_PACE_UNKNOWN : file_media_us(&s->media, ts);
            *out = (struct file_item){.pic = pic, .media_us = us};
            return 0;
        }
        if (av == AVERROR_EOF)
            return ERR_ENDED;
        if (av == AVERROR(EAGAIN))
            rc = feed_decoder(s);
        else if (av == AVERROR(EBUSY)) /* the consumer holds them all; it is stalled */
            wake_wait(s->in.wake, -1, 2000);
        else if (av == AVERROR(ENOSYS))
            rc = error_set(ERR_UNSUPPORTED, "the pictures of %s have a format that cannot be "
                                            "converted", s->in.shown);
        else
            LOG_RATE(source, LOG_LEVEL_WARN, "a picture of %s cannot be decoded: %s", s->in.shown,
                     av_err2str(av));
        if (rc < 0)
            return rc;
    }
}

int file_stream_next(struct file_stream *s, struct file_item *out)
{
    return s->decoder ? next_picture(s, out) : next_au(s, out);
}

/* ---- open ---- */

static void describe(struct source_info *info, const struct file_stream *s, const char *codec)
{
    snprintf(info->text, sizeof info->text, "%.60s, %dx%d, %s, %s", s->in.shown, info->width,
             info->height, codec,
             info->kind == SOURCE_PICTURES ? "decoded and encoded again" : "passed through");
}

/* Decides between passing through and decoding, and fills info but for the rate. */
static int choose(struct file_stream *s, const AVCodecParameters *par, AVRational time_base,
                  struct source_info *info)
{
    bool hevc = par->codec_id == AV_CODEC_ID_HEVC;
    const struct hevc_sps *sps = hevc ? param_sets_sps(s->params) : NULL;
    const char *why = hevc ? why_not_as_it_is(s, sps) : avcodec_get_name(par->codec_id);
    info->width = sps ? sps->width : par->width;
    info->height = sps ? sps->height : par->height;
    if (info->width <= 0 || info->height <= 0)
        return error_set(ERR_UNSUPPORTED, "%s has a video stream, but no picture in it can be read",
                         s->in.shown);
    if (!why) {
        info->kind = SOURCE_ACCESS_UNITS;
        info->yuv444 = sps->chroma_format_idc == 3;
        info->profile_idc = sps->profile_idc;
        info->level_idc = sps->level_idc;
        info->tier = (char)sps->tier;
        describe(info, s, "HEVC");
        return 0;
    }
    info->kind = SOURCE_PICTURES;
    describe(info, s, avcodec_get_name(par->codec_id));
    if (!hevc)
        LOG_INFO(source, "%s is %s, not HEVC: decoding and encoding again", s->in.shown, why);
    else
        LOG_AT(source, s->decode_always ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
               "%s is HEVC, but %s: decoding and encoding again", s->in.shown, why);
    return file_decoder_open(&s->decoder, par, time_base, s->in.live, s->in.shown);
}

/* Reads on until the SPS is whole, which it is when another NAL has begun behind it. */
static bool find_raw_sps(struct file_stream *s)
{
    do {
        struct nal nal;
        size_t pos = 0;
        bool found = false;
        while (annexb_next(s->in.head, s->in.head_len, &pos, &nal)) {
            if (found) {
                struct access_unit *sets = access_unit_new(s->in.head_len);
                if (sets && access_unit_append(sets, s->in.head,
                                               (size_t)(nal.data - s->in.head) - 3))
                    param_sets_learn(s->params, sets);
                access_unit_unref(&sets);
                return param_sets_sps(s->params) != NULL;
            }
            found = nal_type(&nal) == NAL_SPS;
        }
    } while (file_input_more_head(&s->in) > 0);
    return false;
}

static int open_raw(struct file_stream *s, struct source_info *info)
{
    if (!find_raw_sps(s))
        return error_set(ERR_UNSUPPORTED, "%s begins like HEVC, but no picture in it can be read",
                         s->in.shown);
    s->splitter = au_splitter_new(AU_MAX);
    AVCodecParameters *par = avcodec_parameters_alloc();
    int rc = ERR_MEMORY;
    if (s->splitter && par) {
        par->codec_type = AVMEDIA_TYPE_VIDEO;
        par->codec_id = AV_CODEC_ID_HEVC;
        rc = choose(s, par, AV_TIME_BASE_Q, info);
    } else {
        error_set(ERR_MEMORY, "not enough memory to read %s", s->in.shown);
    }
    avcodec_parameters_free(&par);
    s->interval_us = 1000000 / s->fps;
    return rc;
}

/* Parameter sets come with the container's header, or else in-band with the first IRAP. */
static void find_packet_sps(struct file_stream *s)
{
    const AVPacket *pkt;
    for (int i = 0; i < PEEK_MAX && !param_sets_sps(s->params); i++) {
        if (file_media_peek(&s->media, &pkt) < 0)
            return;
        struct access_unit *au = access_unit_new((size_t)pkt->size + 64);
        if (au && append_sample(s, pkt, au))
            param_sets_learn(s->params, au);
        access_unit_unref(&au);
    }
}

static int open_media(struct file_stream *s)
{
    int rc = file_media_open(&s->media, &s->in);
    if (rc < 0)
        return rc;
    const AVCodecParameters *par = s->media.stream->codecpar;
    if (par->codec_id == AV_CODEC_ID_HEVC && par->extradata_size > 0)
        learn_extradata(s, par->extradata, (size_t)par->extradata_size);
    return 0;
}

static int open_container(struct file_stream *s, struct source_info *info)
{
    int rc = open_media(s);
    if (rc < 0)
        return rc;
    const AVStream *st = s->media.stream;
    if (st->codecpar->codec_id == AV_CODEC_ID_HEVC)
        find_packet_sps(s);
    s->interval_us = file_media_interval_us(&s->media);
    if (!s->interval_us)
        s->interval_us = 1000000 / s->fps;
    return choose(s, st->codecpar, st->time_base, info);
}

int file_stream_open(struct file_stream **out, const struct source_config *config,
                     struct source_info *info)
{
    struct file_stream *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_MEMORY, "not enough memory to read a file");
    s->decode_always = config->decode_always;
    s->fps = config->fps > 0 ? config->fps : 30;
    s->need_irap = true;
    s->last_media_us = FILE_PACE_UNKNOWN;
    int rc = file_input_open(&s->in, config->spec);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->params = param_sets_new();
    s->pkt = av_packet_alloc();
    *info = (struct source_info){0};
    if (!s->params || !s->pkt)
        rc = error_set(ERR_MEMORY, "not enough memory to read %s", s->in.shown);
    else
        rc = s->in.raw ? open_raw(s, info) : open_container(s, info);
    if (rc < 0) {
        file_stream_free(&s);
        return rc;
    }
    info->fps = 1e6 / (double)s->interval_us;
    if (config->loop && s->in.fd >= 0 && !s->in.rewindable)
        LOG_WARN(source, "%s cannot be played again at its end", s->in.shown);
    *out = s;
    return 0;
}

void file_stream_free(struct file_stream **ps)
{
    struct file_stream *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    file_decoder_free(&s->decoder);
    file_media_close(&s->media);
    au_splitter_free(&s->splitter);
    param_sets_free(&s->params);
    av_packet_free(&s->pkt);
    file_input_close(&s->in);
    free(s);
}

int file_stream_rewind(struct file_stream *s)
{
    if (s->in.fd >= 0 && !file_input_rewind(&s->in))
        return error_set(ERR_UNSUPPORTED, "%s cannot be played again", s->in.shown);
    s->need_irap = true;
    s->last_media_us = FILE_PACE_UNKNOWN;
    s->pkt_pending = false;
    av_packet_unref(s->pkt);
    if (s->decoder)
        file_decoder_reset(s->decoder);
    if (!s->in.raw) { /* opened anew, since not every format can seek to its start */
        file_media_close(&s->media);
        return open_media(s);
    }
    au_splitter_free(&s->splitter);
    s->splitter = au_splitter_new(AU_MAX);
    s->split_ended = false;
    return s->splitter ? 0 : error_set(ERR_MEMORY, "not enough memory to read %s", s->in.shown);
}

void file_stream_cancel(struct file_stream *s) { file_input_cancel(&s->in); }
const char *file_stream_name(const struct file_stream *s) { return s->in.shown; }
bool file_stream_live(const struct file_stream *s) { return s->in.live; }
int64_t file_stream_begun_us(const struct file_stream *s) { return s->in.begun_us; }
int64_t file_stream_interval_us(const struct file_stream *s) { return s->interval_us; }

int64_t file_stream_gap_us(const struct file_stream *s)
{
    /* A recording of a screen where nothing happens has long pauses between its pictures, and
     * they are meant; formats of broadcasting have jumps, and say that they may. */
    bool jumps = s->in.raw || s->media.fmt->iformat->flags & AVFMT_TS_DISCONT;
    return jumps ? 1000000 : (int64_t)600 * 1000000;
}
