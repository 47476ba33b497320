/* web_page: the browser page's files, built into the program, as responses of the HTTP server.
 * Network thread. */
#ifndef HEVCAST_SIGNAL_WEB_PAGE_H
#define HEVCAST_SIGNAL_WEB_PAGE_H

#include <libsoup/soup.h>
#include <stddef.h>

struct web_file {
    const char *name;  /* "": the page itself; else NAME of static/NAME */
    const char *type;  /* Content-Type */
    const char *etag;  /* with its quotes */
    const unsigned char *gzip; /* the contents, compressed */
    size_t gzip_len;
};

/* Written by web/embed.py. Empty names cannot occur twice. */
extern const struct web_file web_files[];
extern const int web_file_count;

/* NULL: there is no such file. Names are compared whole: a path cannot lead out of the table. */
const struct web_file *web_file_find(const struct web_file *files, int n, const char *name);
/* The response to GET or HEAD: 200, or 304 when the client has it. Sets all headers of a file:
 * type, ETag, caching, encoding, Content-Security-Policy. */
void web_file_respond(SoupServerMessage *msg, const struct web_file *f);

#endif
