/* What the command lines of our programs share: complaints, numbers, cores, files. A program
   defines PROGRAM, its name, and _GNU_SOURCE first. */
#ifndef EF_COMMAND_H
#define EF_COMMAND_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Ends the program with exit code 2 and a line on standard error. */
static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs(PROGRAM ": ", stderr);
  vfprintf(stderr, format, values);
  fputc('\n', stderr);
  va_end(values);
  exit(2);
}

static long number(const char *option, const char *text, long least, long most) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < least || value > most)
    fail("%s must be a whole number from %ld to %ld, not '%s'", option, least, most, text);
  return value;
}

/* "0,2,4-7": the whole process keeps to these cores, threads made later included. */
static void pin(const char *list) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const char *at = list;;) {
    char *end;
    long first = strtol(at, &end, 10), last = first;
    bool empty = end == at;
    if (!empty && *end == '-') {
      at = end + 1;
      last = strtol(at, &end, 10);
      empty = end == at;
    }
    if (empty || first < 0 || last < first || last >= CPU_SETSIZE || (*end && *end != ','))
      fail("--cores must be a list such as 0,2,4-7, not '%s'", list);
    for (long core = first; core <= last; ++core) CPU_SET((size_t)core, &set);
    if (*end == '\0') break;
    at = end + 1;
  }
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    fail("cannot run on cores %s: %s", list, strerror(errno));
}

/* A whole file in memory, where a page begins, and its size. */
static const void *map_file(const char *path, size_t *bytes) {
  int file = open(path, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) fail("cannot open %s: %s", path, strerror(errno));
  *bytes = (size_t)status.st_size;
  void *data = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
  if (data == MAP_FAILED) fail("cannot map %s: %s", path, strerror(errno));
  close(file);
  return data;
}

#endif
