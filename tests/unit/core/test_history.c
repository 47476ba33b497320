/* src/rtp/history: found as long as young, references let go. */
#include "test_util.h"

#include "rtp/history.h"

static void keeps_and_forgets(void **state)
{
    (void)state;
    struct access_unit *au = access_unit_new(1);
    struct history *h = history_new(8, 32);
    uint16_t seq = 65530; /* wraps */
    assert_null(history_find(h, seq));
    for (int i = 0; i < 20; i++) { /* all young: it grows from 8 to 32 */
        struct history_entry *e = history_add(h, seq++, au, 1000 + i, 1000000);
        e->rtp_ts = (uint32_t)i;
    }
    assert_int_equal(au->refs, 21);
    for (int i = 0; i < 20; i++) {
        struct history_entry *e = history_find(h, (uint16_t)(65530 + i));
        assert_non_null(e);
        assert_int_equal(e->rtp_ts, i);
        assert_ptr_equal(e->au, au);
    }
    assert_null(history_find(h, 65529));
    assert_null(history_find(h, seq));
    for (int i = 20; i < 50; i++) /* not above its bound, though young */
        history_add(h, seq++, au, 1000 + i, 1000000);
    assert_int_equal(au->refs, 33);
    assert_null(history_find(h, (uint16_t)(seq - 33)));
    assert_non_null(history_find(h, (uint16_t)(seq - 32)));
    history_add(h, seq, au, 2000000, 1000000); /* all others are too old */
    assert_int_equal(au->refs, 2);
    assert_null(history_find(h, (uint16_t)(seq - 1)));
    assert_non_null(history_find(h, seq));
    history_add(h, (uint16_t)(seq + 100), au, 2000001, 1000000); /* not the next: starts anew */
    assert_int_equal(au->refs, 2);
    assert_null(history_find(h, seq));
    assert_non_null(history_find(h, (uint16_t)(seq + 100)));
    history_free(&h);
    assert_null(h);
    assert_int_equal(au->refs, 1);
    access_unit_unref(&au);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_and_forgets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
