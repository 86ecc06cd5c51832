/* A pool for many short parallel loops in a row.

   One 64-bit ticket, (job number << 32 | next unclaimed task), is the whole protocol: a
   thread claims a chunk by a compare-and-swap that fails if the job has changed, so the
   caller never waits for a worker that has not claimed anything, however late it wakes.
   Workers spin briefly between jobs (the next one is usually microseconds away) and then
   sleep on a condition variable. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu and the masks */
#endif
#include "ef_pool.h"

#include <pthread.h>
#ifdef __linux__
#include <sched.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>

/* No job: nothing can be claimed, and the job's fields may be written. */
#define CLOSED UINT32_MAX
/* Tens to hundreds of microseconds, by what the CPU's pause takes. Not yielding in between: on a busy machine that would hand the core to
   someone else for milliseconds. With more threads than cores, a sleep lets the others run. */
#define SPINS 10000

typedef struct {
  ef_pool *pool;
  pthread_t thread;
  int number;
} worker;

struct ef_pool {
  uint32_t abi;
  int threads;
  atomic_bool busy;
  atomic_bool stop;
  _Atomic uint64_t ticket;
  _Atomic(ef_body) body;
  _Atomic(void *) context;
  _Atomic int32_t tasks;
  _Atomic int32_t chunk;
  _Atomic int32_t done;
  atomic_int sleepers;
  atomic_bool caller_sleeps;
  atomic_int caller_cpu;
  pthread_mutex_t mutex;
  pthread_cond_t job_posted;
  pthread_cond_t job_done;
  worker workers[];
};

static void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#ifdef __linux__
static int this_cpu(void) { return sched_getcpu(); }

/* Moves the calling thread off `cpu`, if it may run elsewhere, and lets it roam again. */
static void leave(int cpu) {
  cpu_set_t all, others;
  if (sched_getaffinity(0, sizeof all, &all) != 0) return;
  others = all;
  CPU_CLR(cpu, &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof all, &all);
}
#else
static int this_cpu(void) { return -1; }
static void leave(int cpu) { (void)cpu; }
#endif

/* On a busy machine a worker wakes where it slept, which may be where the caller now runs: each
   would spin while the other has work. */
static void keep_off_callers_core(ef_pool *pool) {
  int cpu = this_cpu();
  if (cpu >= 0 && cpu == atomic_load(&pool->caller_cpu)) leave(cpu);
}

static uint32_t job_of(uint64_t ticket) { return (uint32_t)(ticket >> 32); }
static uint32_t next_of(uint64_t ticket) { return (uint32_t)ticket; }

static int32_t rounded_up(int32_t a, int32_t b) { return a / b + (a % b != 0); }

/* How many of the `left` unclaimed tasks to claim: `chunk`, or if that is 0 half a thread's
   share of them, so less and less, and all threads end at about the same time. */
static int32_t claim(int threads, int32_t left, int32_t chunk) {
  int32_t size = chunk > 0 ? chunk : rounded_up(left, 2 * threads);
  return size < left ? size : left;
}

/* Works on whatever job is open until nothing is left to claim; returns its number. */
static uint32_t participate(ef_pool *pool, int thread) {
  for (;;) {
    uint64_t ticket = atomic_load(&pool->ticket);
    if (next_of(ticket) == CLOSED) return job_of(ticket);
    /* These may belong to a later job; then that job was closed in between and, because
       they were stored after the closing, the exchange below sees it and fails. */
    ef_body body = atomic_load(&pool->body);
    void *context = atomic_load(&pool->context);
    int32_t tasks = atomic_load(&pool->tasks);
    int32_t chunk = atomic_load(&pool->chunk);
    uint32_t begin = next_of(ticket);
    if (begin >= (uint32_t)tasks) return job_of(ticket);
    int32_t size = claim(pool->threads, tasks - (int32_t)begin, chunk);
    if (!atomic_compare_exchange_strong(&pool->ticket, &ticket, ticket + (uint32_t)size)) continue;
    body(context, thread, (int32_t)begin, (int32_t)begin + size);
    if (atomic_fetch_add(&pool->done, size) + size == tasks && atomic_load(&pool->caller_sleeps)) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->job_done);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

static bool idle(ef_pool *pool, uint32_t seen) {
  return job_of(atomic_load(&pool->ticket)) == seen && !atomic_load(&pool->stop);
}

static void *work(void *argument) {
  worker *self = argument;
  ef_pool *pool = self->pool;
  uint32_t seen = 0;
  while (!atomic_load(&pool->stop)) {
    keep_off_callers_core(pool);
    for (int turn = 0; turn < SPINS && idle(pool, seen); ++turn) pause_cpu();
    if (idle(pool, seen)) {
      pthread_mutex_lock(&pool->mutex);
      atomic_fetch_add(&pool->sleepers, 1);
      while (idle(pool, seen)) pthread_cond_wait(&pool->job_posted, &pool->mutex);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->mutex);
      keep_off_callers_core(pool);
    }
    seen = participate(pool, self->number);
  }
  return NULL;
}

