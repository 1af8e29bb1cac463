/* Teaches: talking to a daemon that already exists. Three calls through one client, which keeps
 * its connection between them; headers and bodies of the answers.
 *
 *   docker_ping [SOCKET]        default /var/run/docker.sock; podman's API socket works as well
 */
#include <hysock.h>
#include <stdio.h>
#include <stdlib.h>

/* Performs GET target and returns the answered call, or exits with one line about the reason. */
static hysock_call *get(hysock_client *client, const char *target) {
    hysock_error err;
    hysock_call *call;
    if (hysock_call_new(client, "GET", target, HYSOCK_NTS, &call, &err) != HYSOCK_OK ||
        hysock_call_perform(call, &err) != HYSOCK_OK) {
        fprintf(stderr, "docker_ping: %s: %s\n", target, err.message);
        exit(1);
    }
    if (hysock_call_http_status(call) != 200) { /* a success of the transport, but not for us */
        hysock_str body = hysock_call_body(call);
        fprintf(stderr, "docker_ping: %s: HTTP status %d: %.*s\n", target,
                (int)hysock_call_http_status(call), HYSOCK_PRI(body));
        exit(1);
    }
    return call;
}

/* Text that comes out of hysock has a length and need not end with a NUL; absent is NULL. */
static void print(const char *label, hysock_str text) {
    if (text.ptr == NULL) {
        printf("%s: (none)\n", label);
        return;
    }
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    printf("%s: %.*s\n", label, HYSOCK_PRI(text));
}

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "/var/run/docker.sock";
    hysock_error err;
    hysock_client_config *config;
    hysock_client *client;
    hysock_call *call;

    if (argc > 2) {
        fprintf(stderr, "usage: docker_ping [SOCKET]\n");
        return 2;
    }

    /* Every call of this client gives up after ten seconds; by itself it would wait for ever. */
    config = hysock_client_config_new();
    hysock_client_config_set_timeout(config, 10 * 1000);
    if (hysock_client_new(NULL, address, HYSOCK_NTS, config, &client, &err) != HYSOCK_OK) {
        fprintf(stderr, "docker_ping: %s\n", err.message);
        return 1;
    }
    hysock_client_config_free(config);

    call = get(client, "/_ping");
    print("ping", hysock_call_body(call));
    print("server", hysock_call_header(call, "server"));
    print("api-version", hysock_call_header(call, "api-version"));
    hysock_call_free(call); /* its texts end here, the connection stays with the client */

    call = get(client, "/version");
    print("version", hysock_call_body(call));
    hysock_call_free(call);

    call = get(client, "/containers/json?all=true");
    print("containers", hysock_call_body(call));
    hysock_call_free(call);

    hysock_client_free(client);
    return 0;
}
