/* Every task of every job exactly once, for pools of several sizes, with and without pauses
   long enough for the workers to fall asleep, and two pools at the same time. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ef_pool.h"

#define MOST_TASKS 700

typedef struct {
  int threads;
  atomic_int runs[MOST_TASKS];
  atomic_int at_once[EF_MAX_THREADS]; /* runs of a thread's scratch: never more than one */
  int plain[MOST_TASKS];              /* not atomic: the pool itself must order the jobs */
} job;

static _Noreturn void fail(const char *what, int a, int b) {
  fprintf(stderr, "%s: %d %d\n", what, a, b);
  exit(1);
}

static void body(void *context, int thread, int32_t begin, int32_t end) {
  job *j = context;
  if (thread < 0 || thread >= j->threads) fail("thread number", thread, j->threads);
  if (begin >= end) fail("empty range", begin, end);
  if (atomic_fetch_add(&j->at_once[thread], 1) != 0) fail("thread used twice", thread, 0);
  for (int32_t t = begin; t < end; ++t) {
    atomic_fetch_add(&j->runs[t], 1);
    ++j->plain[MOST_TASKS - 1 - t];
  }
  atomic_fetch_sub(&j->at_once[thread], 1);
}

static void rounds(int threads, int count, int pause_every) {
  ef_pool *pool = ef_pool_create(threads);
  job *j = calloc(1, sizeof *j);
  if (pool == NULL || j == NULL) fail("create", threads, 0);
  if (ef_pool_threads(pool) != threads) fail("threads", ef_pool_threads(pool), threads);
  j->threads = threads;
  int expected[MOST_TASKS] = {0};
  for (int i = 0; i < count; ++i) {
    int tasks = i % 7 == 0 ? i % 5 : (i * 37) % (MOST_TASKS + 1);
    ef_pool_run(pool, body, j, tasks, i % 3 == 0);
    for (int t = 0; t < tasks; ++t) ++expected[t];
    if (pause_every && i % pause_every == 0) nanosleep(&(struct timespec){0, 2000000}, NULL);
  }
  for (int t = 0; t < MOST_TASKS; ++t) {
    if (j->runs[t] != expected[t]) fail("task", t, j->runs[t] - expected[t]);
    if (j->plain[MOST_TASKS - 1 - t] != expected[t]) fail("lost write", t, expected[t]);
  }
  ef_pool_destroy(pool);
  free(j);
}

static void *side(void *argument) {
  rounds(*(int *)argument, 500, 0);
  return NULL;
}

int main(void) {
  for (int threads = 1; threads <= 8; ++threads) {
    rounds(threads, 400, 0);
    rounds(threads, 30, 3);
  }
  pthread_t other;
  int threads = 3;
  if (pthread_create(&other, NULL, side, &threads) != 0) fail("thread", 0, 0);
  rounds(2, 500, 0);
  pthread_join(other, NULL);
  for (int i = 0; i < 50; ++i) ef_pool_destroy(ef_pool_create(4)); /* never used */
  ef_pool_destroy(NULL);
  if (ef_pool_create(0) || ef_pool_create(-1) || ef_pool_create(EF_MAX_THREADS + 1))
    fail("impossible pools", 0, 0);
  ef_pool *pool = ef_pool_create(2);
  if (!ef_pool_enter(pool) || ef_pool_enter(pool)) fail("enter", 0, 0);
  ef_pool_leave(pool);
  if (!ef_pool_enter(pool)) fail("enter again", 0, 0);
  ef_pool_destroy(pool);
  puts("ok");
  return 0;
}
