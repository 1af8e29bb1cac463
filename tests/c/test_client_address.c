/* Addresses split into socket and target, and the GET that needs nothing else. */
#include "host.h"

static char path[4097], target[512];

static hysock_status parse(const char *address, size_t len) {
    memset(path, '#', sizeof(path));
    memset(target, '#', sizeof(target));
    return hysock_address_parse(address, len, path, sizeof(path), target, sizeof(target), ERR);
}

static void splits(const char *address, const char *to_socket, const char *to_target) {
    CHECK_OK(parse(address, HYSOCK_NTS));
    CHECK(strcmp(path, to_socket) == 0);
    CHECK(strcmp(target, to_target) == 0);
}

static void forms(void) {
    char here[4096], expected[4200];
    splits("/run/x.sock", "/run/x.sock", "");
    splits("unix:///run/x.sock", "/run/x.sock", "");
    splits("unix:/run/x.sock", "/run/x.sock", "");
    splits("unix:@name", "@name", "");
    splits("@name", "@name", "");
    splits("http+unix://%2Frun%2Fx.sock", "/run/x.sock", "");
    splits("http+unix://%2Frun%2Fx.sock/v1/a?b=c#d", "/run/x.sock", "/v1/a?b=c");
    splits("http+unix://%2Frun%2Fx%ff.sock/", "/run/x\xff.sock", "/");
    splits("unix://2f72756e2F78:0/a", "/run/x", "/a");
    CHECK(getcwd(here, sizeof(here)) != NULL);
    snprintf(expected, sizeof(expected), "%s/x.sock", here);
    splits("x.sock", expected, "");
    splits("unix:x.sock", expected, "");
    CHECK_OK(parse("/run/x.sock and more", 11));
    CHECK(strcmp(path, "/run/x.sock") == 0);
    CHECK_OK(parse("\0name", 5));
    CHECK(strcmp(path, "@name") == 0);
}

static void refusals(void) {
    const char *schemes[] = {"http://localhost/", "tcp://127.0.0.1:80", "fd://3", "localhost:80"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        CHECK_STATUS(parse(schemes[i], HYSOCK_NTS), HYSOCK_E_INVALID_ARGUMENT);
        CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "Unix sockets only");
        CHECK(path[0] == '#' && target[0] == '#');
    }
    CHECK_STATUS(parse("", HYSOCK_NTS), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_STATUS(parse("\0a\0b", 4), HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "NUL byte");
}

static void sizes(void) {
    const char *url = "http+unix://%2Fx/abc";
    memset(path, '#', sizeof(path));
    memset(target, '#', sizeof(target));
    CHECK_STATUS(hysock_address_parse(url, HYSOCK_NTS, path, 2, target, 5, ERR),
                 HYSOCK_E_TOO_LARGE);
    CHECK_ERR(HYSOCK_E_TOO_LARGE, "socket needs 3 bytes");
    CHECK_STATUS(hysock_address_parse(url, HYSOCK_NTS, path, 3, target, 4, ERR),
                 HYSOCK_E_TOO_LARGE);
    CHECK_ERR(HYSOCK_E_TOO_LARGE, "target needs 5 bytes");
    CHECK(path[0] == '#' && target[0] == '#');
    CHECK_OK(hysock_address_parse(url, HYSOCK_NTS, path, 3, target, 5, ERR));
    CHECK(strcmp(path, "/x") == 0 && strcmp(target, "/abc") == 0);
    CHECK(path[3] == '#' && target[5] == '#');
    /* A size of 0 with a place is too small; without one it says "not wanted". */
    CHECK_STATUS(hysock_address_parse(url, HYSOCK_NTS, path, 0, NULL, 0, ERR), HYSOCK_E_TOO_LARGE);
    CHECK_OK(hysock_address_parse(url, HYSOCK_NTS, NULL, 0, NULL, 0, ERR));
}

static void echo_target(hysock_exchange *exchange, void *userdata) {
    hysock_str at = hysock_exchange_path(exchange);
    (void)userdata;
    CHECK_OK(hysock_exchange_answer(exchange, hysock_str_equal(at, "/no") ? 404 : 200, NULL, at.ptr,
                                    at.len, ERR));
}

static void get_one(const char *url, int32_t http_status, const char *body) {
    hysock_call *call = NULL;
    CHECK_OK(hysock_get(url, HYSOCK_NTS, &call, ERR));
    CHECK_INT(hysock_call_http_status(call), http_status);
    CHECK(hysock_str_equal(hysock_call_body(call), body));
    CHECK_STATUS(hysock_call_perform(call, ERR), HYSOCK_E_STATE);
    hysock_call_free(call);
}

static void gets(void) {
    host h;
    char url[400];
    size_t n;
    hysock_call *call = (hysock_call *)&h;
    host_start(&h, POOL, echo_target, NULL);
    get_one(h.path, 200, "/");
    n = (size_t)snprintf(url, sizeof(url), "http+unix://");
    for (const char *at = h.path; *at != 0; at++)
        n += (size_t)snprintf(url + n, sizeof(url) - n, *at == '/' ? "%%2F" : "%c", *at);
    strcpy(url + n, "/no");
    get_one(url, 404, "/no");
    strcpy(url + n, "/a/b?c");
    get_one(url, 200, "/a/b");
    CHECK_STATUS(hysock_client_new(NULL, url, HYSOCK_NTS, NULL, (hysock_client **)&call, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    CHECK_ERR(HYSOCK_E_INVALID_ARGUMENT, "/a/b?c");
    host_stop_server(&h);
    call = (hysock_call *)&h;
    CHECK_STATUS(hysock_get(url, HYSOCK_NTS, &call, ERR), HYSOCK_E_ABSENT);
    CHECK(call == NULL);
    CHECK_STATUS(hysock_get("http://localhost/", HYSOCK_NTS, &call, ERR),
                 HYSOCK_E_INVALID_ARGUMENT);
    host_stop(&h);
    CHECK_INT(hysock_handles_live(HYSOCK_KIND_ANY), 0);
}

int main(void) {
    check_start();
    forms();
    refusals();
    sizes();
    gets();
    return check_end();
}