static void wake_workers(ef_pool *pool) {
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->job_posted);
  pthread_mutex_unlock(&pool->mutex);
}

static void await_done(ef_pool *pool, int32_t tasks) {
  for (int turn = 0; turn < SPINS && atomic_load(&pool->done) != tasks; ++turn) pause_cpu();
  if (atomic_load(&pool->done) == tasks) return;
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->caller_sleeps, true);
  while (atomic_load(&pool->done) != tasks) pthread_cond_wait(&pool->job_done, &pool->mutex);
  atomic_store(&pool->caller_sleeps, false);
  pthread_mutex_unlock(&pool->mutex);
}

void ef_pool_run(ef_pool *pool, ef_body body, void *context, int32_t tasks, bool together) {
  if (tasks <= 0) return;
  if (pool == NULL || pool->threads == 1 || tasks == 1) {
    body(context, 0, 0, tasks);
    return;
  }
  uint64_t job = (uint64_t)job_of(atomic_load(&pool->ticket)) << 32;
  atomic_store(&pool->body, body);
  atomic_store(&pool->context, context);
  atomic_store(&pool->tasks, tasks);
  atomic_store(&pool->chunk, together ? rounded_up(tasks, pool->threads) : 0);
  atomic_store(&pool->done, 0);
  atomic_store(&pool->ticket, job + ((uint64_t)1 << 32)); /* opens it, at task 0 */
  atomic_store(&pool->caller_cpu, this_cpu());
  wake_workers(pool);
  participate(pool, 0);
  await_done(pool, tasks);
  atomic_fetch_or(&pool->ticket, CLOSED);
}

bool ef_pool_enter(ef_pool *pool) { return pool == NULL || !atomic_exchange(&pool->busy, true); }

void ef_pool_leave(ef_pool *pool) {
  if (pool != NULL) atomic_store(&pool->busy, false);
}

uint32_t ef_pool_abi(const ef_pool *pool) { return pool == NULL ? EF_ABI : pool->abi; }

int ef_pool_threads(const ef_pool *pool) { return pool == NULL ? 1 : pool->threads; }

static void stop_workers(ef_pool *pool, int count) {
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->stop, true);
  pthread_cond_broadcast(&pool->job_posted);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < count; ++i) pthread_join(pool->workers[i].thread, NULL);
  pthread_cond_destroy(&pool->job_done);
  pthread_cond_destroy(&pool->job_posted);
  pthread_mutex_destroy(&pool->mutex);
  free(pool);
}

ef_pool *ef_pool_create(int threads) {
  if (threads < 1 || threads > EF_MAX_THREADS) return NULL;
  size_t others = (size_t)threads - 1;
  ef_pool *pool = calloc(1, sizeof(ef_pool) + others * sizeof(worker));
  if (pool == NULL) return NULL;
  pool->abi = EF_ABI;
  pool->threads = threads;
  atomic_store(&pool->ticket, CLOSED);
  atomic_store(&pool->caller_cpu, -1);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->job_posted, NULL);
  pthread_cond_init(&pool->job_done, NULL);
  for (size_t i = 0; i < others; ++i) {
    worker *w = &pool->workers[i];
    w->pool = pool;
    w->number = (int)i + 1;
    if (pthread_create(&w->thread, NULL, work, w) != 0) {
      stop_workers(pool, (int)i);
      return NULL;
    }
  }
  return pool;
}

void ef_pool_destroy(ef_pool *pool) {
  if (pool != NULL) stop_workers(pool, pool->threads - 1);
}
