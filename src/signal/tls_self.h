/* tls_self: the certificate that `--tls self` makes once and keeps. Any thread; processes that
 * start at the same time take turns (a lock file). */
#ifndef HEVCAST_SIGNAL_TLS_SELF_H
#define HEVCAST_SIGNAL_TLS_SELF_H

/* The file with certificate and key, in PEM; made when there is none that can be used for another
 * 30 days. *path: the caller frees. ERR_IO with a sentence. */
int tls_self_file(char **path);

#endif
