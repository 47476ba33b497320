#include "signal/token.h"

#include "base/error.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

int token_random(void *out, size_t n)
{
    uint8_t *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set(ERR_IO, "the system gives no random numbers: %s", strerror(errno));
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int token_new(char out[TOKEN_LEN + 1])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[TOKEN_BITS / 8];
    int error = token_random(bytes, sizeof bytes);
    if (error)
        return error;
    uint32_t acc = 0;
    int bits = 0, at = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        acc = acc << 8 | bytes[i];
        bits += 8;
        for (; bits >= 6; bits -= 6)
            out[at++] = alphabet[acc >> (bits - 6) & 63];
    }
    out[at++] = alphabet[acc << (6 - bits) & 63]; /* the last 2 bits, padded with zeros */
    out[at] = '\0';
    return 0;
}

bool token_equal(const char *given, size_t given_len, const char *secret, size_t secret_len)
{
    /* Always secret_len steps. A given text of another length is compared with itself wrapped
     * around, or with zeros; the length difference alone decides then. */
    size_t len_diff = given_len ^ secret_len;
    volatile uint8_t diff = 0;
    for (size_t i = 0; i < secret_len; i++) {
        uint8_t g = given_len > 0 ? (uint8_t)given[i % given_len] : 0;
        diff |= (uint8_t)(g ^ (uint8_t)secret[i]);
    }
    return (diff == 0) & (len_diff == 0);
}

bool token_valid(const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > 128 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == n;
}
