/* FFmpeg's messages go to hevcast's log (module "ffmpeg", level debug) instead of standard error:
 * what matters of them is told by the error of the call that failed. Any thread, any number of
 * times; the first call sets the callback of the process. */
#ifndef HEVCAST_DECODE_AVLOG_H
#define HEVCAST_DECODE_AVLOG_H

void avlog_route(void);

#endif
