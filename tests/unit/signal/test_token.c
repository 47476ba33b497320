/* signal/token and signal/whep_link. */
#include "signal/token.h"
#include "signal/whep_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_tokens(void **state)
{
    (void)state;
    char a[TOKEN_LEN + 1], b[TOKEN_LEN + 1];
    assert_int_equal(token_new(a), 0);
    assert_int_equal(token_new(b), 0);
    assert_int_equal(strlen(a), TOKEN_LEN);
    assert_true(token_valid(a));
    assert_string_not_equal(a, b);
    assert_true(token_equal(a, TOKEN_LEN, a, TOKEN_LEN));
    assert_false(token_equal(b, TOKEN_LEN, a, TOKEN_LEN));
    assert_false(token_equal(a, TOKEN_LEN - 1, a, TOKEN_LEN));
    assert_false(token_equal("", 0, a, TOKEN_LEN));
    assert_false(token_equal("abab", 4, "ab", 2));
    assert_false(token_equal("ab", 2, "abab", 4));
    assert_false(token_equal("\0", 1, "", 0));
    assert_true(token_equal("", 0, "", 0));
    assert_false(token_valid(""));
    assert_false(token_valid(".."));
    assert_false(token_valid("a/b"));
    assert_false(token_valid("a b"));
    assert_true(token_valid("a.b-c_d~e"));
}

static void test_links(void **state)
{
    (void)state;
    char url[WHEP_LINK_URL_MAX], link[1024];
    static const char *const round[] = {
        "stun:stun.example.net:3478", "turn:u:p@t.example.net:3478?transport=udp",
        "turns:1700000%3Auser:p%40ss%22%5C%2F@t.example.net",
    };
    for (size_t i = 0; i < sizeof round / sizeof round[0]; i++) {
        const char *p = link;
        assert_true(whep_link_format(round[i], link, sizeof link) > 0);
        assert_int_equal(whep_link_next(&p, url), 1);
        assert_string_equal(url, round[i]);
        assert_int_equal(whep_link_next(&p, url), 0);
    }
    assert_int_equal(whep_link_format("http://x", link, sizeof link), -1);
    assert_int_equal(whep_link_format("turn:nocolon@x", link, sizeof link), -1);
    assert_int_equal(whep_link_format("stun:x", link, 10), -1);
    assert_int_equal(whep_link_format("stun:x\r\nEvil: 1", link, sizeof link), -1);
    const char *p = "<stun:a>; rel=\"ice-server\"; x=\"unterminated";
    assert_int_equal(whep_link_next(&p, url), 1);
    p = "<stun:never closed; rel=ice-server";
    assert_int_equal(whep_link_next(&p, url), 0);
    p = "<javascript:x>; rel=\"ice-server\", <stun:b>;REL=ICE-SERVER";
    assert_int_equal(whep_link_next(&p, url), 1);
    assert_string_equal(url, "stun:b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
