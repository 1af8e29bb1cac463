/* The frozen layouts and values, checked by the compiler; compiled as C11 and as C++11. */
#include <hysock.h>

#ifdef __cplusplus
#define CHECK(condition) static_assert(condition, #condition)
#else
#define CHECK(condition) _Static_assert(condition, #condition)
#endif

CHECK(sizeof(hysock_error) == 512);
CHECK(offsetof(hysock_error, status) == 0);
CHECK(offsetof(hysock_error, os_error) == 4);
CHECK(offsetof(hysock_error, operation) == 8);
CHECK(offsetof(hysock_error, reserved) == 12);
CHECK(offsetof(hysock_error, message) == 16);

CHECK(sizeof(hysock_str) == 16);
CHECK(offsetof(hysock_str, ptr) == 0);
CHECK(offsetof(hysock_str, len) == 8);

CHECK(sizeof(hysock_status) == 4);
CHECK((hysock_status)-1 < 0);
CHECK(HYSOCK_OK == 0);
CHECK(HYSOCK_E_INVALID_ARGUMENT == -1);
CHECK(HYSOCK_E_PANIC == -23);
CHECK(HYSOCK_NTS == SIZE_MAX);
CHECK(HYSOCK_FOREVER == UINT32_MAX);
CHECK(HYSOCK_UNLIMITED == UINT64_MAX);
CHECK(HYSOCK_VERSION_NUMBER ==
      ((HYSOCK_VERSION_MAJOR << 16) | (HYSOCK_VERSION_MINOR << 8) | HYSOCK_VERSION_PATCH));

/* The tags stand for the same types: other headers may name them without including this one. */
extern struct hysock_error *same_error;
extern hysock_error *same_error;
extern struct hysock_str *same_str;
extern hysock_str *same_str;
