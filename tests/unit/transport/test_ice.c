/* transport/ice: the texts it reads. */
#include "base/error.h"
#include "transport/demux.h"
#include "transport/ice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void ice_servers(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool turn;
        char transport;
        const char *host;
        int port;
        const char *user, *password;
    } good[] = {
        {"stun:stun.example.org", false, 'u', "stun.example.org", 3478, "", ""},
        {"STUN:stun.example.org:19302", false, 'u', "stun.example.org", 19302, "", ""},
        {"stun://10.0.0.1:1", false, 'u', "10.0.0.1", 1, "", ""},
        {"stun:[2001:db8::1]", false, 'u', "2001:db8::1", 3478, "", ""},
        {"stun:[2001:db8::1]:65535", false, 'u', "2001:db8::1", 65535, "", ""},
        {"turn:me:secret@turn.example.org", true, 'u', "turn.example.org", 3478, "me", "secret"},
        {"turn:me:secret@turn.example.org?transport=udp", true, 'u', "turn.example.org", 3478, "me",
         "secret"},
        {"turn:me:secret@h:5000?transport=tcp", true, 't', "h", 5000, "me", "secret"},
        {"turn:me:secret@h?transport=tls", true, 's', "h", 5349, "me", "secret"},
        {"turns:me:secret@h", true, 's', "h", 5349, "me", "secret"},
        {"turns:me:secret@h:443?transport=tcp", true, 's', "h", 443, "me", "secret"},
        {"turns:me:secret@[::1]?transport=TCP", true, 's', "::1", 5349, "me", "secret"},
        {"turn:a%3Ab:c%40d%25@h", true, 'u', "h", 3478, "a:b", "c@d%"},
        {"turn:1700000000:user:p@w@h", true, 'u', "h", 3478, "1700000000", "user:p@w"},
        {"turn:me:a?b/c=@h:1", true, 'u', "h", 1, "me", "a?b/c="},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct ice_server s;
        if (ice_server_parse(good[i].url, &s) != 0)
            fail_msg("%s: %s", good[i].url, error_text());
        assert_int_equal(s.turn, good[i].turn);
        assert_int_equal(s.transport, good[i].transport);
        assert_string_equal(s.host, good[i].host);
        assert_int_equal(s.port, good[i].port);
        assert_string_equal(s.username, good[i].user);
        assert_string_equal(s.password, good[i].password);
    }
}

static void bad_ice_servers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "stun", "stun:", "stun:?", "http://h", "stun:h:0", "stun:h:65536", "stun:h:123456",
        "stun:h:", "stun:h:x", "stun:h:-1", "stun:u:sesame@h", "stun:[::1", "stun:[]", "stun:[::1]x",
        "stun:h?transport=udp", "stun:a b", "stun:2001:db8::1", "turn:h", "turn:@h", "turn:sesame@h",
        "turn:u:@h", "turn::sesame@h", "turn:u:sesame@", "turn:u:sesame@h?transport=sctp",
        "turn:u:sesame@h?transport=", "turn:u:sesame@h?x", "turns:u:sesame@h?transport=udp",
        "turn:u:%zzsesame@h", "turn:u:sesame%@h", "turn:u:sesame%0@h", "turn:u:sesame%00@h",
        "stun:h/path"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ice_server s;
        error_set(0, " ");
        if (ice_server_parse(bad[i], &s) != ERR_INVALID)
            fail_msg("taken: %s", bad[i]);
        assert_true(strlen(error_text()) > 20);
        assert_null(strstr(error_text(), "sesame")); /* passwords stay out of sentences */
    }
    char url[1024] = "stun:";
    memset(url + 5, 'h', 300);
    struct ice_server s;
    assert_int_equal(ice_server_parse(url, &s), ERR_INVALID);
    snprintf(url, sizeof url, "turn:u:%0300d@h", 7);
    assert_int_equal(ice_server_parse(url, &s), ERR_INVALID);
}

