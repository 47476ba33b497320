/* A peer that vanishes without a word is noticed within 30 s (RFC 7675), and a silence of some
 * seconds is not the end. Takes about half a minute. */
#include "netns.h"
#include "pair.h"

#include <signal.h>
#include <sys/wait.h>

/* b runs in another process, over pipes for the descriptions, so that it can be killed. */
struct line {
    char ufrag[64], pwd[128], fingerprint[160], candidate[256];
};

static void fill(struct line *l, struct end *e)
{
    const char *c[ICE_MAX_CANDIDATES];
    memset(l, 0, sizeof *l);
    peer_local_credentials(e->peer, l->ufrag, l->pwd);
    snprintf(l->fingerprint, sizeof l->fingerprint, "%s", dtls_identity_fingerprint(e->identity));
    assert_true(peer_local_candidates(e->peer, c) > 0);
    snprintf(l->candidate, sizeof l->candidate, "%s", c[0]);
}

static void open_one(struct pair *pair, struct end *e, bool controlling)
{
    pair->loop = loop_new();
    pair->poll = loop_timer_new(pair->loop, pair_poll, pair);
    pair->watchdog = loop_timer_new(pair->loop, pair_watchdog, pair);
    pair->trickle = CANDIDATES_LAST;
    pair_open_end(pair, e, e == &pair->a ? &pair->b : &pair->a, NULL, controlling);
    assert_int_equal(peer_gather(e->peer), 0);
}

static void meet(struct end *e, int in, int out, enum dtls_role role)
{
    struct line mine, theirs;
    fill(&mine, e);
    assert_int_equal(write(out, &mine, sizeof mine), sizeof mine);
    assert_int_equal(read(in, &theirs, sizeof theirs), sizeof theirs);
    assert_int_equal(peer_set_remote(e->peer, theirs.ufrag, theirs.pwd, theirs.fingerprint, role),
                     0);
    assert_int_equal(peer_add_remote_candidate(e->peer, theirs.candidate), 0);
}

static bool a_connected(struct pair *pair) { return pair->a.connected; }
static bool a_ended(struct pair *pair) { return pair->a.ended; }

static void silence_then_death(void **state)
{
    (void)state;
    int down[2], up[2];
    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(100);
        struct pair other = {0};
        open_one(&other, &other.b, false);
        meet(&other.b, down[0], up[1], DTLS_CLIENT);
        pair_run(&other, never, 100);
        _exit(1);
    }
    struct pair pair = {0};
    open_one(&pair, &pair.a, true);
    meet(&pair.a, up[0], down[1], DTLS_SERVER);
    assert_true(pair_run(&pair, a_connected, 20));

    kill(child, SIGSTOP); /* 12 s of silence, longer than libnice alone would bear */
    assert_false(pair_run(&pair, a_ended, 12));
    kill(child, SIGCONT);
    assert_false(pair_run(&pair, a_ended, 8));
    assert_true(peer_connected(pair.a.peer));

    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    int64_t start_us = clock_now_us();
    assert_true(pair_run(&pair, a_ended, 30));
    print_message("noticed after %.1f s: %s\n", (double)(pair.a.ended_us - start_us) / 1e6,
                  pair.a.text);
    assert_int_equal(pair.a.error, ERR_TIMEOUT);
    assert_true(pair.a.ended_us - start_us > 3000000);
    assert_false(peer_connected(pair.a.peer));

    peer_free(&pair.a.peer);
    dtls_identity_free(&pair.a.identity);
    loop_timer_free(&pair.poll);
    loop_timer_free(&pair.watchdog);
    loop_free(&pair.loop);
    for (int i = 0; i < 2; i++) {
        close(down[i]);
        close(up[i]);
    }
}

int main(void)
{
    if (!netns_enter())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_then_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
