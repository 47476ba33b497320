/* residual: residual_coding() of H.265 7.3.8.11. Pure. */
#ifndef HEVCAST_ENCODE_SCREEN_RESIDUAL_H
#define HEVCAST_ENCODE_SCREEN_RESIDUAL_H

#include "encode/screen/cabac.h"

enum scan { SCAN_DIAGONAL, SCAN_HORIZONTAL, SCAN_VERTICAL };

/* 7.4.9.11: the scan of an intra block follows its direction. size_log2: of this component. */
enum scan residual_scan(int intra_mode, int size_log2, bool chroma, bool chroma444);
/* level: n*n without gaps, at least one not 0. The transform_skip_flag is the caller's. */
void residual_write(struct cabac *c, const int16_t *level, int size_log2, bool chroma,
                    enum scan scan);

#endif
