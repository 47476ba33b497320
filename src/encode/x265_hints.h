/* What x265 is told about each picture so that it does not have to find out: the type of the
 * slice, which blocks did not change, and of IDR pictures all blocks and modes.
 *
 * x265 can load the analysis of an earlier encode of the same film from its caller
 * (x265_picture.analysisData with bUseAnalysisFile = 0). We make that analysis up from the damage.
 * With it the lookahead is off (it costs a third of a still picture, for decisions that are ours),
 * and a block that did not change is tried as a skipped block first, at its largest size. */
#ifndef HEVCAST_ENCODE_X265_HINTS_H
#define HEVCAST_ENCODE_X265_HINTS_H

#include "encode/content.h"

#include <x265.h>

struct x265_hints;
/* Sets what the encoder must be opened with. */
void x265_hints_param(x265_param *p);
/* p: as x265_encoder_parameters gives it after opening; width, height: as opened. NULL: no memory */
struct x265_hints *x265_hints_new(const x265_param *p, int width, int height);
void x265_hints_free(struct x265_hints **h);
/* Fills pic->analysisData, which borrows from h until x265_encoder_encode returns. */
void x265_hints_fill(struct x265_hints *h, x265_picture *pic, const struct content *c,
                     const struct picture *source, bool key, int poc);

#endif
