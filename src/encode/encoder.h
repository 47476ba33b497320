/* encoder: planes in, one HEVC access unit out, without a frame of delay.
 *
 * All functions of one encoder run on one thread (the encode thread). The encoder owns its rate
 * control: it is given bytes for each picture and keeps to them. */
#ifndef HEVCAST_ENCODE_ENCODER_H
#define HEVCAST_ENCODE_ENCODER_H

#include "base/picture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;

struct encoder_config {
    int width, height;   /* x265: 17x16 at least. An odd size in 4:2:0 gives a stream of the next
                            even size, its last column or row twice (au->width, au->height) */
    enum pix_fmt fmt;    /* PIX_I420 or PIX_I444 */
    int fps;             /* most pictures a second; for the level and the VUI timing */
    int64_t bitrate_bps; /* the ceiling; for the level alone */
    int max_level_idc;   /* of all viewers: a level above the lowest that fits may be signalled, for
                            a larger picture buffer; 0: the lowest */
    struct pool *pool;   /* borrows until close; NULL: no threads but the caller's. The screen encoder:
                            the stream has wavefronts, each row of tree blocks by itself */
    bool pictures_stay;  /* nobody writes to a picture as long as there are references to it: the
                            encoder need not copy what it compares the next one with */
    bool film;           /* camera pictures rather than a screen: x265 searches less (a hint) */
};

struct encode_in {
    const struct picture *pic;    /* borrows until the next call of encode or close; with
                                     pictures_stay the encoder may keep a reference longer */
    const struct damage *damage;  /* borrows; relative to the last picture that was encoded */
    uint64_t pic_id;
    size_t budget_bytes;  /* aim for this; exceeding it 1.5 times should be rare, 4 times never but
                             by a first picture that cannot be coarser */
    bool key_wanted;      /* make it an IDR with parameter sets */
    bool refine;          /* the same picture again, to make it sharper in spare bits */
};

struct encode_out {
    struct access_unit *au; /* gives; NULL: nothing to send (no change that the encoder does not
                               have already, or as good as it gets) */
    bool wants_more;        /* would become visibly sharper if encoded again with refine */
};

struct encoder {
    const struct encoder_ops *ops;
    int profile_idc, level_idc; /* what it signals */
};

struct encoder_ops {
    const char *name; /* as in --encoder */
    /* Works here? If not, a sentence in reason. */
    bool (*probe)(enum pix_fmt fmt, char *reason, size_t reason_len);
    int (*open)(struct encoder **out, const struct encoder_config *config);
    int (*encode)(struct encoder *e, const struct encode_in *in, struct encode_out *out);
    void (*close)(struct encoder *e);
    /* Both NULL where the encoder has no say in what it refers to: the answer to a loss is a key
     * frame then. acked: every viewer has this picture and all that it depends on. lost: one
     * never will; the next call of encode gives an access unit that refers to acknowledged
     * pictures alone, or an IRAP when there is none. false: ask for a key frame. */
    void (*acked)(struct encoder *e, uint64_t pic_id);
    bool (*lost)(struct encoder *e, uint64_t pic_id);
};

extern const struct encoder_ops encoder_x265, encoder_nvenc, encoder_vaapi, encoder_qsv,
    encoder_screen;
extern const struct encoder_ops *const encoder_table[]; /* in auto's order, NULL-terminated */

/* name: NULL or "auto": the first that works. ERR_UNSUPPORTED with the
 * reason; ERR_INVALID: there is none of that name. */
int encoder_pick(const struct encoder_ops **out, const char *name, enum pix_fmt fmt);
int encoder_open(struct encoder **out, const struct encoder_ops *ops,
                 const struct encoder_config *config);
void encoder_close(struct encoder **e);
/* For encoders: is this a picture of the size and format that the encoder was opened for?
 * 0 or ERR_INVALID. */
int encoder_check_picture(const struct encoder_config *config, const struct picture *pic);

/* level_idc (30 × level, as in the SPS) that size, rate and bitrate need, H.265 table A.8/A.9,
 * Main tier; and the most pictures of its picture buffer for that size (A.4.2). */
int hevc_level_for(int width, int height, int fps, int64_t bitrate_bps);
int hevc_dpb_size(int level_idc, int width, int height);
/* The lowest level from this one on that has room for 16 pictures; the level itself if none has. */
int hevc_level_for_dpb(int level_idc, int width, int height);

#endif
