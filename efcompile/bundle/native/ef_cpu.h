/* Whether the CPU that runs this has a feature, by the means of its system. `ef_feature`
   says where to look; rows of it are written by cpu_features.py. */
#ifndef EF_CPU_H
#define EF_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

#include <cpuid.h>

typedef struct {
  uint32_t leaf, subleaf;
  int reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
  int bit;
  uint32_t xcr0; /* register state the system must save for it */
} ef_feature;

static uint32_t ef_saved_state(void) {
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1)) return 0;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
}

static bool ef_cpu_has(const ef_feature *feature) {
  uint32_t regs[4];
  if (!__get_cpuid_count(feature->leaf, feature->subleaf, &regs[0], &regs[1], &regs[2], &regs[3]))
    return false;
  return (regs[feature->reg] >> feature->bit & 1) &&
         (feature->xcr0 == 0 || (ef_saved_state() & feature->xcr0) == feature->xcr0);
}

#elif defined(__APPLE__)

#include <sys/types.h>
#include <sys/sysctl.h>

typedef struct {
  const char *sysctl;
} ef_feature;

static bool ef_cpu_has(const ef_feature *feature) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(feature->sysctl, &value, &size, NULL, 0) == 0 && value != 0;
}

#elif defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

typedef struct {
  unsigned long auxv; /* 16: AT_HWCAP, 26: AT_HWCAP2 */
  int bit;
} ef_feature;

static bool ef_cpu_has(const ef_feature *feature) {
  return getauxval(feature->auxv) >> feature->bit & 1;
}

#else
#error "efcompile writes code for x86-64 Linux, aarch64 Linux and Android, iOS and macOS"
#endif

#endif
