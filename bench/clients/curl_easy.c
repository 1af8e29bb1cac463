/* libcurl, one call after the other: calls SOCKET N [latency]; download SOCKET TARGET when N is a
 * target. */
#include "laps.h"
#include <curl/curl.h>

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
    int timed = laps_wanted(argc, argv);
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
        uint64_t begin = timed ? now_ns() : 0;
        body = 0;
        CURLcode code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK || status != 200 || (!download && body != 13))
            errors++;
        if (timed)
            histogram_add(&laps, now_ns() - begin);
    }
    curl_easy_cleanup(curl);
    printf("%ld answers, %ld errors\n", n - errors, errors);
    laps_print();
    if (download)
        printf("%zu bytes\n", body);
    return errors > 0;
}
