/* libcurl, one call after the other: calls SOCKET N; download SOCKET TARGET when N is a target. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t body;

static size_t take(char *data, size_t size, size_t n, void *userdata) {
    (void)data, (void)userdata;
    body += size * n;
    return size * n;
}

int main(int argc, char **argv) {
    char url[512] = "http://localhost/";
    if (argc < 3)
        return 2;
    long n = atol(argv[2]), errors = 0;
    int download = argv[2][0] == '/';
    if (download) {
        snprintf(url, sizeof url, "http://localhost%s", argv[2]);
        n = 1;
    }
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, argv[1]);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    if (download)
        curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 524288L);
    for (long i = 0; i < n; i++) {
        long status = 0;
        body = 0;
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK || status != 200 || (!download && body != 13))
            errors++;
    }
    curl_easy_cleanup(curl);
    printf("%ld answers, %ld errors\n", n - errors, errors);
    if (download)
        printf("%zu bytes\n", body);
    return errors > 0;
}
