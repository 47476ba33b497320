#include "signal/tls_identity.h"

#include "base/error.h"
#include "base/log.h"
#include "signal/tls_self.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Paths may hold colons: the split at which both files are there, else the first. NULL: none. */
static const char *split(const char *spec)
{
    const char *first = NULL;
    for (const char *p = strchr(spec, ':'); p; p = strchr(p + 1, ':')) {
        if (p == spec || p[1] == '\0')
            continue;
        if (!first)
            first = p;
        char *cert = strndup(spec, (size_t)(p - spec));
        bool both = cert && access(cert, F_OK) == 0 && access(p + 1, F_OK) == 0;
        free(cert);
        if (both)
            return p;
    }
    return first;
}

bool tls_spec_valid(const char *spec) { return strcmp(spec, "self") == 0 || split(spec); }

/* A terminal cannot be asked here: a key with a passphrase is refused, with a reason. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static int open_error(const char *what, const char *path)
{
    int code = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    return error_set(code, "the %s %s cannot be read: %s", what, path, strerror(errno));
}

static int read_certificate(const char *path, X509 **out)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return open_error("certificate", path);
    *out = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    ERR_clear_error();
    return *out ? 0
                : error_set(ERR_UNSUPPORTED, "there is no certificate in %s; --tls takes "
                            "CERT.pem:KEY.pem, both in PEM", path);
}

static int read_key(const char *path, EVP_PKEY **out)
{
    bool asked = false;
    FILE *f = fopen(path, "re");
    if (!f)
        return open_error("key", path);
    *out = PEM_read_PrivateKey(f, NULL, no_passphrase, &asked);
    fclose(f);
    ERR_clear_error();
    if (*out)
        return 0;
    if (asked)
        return error_set(ERR_UNSUPPORTED, "the key in %s has a passphrase; write it without one: "
                         "openssl pkey -in KEY.pem -out PLAIN.pem", path);
    return error_set(ERR_UNSUPPORTED, "there is no private key in %s; --tls takes CERT.pem:KEY.pem, "
                     "both in PEM", path);
}

static void warn_of_dates(const X509 *cert, const char *path)
{
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        LOG_WARN(signal, "the certificate %s has expired: viewers will refuse it", path);
    else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        LOG_WARN(signal, "the certificate %s is not valid yet: viewers will refuse it", path);
}

static int examine(struct tls_identity *id)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int error = read_certificate(id->cert, &cert);
    if (!error)
        error = read_key(id->key, &key);
    if (!error && X509_check_private_key(cert, key) != 1) {
        ERR_clear_error();
        error = error_set(ERR_UNSUPPORTED, "the key %s is not the key of the certificate %s; name "
                          "the two files that were made together", id->key, id->cert);
    }
    if (!error && (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != 32))
        error = error_set(ERR_IO, "no SHA-256 of the certificate %s could be made", id->cert);
    if (!error) {
        warn_of_dates(cert, id->cert);
        for (unsigned i = 0; i < len; i++)
            snprintf(id->fingerprint + 2 * i, 3, "%02x", digest[i]);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return error;
}

int tls_identity_open(struct tls_identity *id, const char *spec)
{
    *id = (struct tls_identity){.self = strcmp(spec, "self") == 0};
    const char *colon = id->self ? NULL : split(spec);
    int error = 0;
    if (id->self) {
        error = tls_self_file(&id->cert);
        id->key = error ? NULL : strdup(id->cert);
    } else if (colon) {
        id->cert = strndup(spec, (size_t)(colon - spec));
        id->key = strdup(colon + 1);
    } else {
        error = error_set(ERR_INVALID, "--tls is \"self\" or CERT.pem:KEY.pem, not \"%s\"", spec);
    }
    if (!error && (!id->cert || !id->key))
        error = error_set(ERR_MEMORY, "out of memory");
    if (!error)
        error = examine(id);
    if (error)
        tls_identity_clear(id);
    return error;
}

void tls_identity_clear(struct tls_identity *id)
{
    free(id->cert);
    free(id->key);
    *id = (struct tls_identity){0};
}
