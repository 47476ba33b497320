/* decoder: access units in, pictures out, without a frame of delay. One thread (decode). */
#ifndef HEVCAST_DECODE_DECODER_H
#define HEVCAST_DECODE_DECODER_H

#include "base/picture.h"

struct decoder;
struct decoder_ops {
    const char *name; /* as in --decoder: cpu, vaapi, cuda */
    bool (*probe)(char *reason, size_t reason_len);
    int (*open)(struct decoder **out);
    /* borrows au; gives *out, or NULL when it shows nothing. ERR_PROTOCOL: it cannot be decoded
     * whole (a reference is missing, or it is corrupt): nothing is given, and nothing will be
     * until an IRAP, or a picture that refers only to what is there: ask for one. Times and
     * capture_ntp are copied from au; ready_us is set. All of the picture is damaged.
     * Bits that changed inside a slice are not noticed: SRTP has authenticated them. */
    int (*decode)(struct decoder *d, const struct access_unit *au, struct picture **out);
    void (*close)(struct decoder *d);
};
struct decoder {
    const struct decoder_ops *ops;
};

extern const struct decoder_ops decoder_cpu, decoder_vaapi, decoder_cuda;
extern const struct decoder_ops *const decoder_table[]; /* in auto's order, NULL-terminated */
/* name NULL or "auto": the first that works. */
int decoder_open(struct decoder **out, const char *name);
int decoder_decode(struct decoder *d, const struct access_unit *au, struct picture **out);
void decoder_close(struct decoder **d);

#endif
