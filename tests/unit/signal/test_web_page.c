/* signal/web_page: the page and its files, over loopback. */
#include "rig.h"

#include "signal/web_page.h"

static const struct web_file *page(void)
{
    return web_file_find(web_files, web_file_count, "");
}

static void serve_files(void)
{
    struct opening o = opening_of("127.0.0.1:0", token);
    o.config.files = web_files;
    o.config.file_count = web_file_count;
    serve_with(o);
}

static void test_page(void **state)
{
    (void)state;
    char line[128];
    serve_files();
    assert_int_equal(request("GET", "/" TOKEN, "", ""), 302);
    has("Location: " TOKEN "/\r\n"); /* relative: for proxies */
    assert_int_equal(request("GET", "/" TOKEN "?path=wasm", "", ""), 302);
    has("Location: " TOKEN "/?path=wasm\r\n");

    assert_int_equal(request("GET", "/" TOKEN "/", "", ""), 200);
    has("Content-Type: text/html; charset=utf-8\r\n");
    has("script-src 'self' 'wasm-unsafe-eval'; worker-src 'self';");
    has("default-src 'none'");
    has("X-Content-Type-Options: nosniff\r\n");
    has("<!DOCTYPE html>"); /* not compressed: the request did not allow it */
    assert_null(strstr(response, "Content-Encoding"));

    assert_int_equal(request("GET", "/" TOKEN "/", "Accept-Encoding: br, gzip\r\n", ""), 200);
    has("Content-Encoding: gzip\r\n");
    snprintf(line, sizeof line, "Content-Length: %zu\r\n", page()->gzip_len);
    has(line);
    assert_int_equal(request("GET", "/" TOKEN "/", "Accept-Encoding: gzip;q=0\r\n", ""), 200);
    has("<!DOCTYPE html>");
    assert_int_equal(request("HEAD", "/" TOKEN "/", "", ""), 200);
    assert_null(strstr(response, "<!DOCTYPE"));
}

static void test_files(void **state)
{
    (void)state;
    serve_files();
    for (int i = 0; i < web_file_count; i++) {
        const struct web_file *f = &web_files[i];
        char path[128], line[128];
        if (!f->name[0])
            continue;
        snprintf(path, sizeof path, "/" TOKEN "/static/%s", f->name);
        assert_int_equal(request("HEAD", path, "Accept-Encoding: gzip\r\n", ""), 200);
        snprintf(line, sizeof line, "Content-Type: %s\r\n", f->type);
        has(line);
        snprintf(line, sizeof line, "ETag: %s\r\n", f->etag);
        has(line);
    }
    assert_int_equal(request("GET", "/" TOKEN "/static/main.js", "", ""), 200);
    has("Content-Type: text/javascript");
    has("import ");
    has("Cache-Control: private, no-cache\r\n");
}

static void test_cached(void **state)
{
    (void)state;
    char headers[200];
    static const struct {
        const char *format;
        int status;
    } cases[] = {
        {"If-None-Match: %s\r\n", 304},
        {"If-None-Match: W/%s\r\n", 304},
        {"If-None-Match: \"a\", %s\r\n", 304},
        {"If-None-Match: *\r\n", 304},
        {"If-None-Match: \"%s\"\r\n", 200},
        {"If-None-Match:\r\n", 200},
    };
    serve_files();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(headers, sizeof headers, cases[i].format, page()->etag);
#pragma GCC diagnostic pop
        int status = request("GET", "/" TOKEN "/", headers, "");
        if (status != cases[i].status)
            fail_msg("%s: %d", headers, status);
        if (status == 304)
            assert_null(strstr(response, "<!DOCTYPE"));
    }
}

static void test_not_there(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/static/main.js", "/wrong/static/main.js", "/" TOKEN "/static", "/" TOKEN "/static/",
        "/" TOKEN "/static/none.js", "/" TOKEN "/static/../static",
        "/" TOKEN "/static/%2e%2e%2fmain.js", "/" TOKEN "/static//main.js",
        "/" TOKEN "/static/main.js%00", "/" TOKEN "/static/../../etc/passwd",
        "/" TOKEN "/static/%2e%2e/%2e%2e/etc/passwd", "/" TOKEN "/main.js",
    };
    serve_files();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int status = request("GET", paths[i], "", "");
        if (status != 404)
            fail_msg("%s: %d", paths[i], status);
    }
    assert_int_equal(request("POST", "/" TOKEN "/static/main.js", SDP_TYPE, "o"), 405);
    has("Allow: GET, HEAD, OPTIONS\r\n");
    assert_int_equal(request("DELETE", "/" TOKEN "/static/main.js", "", ""), 405);
    assert_int_equal(t.offers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_page), T(test_files), T(test_cached), T(test_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
