/* token: secrets and ids of 128 random bits, as 22 characters of base64url (RFC 4648 section 5).
 * Any thread. */
#ifndef HEVCAST_SIGNAL_TOKEN_H
#define HEVCAST_SIGNAL_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

enum { TOKEN_BITS = 128, TOKEN_LEN = 22 };

/* A new token with its terminating NUL. ERR_IO when the system has no randomness to give. */
int token_new(char out[TOKEN_LEN + 1]);
/* n random bytes from getrandom(2): for ids that are not text (SSRCs, session ids). ERR_IO. */
int token_random(void *out, size_t n);
/* Takes the same time wherever given and secret differ; only secret_len shows in it. */
bool token_equal(const char *given, size_t given_len, const char *secret, size_t secret_len);
/* May text be a token in an address? 1 to 128 of A-Z a-z 0-9 - . _ ~ (RFC 3986 section 2.3), and
 * neither "." nor "..", which a client would take for a path. */
bool token_valid(const char *text);

#endif
