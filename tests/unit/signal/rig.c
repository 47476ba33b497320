#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>

/* GCC 12's sanitizer misreads the thread-local storage of modules that were loaded at run time
 * (GnuTLS, on a thread of GLib's pool) and crashes in the leak check; this keeps it from trying. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "intercept_tls_get_addr=0"; }

struct rig t;

const char token[] = TOKEN;
const char answer_text[] = "v=0\r\nanswer\r\n";
const char page_text[] = "<!doctype html><p>page</p>";

static void *run(void *ctx)
{
    loop_run(ctx);
    return NULL;
}

struct task {
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void run_task(void *ctx)
{
    struct task *task = ctx;
    task->fn(task->arg);
    sem_post(&task->done);
}

/* fn(arg) on the network thread; returns when it has run. */
void on_network(void (*fn)(void *arg), void *arg)
{
    struct task task = {.fn = fn, .arg = arg};
    sem_init(&task.done, 0, 0);
    loop_post(t.loop, run_task, &task);
    sem_wait(&task.done);
    sem_destroy(&task.done);
}

void wait_for(sem_t *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    assert_int_equal(sem_timedwait(s, &until), 0);
}
/* ---- the share's side ---- */

static void on_offer(void *ctx, struct whep_request *req, const char *sdp, size_t len,
                     const char *query)
{
    assert_ptr_equal(ctx, &t);
    snprintf(t.offer, sizeof t.offer, "%.*s", (int)len, sdp);
    snprintf(t.query, sizeof t.query, "%s", query);
    t.offers++;
    if (strstr(t.offer, "hold")) {
        t.held = req;
        sem_post(&t.held_one);
    } else if (strstr(t.offer, "full")) {
        whep_reply_error(req, 503, "there are enough viewers", 7);
    } else if (strstr(t.offer, "hostile")) {
        whep_reply_error(req, 406, "no\033[2J H265", 0);
    } else {
        whep_reply_created(req, answer_text, strlen(answer_text), "session-1", "tag1");
    }
}

static void on_patch(void *ctx, struct whep_request *req, const char *id, const char *if_match,
                     const char *frag, size_t len)
{
    (void)ctx;
    t.patches++;
    snprintf(t.id, sizeof t.id, "%s", id);
    snprintf(t.if_match, sizeof t.if_match, "%s", if_match);
    snprintf(t.frag, sizeof t.frag, "%.*s", (int)len, frag);
    if (strcmp(if_match, "*") == 0)
        whep_reply_frag(req, "a=ice-ufrag:new\r\n", 17, "tag2");
    else if (strcmp(if_match, "tag1") == 0 || strcmp(if_match, "tag2") == 0)
        whep_reply_no_content(req);
    else
        whep_reply_error(req, 412, "that is not the session's tag", 0);
}

static void on_delete(void *ctx, struct whep_request *req, const char *id)
{
    (void)ctx;
    t.deletes++;
    if (strcmp(id, "session-1") == 0)
        whep_reply_ok(req);
    else
        whep_reply_error(req, 404, "there is no such session", 0);
}

void open_task(void *arg)
{
    struct opening *o = arg;
    o->error = whep_server_new(&o->server, &o->config);
    snprintf(o->text, sizeof o->text, "%s", error_text());
}

struct opening opening_of(const char *listen, const char *secret)
{
    static const char *const links[] = {
        "<stun:stun.example.net>; rel=\"ice-server\"",
        "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"u:1\"; "
        "credential=\"p@\\\"ss\"; credential-type=\"password\"",
    };
    return (struct opening){.config = {.loop = t.loop, .listen = listen, .token = secret,
                                       .ice_server_links = links, .ice_server_link_count = 2,
                                       .page = page_text, .page_type = "text/html",
                                       .on_offer = on_offer, .on_patch = on_patch,
                                       .on_delete = on_delete, .ctx = &t}};
}

void free_server_task(void *arg) { whep_server_free(arg); }

void serve_with(struct opening o)
{
    on_network(open_task, &o);
    if (o.error)
        fail_msg("%s", o.text);
    t.server = o.server;
    t.port = whep_server_port(t.server);
}

void serve(void) { serve_with(opening_of("127.0.0.1:0", token)); }

