/* mux: one recording file, Matroska or fragmented MP4, that grows by whole clusters or fragments,
 * so that it is valid whenever the program is killed. One thread. */
#ifndef HEVCAST_DISPLAY_MUX_H
#define HEVCAST_DISPLAY_MUX_H

#include "base/picture.h"
#include "display/sink.h"
#include "hevc/nal.h"

struct mux;
/* borrows sink until it is closed. mp4: else Matroska. irap: the first access unit, whose parameter
 * sets go into the header (it is not written by this); sps: its own. ERR_IO, ERR_ENDED, …. */
int mux_open(struct mux **out, struct sink *sink, bool mp4, const struct access_unit *irap,
             const struct hevc_sps *sps);
/* borrows au. pts_90k rises from 0; duration_90k above 0. Buffered until mux_flush. */
int mux_write(struct mux *m, const struct access_unit *au, int64_t pts_90k, int64_t duration_90k);
/* Ends the cluster or fragment and writes it. */
int mux_flush(struct mux *m);
/* Flushes, writes what makes the file seekable. *m is freed in every case. */
int mux_close(struct mux **m);
/* The file as it is, without a trailer: after an error. */
void mux_abandon(struct mux **m);

#endif