static void candidates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *address;
        int port, type;
        uint32_t priority;
    } cases[] = {
        {"candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host", 1, "192.0.2.1", 50000, ICE_HOST,
         2122260223u},
        {"a=candidate:842163049 1 UDP 1677729535 203.0.113.9 4 typ srflx raddr 10.0.0.1 rport 5 "
         "generation 0 ufrag EsAw network-cost 999\r\n",
         1, "203.0.113.9", 4, ICE_SRFLX, 1677729535u},
        {"candidate:4+/ 1 udp 4294967295 2001:db8::5 65535 typ relay raddr :: rport 0", 1,
         "2001:db8::5", 65535, ICE_RELAY, 4294967295u},
        {"candidate:1 1 udp 1 192.0.2.1 50000 typ prflx", 1, "192.0.2.1", 50000, ICE_PRFLX, 1},
        /* of no use */
        {"candidate:1 1 udp 2122260223 0b5c3cf8-2a4f.local 50000 typ host", 0, NULL, 0, 0, 0},
        {"candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active", 0, NULL, 0, 0, 0},
        {"candidate:1 2 udp 2122260222 192.0.2.1 50001 typ host", 0, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 fe80::1%eth0 50000 typ host", 0, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.1 0 typ host", 0, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.1 5 typ novel", 0, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.999 5 typ host", 0, NULL, 0, 0, 0},
        /* malformed */
        {"", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 x udp 1 192.0.2.1 5 typ host", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp 4294967296 192.0.2.1 5 typ host", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp -1 192.0.2.1 5 typ host", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.1 65536 typ host", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.1 5", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.1 5 typ", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:1 1 udp 1 192.0.2.1 5 host", ERR_PROTOCOL, NULL, 0, 0, 0},
        {"candidate:123456789012345678901234567890123 1 udp 1 192.0.2.1 5 typ host", ERR_PROTOCOL,
         NULL, 0, 0, 0},
        {"x=candidate:1 1 udp 1 192.0.2.1 5 typ host", ERR_PROTOCOL, NULL, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ice_candidate c;
        int rc = ice_candidate_parse(cases[i].text, &c);
        if (rc != cases[i].rc)
            fail_msg("%d for: %s", rc, cases[i].text);
        if (rc != 1)
            continue;
        assert_string_equal(c.address, cases[i].address);
        assert_int_equal(c.port, cases[i].port);
        assert_int_equal(c.type, cases[i].type);
        assert_int_equal(c.priority, cases[i].priority);
    }
    char text[400] = "candidate:1 1 udp 1 ";
    memset(text + 20, '1', 300);
    strcpy(text + 320, " 5 typ host");
    struct ice_candidate c;
    assert_int_equal(ice_candidate_parse(text, &c), 0);
}

/* RFC 7983 section 7 for all first bytes, RFC 5761 section 4 for the second. */
static void packets_are_told_apart(void **state)
{
    (void)state;
    uint8_t p[12] = {0};
    assert_int_equal(packet_classify(p, 0), PACKET_UNKNOWN);
    for (int b = 0; b < 256; b++) {
        p[0] = (uint8_t)b;
        p[1] = 96;
        enum packet_class want = b <= 3                ? PACKET_STUN
                                 : b >= 20 && b <= 63   ? PACKET_DTLS
                                 : b >= 64 && b <= 79   ? PACKET_TURN
                                 : b >= 128 && b <= 191 ? PACKET_RTP
                                                        : PACKET_UNKNOWN;
        assert_int_equal(packet_classify(p, sizeof p), want);
    }
    p[0] = 0x80;
    for (int b = 0; b < 256; b++) {
        p[1] = (uint8_t)b;
        assert_int_equal(packet_classify(p, sizeof p),
                         b >= 192 && b <= 223 ? PACKET_RTCP : PACKET_RTP);
    }
    p[1] = 96;
    assert_int_equal(packet_classify(p, 11), PACKET_UNKNOWN);
    p[1] = 200;
    assert_int_equal(packet_classify(p, 8), PACKET_RTCP);
    assert_int_equal(packet_classify(p, 7), PACKET_UNKNOWN);
    assert_int_equal(packet_classify(p, 1), PACKET_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ice_servers),
        cmocka_unit_test(bad_ice_servers),
        cmocka_unit_test(candidates),
        cmocka_unit_test(packets_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
