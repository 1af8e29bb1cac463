/* Says which hysock it was compiled with, and fails when it runs with another one. Needs one of
 * each: a string, a number, a struct by value, a macro. Compiled as C99 and as C++11. */
#include <hysock.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    hysock_str text = {"hysock and more", 6};

    printf("%.*s %s\n", HYSOCK_PRI(text), hysock_version());
    if (strcmp(hysock_version(), HYSOCK_VERSION) != 0)
        return 1;
    if (hysock_version_number() != HYSOCK_VERSION_NUMBER)
        return 2;
    if (!hysock_str_equal(text, "hysock") || hysock_str_equal(text, "hysock and more"))
        return 3;
    if (hysock_status_message(HYSOCK_E_BAD_HANDLE)[0] == '\0')
        return 4;
    return 0;
}
