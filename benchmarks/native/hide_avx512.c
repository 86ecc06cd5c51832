/* Hides AVX-512, AVX10 and AMX from libraries that ask the CPU itself what it can do.
 *
 * A library for LD_AUDIT: the loader tells it of every other library once that is mapped, before
 * any code of it runs.  Every `cpuid` instruction of those listed in $EFCOMPILE_CPUID_SITES is
 * then replaced, in this process's own copy of the page, by `ud2`, which is as long and raises
 * SIGILL; the handler executes the real `cpuid` and clears the bits.  All else is as it was: the
 * library decides as it would on a CPU that has AVX2 and nothing wider.
 *
 * The list has a line for each instruction: its address in the file (hexadecimal, as objdump
 * shows it), a tab, the file's real path.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(n) (1u << (n))
#define EXPORT __attribute__((visibility("default")))

/* Instructions replaced in one library.  Blocks are only ever added, so that the handler may
 * walk the list while another thread loads a library. */
struct block {
    struct block *next;
    size_t count;
    const unsigned char *places[];
};

static _Atomic(struct block *) blocks;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(STDERR_FILENO, format, arguments);
    va_end(arguments);
    _exit(3);
}

static int replaced(const unsigned char *place) {
    for (const struct block *b = atomic_load(&blocks); b; b = b->next)
        for (size_t i = 0; i < b->count; i++)
            if (b->places[i] == place)
                return 1;
    return 0;
}

/* The answer of `cpuid` without AVX-512, AVX10 and AMX, nor what came after them for integers
 * (AVX-VNNI, AVX-IFMA ...). */
static void answer(unsigned leaf, unsigned sub, unsigned *a, unsigned *b, unsigned *c,
                   unsigned *d) {
    __cpuid_count(leaf, sub, *a, *b, *c, *d);
    if (leaf == 7 && sub == 0) {
        /* AVX512: F, DQ, IFMA, PF, ER, CD, BW, VL */
        *b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
        /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        *c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        /* 4VNNIW, 4FMAPS, VP2INTERSECT, FP16; AMX: BF16, TILE, INT8 */
        *d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(23) | BIT(22) | BIT(24) | BIT(25));
    } else if (leaf == 7 && sub == 1) {
        /* AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA */
        *a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));
        /* AVX-VNNI-INT8, AVX-NE-CONVERT, AMX-COMPLEX, AVX-VNNI-INT16, AVX10 */
        *d &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19));
    } else if (leaf == 0xd && sub == 0) {
        /* Registers that the system saves: masks, upper halves, registers 16 to 31; tiles. */
        *a &= ~(BIT(5) | BIT(6) | BIT(7) | BIT(17) | BIT(18));
    } else if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) { /* sizes of AMX; AVX10 */
        *a = *b = *c = *d = 0;
    }
}

static void on_illegal(int signal_, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (!replaced((const unsigned char *)registers[REG_RIP])) {
        signal(signal_, SIG_DFL); /* not ours: the instruction runs again and ends the process */
        return;
    }
    unsigned a, b, c, d;
    answer((unsigned)registers[REG_RAX], (unsigned)registers[REG_RCX], &a, &b, &c, &d);
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

static void replace(unsigned char *place, const char *path, const char *list) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *start = (unsigned char *)((uintptr_t)place & -page);
    size_t size = (size_t)(place + 2 - start);
    if (mprotect(start, size, PROT_READ | PROT_WRITE | PROT_EXEC))
        fail("cannot hide AVX-512 from %s: changing its code at %p: %s\n", path, (void *)place,
             strerror(errno));
    if (place[0] != 0x0f || place[1] != 0xa2)
        fail("%s is not the file that was searched for cpuid instructions: it has changed since. "
             "Remove the folder of %s and run the command again\n", path, list);
    place[1] = 0x0b;
    mprotect(start, size, PROT_READ | PROT_EXEC);
}

EXPORT unsigned la_version(unsigned version) {
    struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGILL, &action, NULL);
    return version < LAV_CURRENT ? version : LAV_CURRENT;
}

EXPORT unsigned la_objopen(struct link_map *map, Lmid_t namespace_, uintptr_t *cookie) {
    (void)namespace_;
    (void)cookie;
    char path[PATH_MAX], line[PATH_MAX + 32];
    if (!map->l_name || !*map->l_name || !realpath(map->l_name, path))
        return 0; /* the program itself, or the kernel's vdso */
    const char *list = getenv("EFCOMPILE_CPUID_SITES");
    FILE *file = list ? fopen(list, "r") : NULL;
    if (!file)
        fail("EFCOMPILE_CPUID_SITES does not name a list of cpuid instructions that can be read\n");
    struct block *block = NULL;
    while (fgets(line, sizeof line, file)) {
        char *end;
        unsigned long address = strtoul(line, &end, 16);
        line[strcspn(line, "\n")] = 0;
        if (*end != '\t' || strcmp(end + 1, path))
            continue;
        size_t count = block ? block->count : 0;
        block = realloc(block, sizeof *block + (count + 1) * sizeof block->places[0]);
        if (!block)
            fail("no memory to hide AVX-512 from %s\n", path);
        block->places[count] = (unsigned char *)map->l_addr + address;
        block->count = count + 1;
        replace((unsigned char *)map->l_addr + address, path, list);
    }
    fclose(file);
    if (block) {
        block->next = atomic_load(&blocks);
        while (!atomic_compare_exchange_weak(&blocks, &block->next, block))
            ;
    }
    return 0;
}
