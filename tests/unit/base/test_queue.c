/* The bounded queue with its policies, and the slot of one picture. */
#include "base/queue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static int freed;
static void count_free(void *item)
{
    freed++;
    free(item);
}

static int *item(int v)
{
    int *p = malloc(sizeof *p);
    *p = v;
    return p;
}

static int pop(struct queue *q)
{
    int *p = queue_pop(q, 0);
    int v = p ? *p : -1;
    free(p);
    return v;
}

static void each_policy_drops_what_it_says(void **state)
{
    (void)state;
    static const struct {
        enum queue_policy policy;
        int drops, left[3];
    } table[] = {
        {QUEUE_REJECT, 1, {1, 2, -1}},
        {QUEUE_DROP_OLDEST, 1, {2, 3, -1}},
        {QUEUE_FLUSH, 2, {3, -1, -1}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        freed = 0;
        struct queue *q = queue_new("test", 2, table[i].policy, count_free);
        assert_int_equal(queue_push(q, item(1)), QUEUE_OK);
        assert_int_equal(queue_push(q, item(2)), QUEUE_OK);
        assert_int_equal(queue_push(q, item(3)), QUEUE_DROPPED);
        assert_int_equal(queue_get_stats(q).drops, table[i].drops);
        assert_int_equal(freed, table[i].drops);
        for (int k = 0; k < 3; k++)
            assert_int_equal(pop(q), table[i].left[k]);
        queue_free(&q);
        assert_null(q);
    }
}

static void a_closed_queue_gives_what_is_left(void **state)
{
    (void)state;
    freed = 0;
    struct queue *q = queue_new("test", 4, QUEUE_REJECT, count_free);
    queue_push(q, item(1));
    queue_close(q);
    assert_int_equal(queue_push(q, item(2)), QUEUE_CLOSED);
    assert_int_equal(freed, 1);
    int *p = queue_pop(q, -1);
    assert_non_null(p);
    free(p);
    assert_null(queue_pop(q, -1)); /* does not block */
    queue_free(&q);
}

static void *producer(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        while (queue_get_stats(arg).length == 8)
            usleep(10);
        queue_push(arg, item(i));
    }
    queue_close(arg);
    return NULL;
}

static void items_keep_their_order_between_threads(void **state)
{
    (void)state;
    struct queue *q = queue_new("test", 8, QUEUE_REJECT, count_free);
    pthread_t t;
    pthread_create(&t, NULL, producer, q);
    int *p, next = 0;
    while ((p = queue_pop(q, -1))) {
        assert_int_equal(*p, next++);
        free(p);
    }
    assert_int_equal(next, 10000);
    pthread_join(t, NULL);
    queue_free(&q);
}

static struct picture *picture_at(int64_t event_us, struct rect damage)
{
    struct picture *p = picture_new(PIX_BGRX, 64, 64);
    p->event_us = event_us;
    damage_add(&p->damage, damage);
    return p;
}

static void the_newest_picture_wins_with_all_damage(void **state)
{
    (void)state;
    struct slot *s = slot_new("test");
    assert_int_equal(slot_put(s, picture_at(100, (struct rect){0, 0, 4, 4})), QUEUE_OK);
    struct picture *second = picture_at(200, (struct rect){40, 40, 4, 4});
    assert_int_equal(slot_put(s, second), QUEUE_DROPPED);
    struct picture *p = slot_take(s, 0);
    assert_ptr_equal(p, second);
    assert_int_equal(damage_area(&p->damage), 32);
    assert_int_equal(p->event_us, 100); /* latency counts from the oldest change it shows */
    assert_int_equal(slot_get_stats(s).drops, 1);
    picture_unref(&p);
    assert_null(slot_take(s, 0));
    slot_free(&s);
}

static void a_resize_in_the_slot_damages_all(void **state)
{
    (void)state;
    struct slot *s = slot_new("test");
    slot_put(s, picture_at(1, (struct rect){0, 0, 4, 4}));
    struct picture *big = picture_new(PIX_BGRX, 128, 96);
    slot_put(s, big);
    struct picture *p = slot_take(s, 0);
    assert_true(damage_is_all(&p->damage, 128, 96));
    picture_unref(&p);
    slot_free(&s);
}

static void *take_one(void *arg)
{
    struct picture *p = slot_take(arg, -1);
    picture_unref(&p);
    return NULL;
}

static void a_slot_is_hungry_only_while_it_is_waited_for(void **state)
{
    (void)state;
    struct slot *s = slot_new("test");
    assert_false(slot_wait_hungry(s, 1000));
    pthread_t t;
    pthread_create(&t, NULL, take_one, s);
    assert_true(slot_wait_hungry(s, 10000000));
    slot_put(s, picture_at(1, (struct rect){0, 0, 4, 4}));
    pthread_join(t, NULL);
    assert_false(slot_wait_hungry(s, 1000));
    slot_free(&s);
}

static void a_wake_is_not_lost(void **state)
{
    (void)state;
    struct slot *s = slot_new("test");
    slot_wake(s); /* before anyone waits */
    assert_null(slot_take(s, -1));
    assert_false(slot_wait_hungry(s, -1));
    slot_wake(s);
    slot_sleep(s, -1);
    slot_close(s);
    assert_null(slot_take(s, -1));
    struct picture *p = picture_at(1, (struct rect){0, 0, 4, 4});
    assert_int_equal(slot_put(s, p), QUEUE_CLOSED);
    slot_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_drops_what_it_says),
        cmocka_unit_test(a_closed_queue_gives_what_is_left),
        cmocka_unit_test(items_keep_their_order_between_threads),
        cmocka_unit_test(the_newest_picture_wins_with_all_damage),
        cmocka_unit_test(a_resize_in_the_slot_damages_all),
        cmocka_unit_test(a_slot_is_hungry_only_while_it_is_waited_for),
        cmocka_unit_test(a_wake_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
