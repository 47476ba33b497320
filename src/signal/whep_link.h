/* whep_link: Link header values (RFC 8288) of rel="ice-server" (RFC 9725 section 4.6). Pure. */
#ifndef HEVCAST_SIGNAL_WHEP_LINK_H
#define HEVCAST_SIGNAL_WHEP_LINK_H

#include <stddef.h>

enum { WHEP_LINK_URL_MAX = 768 };

/* Takes the next ice-server link out of *value (the text of a header, several links with commas
 * between) and moves *value on. 1: out has "stun:host:port" or
 * "turn:user:password@host:port?transport=tcp", user and password percent-encoded where they hold
 * reserved characters; 0: no more. */
int whep_link_next(const char **value, char out[WHEP_LINK_URL_MAX]);

/* The Link header value for such an address: the other way round. The length, or -1: no room, or
 * neither stun nor turn. */
int whep_link_format(const char *url, char *out, size_t cap);

#endif
