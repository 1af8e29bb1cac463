/* used PROGRAM [ARGUMENT]...: runs it to its end, then prints what it took as a line of JSON on
   stderr: seconds of CPU in user and kernel, seconds by the clock, peak KiB. A parent as large as
   Python would be counted into the peak of what it starts itself. Ends with the program's status.
 */
#define _GNU_SOURCE
#include "clock.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    uint64_t begin = now_ns();
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[1], argv + 1);
        die(argv[1]);
    }
    int status;
    struct rusage u;
    if (wait4(child, &status, 0, &u) != child)
        die("wait4");
    fprintf(stderr, "{\"user\": %.6f, \"system\": %.6f, \"wall\": %.6f, \"peak_kb\": %ld}\n",
            seconds(u.ru_utime), seconds(u.ru_stime), (double)(now_ns() - begin) / 1e9,
            u.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
