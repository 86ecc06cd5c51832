/* Counts how often this process is found at an AVX-512 instruction.
 *
 * Every AVX-512 instruction on registers of any width is encoded with the EVEX prefix, the byte
 * 0x62, which begins no other instruction of 64-bit code.  Timers interrupt the working threads;
 * the handler looks at the byte that the thread would execute next.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define MOST_THREADS 1024
#define EXPORT __attribute__((visibility("default")))

static struct {
    int id;
    long long cpu_ns; /* when `ef_meter_look` looked */
    int timed;
    timer_t timer;
} threads[MOST_THREADS];
static int known;
static atomic_long samples, evex;

static void tick(int signal_, siginfo_t *info, void *context) {
    (void)signal_;
    (void)info;
    const greg_t rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    const unsigned char *next = (const unsigned char *)rip;
    /* At or right behind `syscall` (0F 05) a thread waits or is in the kernel: says nothing. */
    if (next[0] == 0x0f && next[1] == 0x05)
        return;
    if ((rip & 4095) >= 2 && next[-2] == 0x0f && next[-1] == 0x05)
        return;
    atomic_fetch_add(&samples, 1);
    if (next[0] == 0x62)
        atomic_fetch_add(&evex, 1);
}

/* CPU time of a thread by its id: Linux makes a clock's number of it so. */
static long long cpu_ns(int id) {
    struct timespec t;
    clockid_t clock = (clockid_t)((~(unsigned)id << 3) | 6);
    return clock_gettime(clock, &t) ? -1 : t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Note the threads there are, and the CPU time they have had.  0, or -1 without /proc. */
EXPORT int ef_meter_look(void) {
    DIR *folder = opendir("/proc/self/task");
    if (!folder)
        return -1;
    known = 0;
    for (struct dirent *e; (e = readdir(folder)) && known < MOST_THREADS;) {
        int id = atoi(e->d_name);
        if (id > 0) {
            threads[known].id = id;
            threads[known].cpu_ns = cpu_ns(id);
            threads[known++].timed = 0;
        }
    }
    closedir(folder);
    return 0;
}

/* Interrupt every thread that has worked since `ef_meter_look`, each `period` ns.  Returns their
 * number, or -1 if a timer cannot be had. */
EXPORT int ef_meter_start(long period) {
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGPROF, &action, NULL); /* stays: a last signal may come after `ef_meter_stop` */
    atomic_store(&samples, 0);
    atomic_store(&evex, 0);
    int working = 0;
    for (int i = 0; i < known; i++) {
        if (cpu_ns(threads[i].id) <= threads[i].cpu_ns)
            continue;
        struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
        event.sigev_notify_thread_id = threads[i].id;
        struct itimerspec when = {{0, period}, {0, period}};
        if (timer_create(CLOCK_MONOTONIC, &event, &threads[i].timer))
            return -1;
        threads[i].timed = 1;
        timer_settime(threads[i].timer, 0, &when, NULL);
        working++;
    }
    return working;
}

/* End it: how many instructions were seen, and how many of them began with EVEX. */
EXPORT void ef_meter_stop(long *seen, long *wide) {
    for (int i = 0; i < known; i++)
        if (threads[i].timed)
            timer_delete(threads[i].timer);
    known = 0;
    *seen = atomic_load(&samples);
    *wide = atomic_load(&evex);
}
