/* tls_identity: the certificate of a share's https. Any thread.
 *
 * "self" is a certificate of our own, made once and kept in $XDG_STATE_HOME/hevcast (else
 * ~/.local/state/hevcast), together with its key in one file of mode 0600: whoever accepted or
 * pinned it once meets the same one again. It is made anew 30 days before it would expire. */
#ifndef HEVCAST_SIGNAL_TLS_IDENTITY_H
#define HEVCAST_SIGNAL_TLS_IDENTITY_H

#include <stdbool.h>

enum {
    /* Apple's clients take no server certificate that is valid for more than 825 days. */
    TLS_SELF_DAYS = 820,
    TLS_SELF_RENEW_DAYS = 30,
    TLS_FINGERPRINT_LEN = 64, /* SHA-256 in hex digits */
};

struct tls_identity {
    char *cert, *key; /* PEM files, the same one for "self" */
    char fingerprint[TLS_FINGERPRINT_LEN + 1]; /* SHA-256 of the certificate (DER), lower case */
    bool self;
};

/* spec: "self", or "CERT.pem:KEY.pem". Looks at the files: the key must be that of the
 * certificate. ERR_INVALID: spec is neither; ERR_NOT_FOUND, ERR_IO, ERR_UNSUPPORTED with a
 * sentence. On failure *id is empty. */
int tls_identity_open(struct tls_identity *id, const char *spec);
void tls_identity_clear(struct tls_identity *id);
/* May spec be one at all? What `share` checks before it opens anything. */
bool tls_spec_valid(const char *spec);

#endif
