#include "signal/tls_self.h"

#include "base/error.h"
#include "base/log.h"
#include "signal/tls_identity.h"
#include "signal/token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_NAMES = 64 };

/* ---- the certificate ---- */

/* Once each. Takes an address as text, or a name. */
static void add_name(GENERAL_NAMES *names, const char *text)
{
    unsigned char bytes[16];
    int len = inet_pton(AF_INET, text, bytes) == 1    ? 4
              : inet_pton(AF_INET6, text, bytes) == 1 ? 16
                                                      : 0;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = name ? ASN1_STRING_type_new(len ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING)
                              : NULL;
    bool ok = value && (len ? ASN1_STRING_set(value, bytes, len)
                            : ASN1_STRING_set(value, text, (int)strlen(text)));
    if (ok)
        GENERAL_NAME_set0_value(name, len ? GEN_IPADD : GEN_DNS, value);
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), name) == 0) {
            GENERAL_NAME_free(name);
            return;
        }
    if (ok && sk_GENERAL_NAME_num(names) < MAX_NAMES && sk_GENERAL_NAME_push(names, name) > 0)
        return;
    if (!ok)
        ASN1_STRING_free(value);
    GENERAL_NAME_free(name);
}

/* Only what a DNS name may hold; a machine's name may be anything. */
static bool is_dns_name(const char *s)
{
    return s[0] && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
                       strlen(s);
}

/* Browsers look at the subject alternative names alone (RFC 9525 section 6). */
static bool add_names(X509 *cert)
{
    char text[INET6_ADDRSTRLEN], host[256] = "";
    struct ifaddrs *interfaces = NULL;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    if (!names)
        return false;
    add_name(names, "localhost");
    add_name(names, "127.0.0.1");
    add_name(names, "::1");
    if (gethostname(host, sizeof host - 1) == 0 && is_dns_name(host)) {
        char local[sizeof host + sizeof ".local"];
        snprintf(local, sizeof local, "%s.local", host);
        add_name(names, host);
        if (!strchr(host, '.'))
            add_name(names, local); /* multicast DNS (RFC 6762) */
    }
    if (getifaddrs(&interfaces) != 0)
        interfaces = NULL;
    for (struct ifaddrs *i = interfaces; i; i = i->ifa_next) {
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        const void *address =
            family == AF_INET    ? (const void *)&((struct sockaddr_in *)i->ifa_addr)->sin_addr
            : family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr
                                 : NULL;
        if (address && inet_ntop(family, address, text, sizeof text))
            add_name(names, text);
    }
    freeifaddrs(interfaces);
    bool ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return ok;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    unsigned char serial[16];
    X509 *cert = X509_new();
    if (!cert || token_random(serial, sizeof serial) < 0)
        goto fail;
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive and of full length, RFC 5280 4.1.2.2 */
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    X509_NAME *name = X509_get_subject_name(cert);
    /* A day back: clocks differ. */
    ok = ok && X509_set_version(cert, X509_VERSION_3) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
         X509_gmtime_adj(X509_getm_notAfter(cert), (TLS_SELF_DAYS - 1) * 86400L) &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"hevcast", -1,
                                    -1, 0) == 1 &&
         X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
         add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
         add_extension(cert, NID_ext_key_usage, "serverAuth") &&
         add_extension(cert, NID_subject_key_identifier, "hash") && add_names(cert) &&
         X509_sign(cert, key, EVP_sha256()) > 0;
    if (ok)
        return cert;
fail:
    X509_free(cert);
    ERR_clear_error();
    return NULL;
}

/* ---- the file ---- */

static int make_folders(char *path)
{
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char was = *p;
        *p = '\0';
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        *p = was;
        if (failed)
            return error_set(ERR_IO, "the folder %s for the certificate cannot be made: %s; name "
                             "another with XDG_STATE_HOME", path, strerror(errno));
        if (was == '\0')
            return 0;
    }
}

/* XDG base directories: a relative $XDG_STATE_HOME is as good as none. */
static int state_folder(char **out)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (!home || home[0] != '/') {
        const struct passwd *user = getpwuid(getuid());
        home = user ? user->pw_dir : NULL;
    }
    int n = -1;
    if (state && state[0] == '/')
        n = asprintf(out, "%s/hevcast", state);
    else if (home && home[0] == '/')
        n = asprintf(out, "%s/.local/state/hevcast", home);
    if (n < 0) {
        *out = NULL;
        return error_set(ERR_IO, "there is no home directory to keep a certificate in; set "
                         "XDG_STATE_HOME, or use --tls CERT.pem:KEY.pem");
    }
    return make_folders(*out);
}

/* Whole, its own key, private, and valid for a while. */
static bool is_usable(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    rewind(f);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, (void *)"");
    time_t renew = time(NULL) + TLS_SELF_RENEW_DAYS * 86400L;
    bool ok = cert && key && X509_check_private_key(cert, key) == 1 &&
              X509_cmp_time(X509_get0_notAfter(cert), &renew) > 0 &&
              X509_cmp_current_time(X509_get0_notBefore(cert)) < 0;
    if (ok && (fstat(fileno(f), &st) != 0 || (st.st_mode & 077) || st.st_uid != geteuid())) {
        LOG_WARN(signal, "others could read the key in %s: a new one is made", path);
        ok = false;
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    fclose(f);
    return ok;
}

static int write_error(const char *path)
{
    return error_set(ERR_IO, "the certificate cannot be kept in %s: %s; name another folder with "
                     "XDG_STATE_HOME", path, strerror(errno));
}

/* Beside it first: there is never half a file. */
static int make_file(const char *path)
{
    char *fresh = NULL;
    int error = 0, fd = -1;
    FILE *f = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(key) : NULL;
    if (!cert) {
        error = error_set(ERR_IO, "no certificate could be made; use --tls CERT.pem:KEY.pem");
        goto done;
    }
    if (asprintf(&fresh, "%s.new", path) < 0) {
        fresh = NULL;
        error = error_set(ERR_MEMORY, "out of memory");
        goto done;
    }
    unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        error = write_error(fresh);
        if (fd >= 0)
            close(fd);
        goto done;
    }
    bool ok = PEM_write_X509(f, cert) == 1 &&
              PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fflush(f) == 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(fresh, path) != 0) {
        error = write_error(path);
        unlink(fresh);
    }
done:
    free(fresh);
    X509_free(cert);
    EVP_PKEY_free(key);
    return error;
}

int tls_self_file(char **path)
{
    char *folder = NULL, *lock_path = NULL;
    int lock = -1;
    *path = NULL;
    int error = state_folder(&folder);
    if (error)
        goto done;
    if (asprintf(path, "%s/tls-self.pem", folder) < 0)
        *path = NULL;
    if (asprintf(&lock_path, "%s/tls-self.lock", folder) < 0)
        lock_path = NULL;
    if (!*path || !lock_path) {
        error = error_set(ERR_MEMORY, "out of memory");
        goto done;
    }
    lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0)
        error = write_error(folder);
    else if (!is_usable(*path))
        error = make_file(*path);
done:
    if (lock >= 0)
        close(lock);
    free(lock_path);
    free(folder);
    if (error) {
        free(*path);
        *path = NULL;
    }
    return error;
}
