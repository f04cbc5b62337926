/* Preloaded into a process, puts its wall clock off by CLOCK_OFF_SECONDS. Timers and
 * monotonic clocks stay as they are, as on a machine whose date is wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long seconds_off(void) {
    const char *wanted = getenv("CLOCK_OFF_SECONDS");
    return wanted ? atol(wanted) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*true_clock)(clockid_t, struct timespec *);
    if (!true_clock) true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = true_clock(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += seconds_off();
    return failed;
}

time_t time(time_t *store) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (store) *store = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