int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    sem_init(&t.held_one, 0, 0);
    t.loop = loop_new();
    return t.loop ? pthread_create(&t.thread, NULL, run, t.loop) : -1;
}

int teardown(void **state)
{
    (void)state;
    on_network(free_server_task, &t.server);
    loop_quit(t.loop);
    pthread_join(t.thread, NULL);
    loop_free(&t.loop);
    return 0;
}

/* ---- raw requests ---- */

int dial(int port) { return dial_from("127.0.0.1", port); }

int dial_from(const char *address, int port)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 30};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(bind(s, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof a), 0);
    return s;
}

bool send_all(int s, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(s, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* All until the other side closes. -1: it did not within the socket's patience. */
int read_all(int s, char *out, size_t cap)
{
    size_t at = 0;
    for (;;) {
        ssize_t n = recv(s, out + at, cap - 1 - at, 0);
        if (n < 0 && errno != ECONNRESET)
            return -1;
        if (n <= 0)
            break;
        at += (size_t)n;
        if (at == cap - 1)
            break;
    }
    out[at] = '\0';
    return (int)at;
}

char response[65536];

/* One request on its own connection; its status. The response is in `response`. */
int request(const char *method, const char *path, const char *headers, const char *body)
{
    char head[1024];
    int s = dial(t.port);
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s"
                     "\r\n", method, path, strlen(body), headers);
    assert_true(send_all(s, head, (size_t)n));
    send_all(s, body, strlen(body));
    assert_true(read_all(s, response, sizeof response) > 0);
    close(s);
    int status = 0;
    assert_int_equal(sscanf(response, "HTTP/1.1 %d", &status), 1);
    return status;
}

void has(const char *text)
{
    if (!strstr(response, text))
        fail_msg("no \"%s\" in:\n%s", text, response);
}

struct http_limits short_limits(void)
{
    struct http_limits l;
    http_limits_default(&l);
    l.header_us = 300000;
    l.idle_us = 600000;
    l.body_us = 300000;
    return l;
}

void reply_created_task(void *req)
{
    whep_reply_created(req, answer_text, strlen(answer_text), "session-1", "tag1");
}

/* ---- the client ---- */

static void on_answer(void *ctx, int error, const char *text, const char *answer, size_t len)
{
    struct viewer *v = ctx;
    v->error = error;
    snprintf(v->text, sizeof v->text, "%s", text);
    snprintf(v->answer, sizeof v->answer, "%.*s", (int)len, answer ? answer : "");
    if (v->free_inside)
        whep_client_free(&v->client);
    sem_post(&v->done);
}

static void on_servers(void *ctx, int error, const char *const *urls, int n)
{
    struct viewer *v = ctx;
    v->error = error;
    snprintf(v->text, sizeof v->text, "%s", error ? error_text() : "");
    v->n = n;
    for (int i = 0; i < n && i < 8; i++)
        snprintf(v->url[i], sizeof v->url[i], "%s", urls[i]);
    sem_post(&v->done);
}

static void on_deleted(void *ctx) { sem_post(&((struct viewer *)ctx)->done); }

void new_task(void *arg)
{
    struct viewer *v = arg;
    v->config.loop = t.loop;
    v->error = whep_client_new(&v->client, &v->config);
    snprintf(v->text, sizeof v->text, "%s", error_text());
}
void free_task(void *arg) { whep_client_free(&((struct viewer *)arg)->client); }
void post_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_post(v->client, v->body, on_answer, v);
}
void servers_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_ice_servers(v->client, on_servers, v);
}
void patch_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_patch(v->client, v->body, v->restart, on_answer, v);
}
void delete_task(void *arg)
{
    struct viewer *v = arg;
    whep_client_delete(v->client, 5000000, on_deleted, v);
}

void view(struct viewer *v, const char *url)
{
    memset(v, 0, sizeof *v);
    sem_init(&v->done, 0, 0);
    v->config.url = url;
    v->body = "offer";
    on_network(new_task, v);
    if (v->error)
        fail_msg("%s", v->text);
}

void do_and_wait(struct viewer *v, void (*fn)(void *arg))
{
    on_network(fn, v);
    wait_for(&v->done);
}
