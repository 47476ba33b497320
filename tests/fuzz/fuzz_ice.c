/* The texts of transport/: an ICE server's address, a candidate, a fingerprint. */
#include "fuzz.h"

#include "transport/dtls.h"
#include "transport/ice.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* exactly, so that a read past the end is seen */
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    struct ice_server server;
    if (ice_server_parse(text, &server) == 0) {
        FUZZ_CHECK(server.port >= 1 && server.port <= 65535);
        FUZZ_CHECK(strlen(server.host) > 0);
        FUZZ_CHECK(server.turn == (strlen(server.username) > 0));
        FUZZ_CHECK(server.turn == (strlen(server.password) > 0));
        FUZZ_CHECK(strchr("uts", server.transport));
    }
    struct ice_candidate candidate;
    if (ice_candidate_parse(text, &candidate) == 1) {
        FUZZ_CHECK(candidate.port >= 1 && candidate.port <= 65535);
        FUZZ_CHECK(strlen(candidate.address) > 0 && strlen(candidate.foundation) > 0);
    }
    dtls_fingerprint_check(text);
    free(text);
    return 0;
}
