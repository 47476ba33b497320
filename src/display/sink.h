/* sink: bytes to a file, a pipe or standard output, for a writer thread that must be able to stop
 * although nobody reads the pipe. sink_abort may be called on any thread, the rest on the writer's
 * alone (sink_open before it starts, sink_close after it ended). */
#ifndef HEVCAST_DISPLAY_SINK_H
#define HEVCAST_DISPLAY_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink;
/* "-": standard output. Creates or cuts the file now; a FIFO is opened at the first write, which
 * waits for a reader. ERR_IO, with a sentence that names the path. */
int sink_open(struct sink **out, const char *path);
void sink_close(struct sink **s);
/* All of the bytes. ERR_ENDED: aborted, or the reader went away; ERR_IO: disk full, …; each with a
 * sentence. */
int sink_write(struct sink *s, const void *data, size_t len);
/* Byte offset `offset` next. false: not a file. */
bool sink_seek(struct sink *s, int64_t offset);
bool sink_seekable(const struct sink *s);
bool sink_aborted(const struct sink *s);
void sink_abort(struct sink *s); /* a write that waits returns now; later ones fail */

#endif
