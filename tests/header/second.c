/* Two Rust libraries in one program, linked statically: both work, and panics stay in their own. */
#include <hysock.h>
#include <stdio.h>

int second_answer(void);
hysock_status hysock_test_panic(hysock_runtime *runtime, int32_t where);

int main(void) {
    int answer = second_answer();
    hysock_status status = hysock_test_panic(NULL, 1);

    printf("%s %d %d\n", hysock_version(), answer, (int)status);
    return answer == 42 && status == HYSOCK_E_PANIC ? 0 : 1;
}
