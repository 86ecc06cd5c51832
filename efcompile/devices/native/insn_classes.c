/* A TCG plugin for qemu-aarch64 that counts executed A64 instructions by class.
 *
 * Every translated block gets one inline addition per class that occurs in it, so the counts
 * are exact, and repeat exactly as long as the program has one thread (the additions are not
 * atomic).  A block that a fault leaves midway would count whole; the programs measured here
 * do not fault.
 *
 * When the program ends, the counts are written as one JSON object to the file of the option
 * `out=FILE`.
 *
 * With the options `marks=FILE` and `trace=FILE`, every time the program comes to an address
 * that the first file lists (in hexadecimal, the first instructions of functions), a line with
 * the address and the counts of all classes so far, in the order below, goes into the second.
 *
 * Classes, by the encoding groups of the Arm Architecture Reference Manual, C4.1:
 *   fmla    NEON floating-point fused multiply-adds: FMLA, FMLS, FMLAL(2), FMLSL(2), as
 *           vectors and by element
 *   simd    everything else in "Data Processing -- Scalar Floating-Point and Advanced SIMD",
 *           scalar FMADD included
 *   load    loads of any register, pair or structure; atomics that read and write
 *   store   stores of any register, pair or structure
 *   branch  "Branches, Exception Generating and System instructions"
 *   other   integer arithmetic, addresses, prefetches
 *
 * Debian ships no qemu-plugin.h, so what is used of plugin API version 1 (QEMU 6.0 to 8.2)
 * is declared here.  The interface is described in QEMU's documentation, "QEMU TCG Plugins"
 * (docs/devel/tcg-plugins.rst).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

typedef struct {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
} plugin_info; /* the leading members, which are all that is read */

enum { INLINE_ADD_U64 = 0, CALLBACK_USES_NO_REGISTERS = 0 };

typedef void (*translate_callback)(plugin_id, struct qemu_plugin_tb *);
typedef void (*exit_callback)(plugin_id, void *);
typedef void (*execute_callback)(unsigned vcpu, void *);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translate_callback);
void qemu_plugin_register_atexit_cb(plugin_id, exit_callback, void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter,
                                              uint64_t add);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, execute_callback, int flags,
                                          void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

enum insn_class { FMLA, SIMD, LOAD, STORE, BRANCH, OTHER, CLASSES };

static const char *const class_names[CLASSES] = {"fmla", "simd", "load", "store", "branch", "other"};
static uint64_t executed[CLASSES];
static char out_path[4096];

/* The addresses of `marks`, ascending. */
static uint64_t *marks;
static size_t mark_count;
static FILE *trace;

/* A block that begins at a mark. */
typedef struct {
    uint64_t address;
    uint64_t counts[CLASSES];
} marked_block;

static bool matches(uint32_t word, uint32_t mask, uint32_t value) { return (word & mask) == value; }

/* FMLA and FMLS differ in one bit, which the masks leave open. */
static bool is_fmla(uint32_t word)
{
    return matches(word, 0xBF20FC00u, 0x0E20CC00u)     /* vector, single and double */
           || matches(word, 0xBF60FC00u, 0x0E400C00u)  /* vector, half */
           || matches(word, 0xBF00B400u, 0x0F001000u)  /* by element */
           || matches(word, 0xBF60FC00u, 0x0E20EC00u)  /* FMLAL, FMLSL, vector */
           || matches(word, 0xBF60FC00u, 0x2E20CC00u)  /* FMLAL2, FMLSL2, vector */
           || matches(word, 0xBFC0B400u, 0x0F800000u)  /* FMLAL, FMLSL, by element */
           || matches(word, 0xBFC0B400u, 0x2F808000u); /* FMLAL2, FMLSL2, by element */
}

/* `word` is in the group "Loads and Stores". */
static enum insn_class memory_class(uint32_t word)
{
    const unsigned form = word >> 28 & 3, size = word >> 30, opc = word >> 22 & 3;
    const bool simd = word >> 26 & 1, high = word >> 24 & 1;

    if (form == 1 && !high) /* load literal */
        return !simd && size == 3 ? OTHER /* PRFM */ : LOAD;
    if (form == 0 && !simd && (word >> 21 & 1) && (opc & 2 || size < 2)) /* CAS, CASP */
        return LOAD;
    if (form == 0 || form == 2 || simd) /* structures, exclusives, pairs, one SIMD register */
        return opc & 1 ? LOAD : STORE;
    if (form == 3) {
        const bool atomic_or_authenticated = !high && (word >> 21 & 1) && (word >> 10 & 3) != 2;
        if (atomic_or_authenticated)
            return LOAD;
        if (size == 3 && opc == 2)
            return OTHER; /* PRFM */
    }
    return opc == 0 ? STORE : LOAD;
}

static enum insn_class classify(uint32_t word)
{
    const unsigned group = word >> 25 & 15;

    if ((group & 7) == 7)
        return is_fmla(word) ? FMLA : SIMD;
    if ((group & 5) == 4)
        return memory_class(word);
    if ((group & 14) == 10)
        return BRANCH;
    return OTHER;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool read_marks(const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned long long address;

    if (!file)
        return false;
    while (fscanf(file, "%llx", &address) == 1) {
        uint64_t *more = realloc(marks, (mark_count + 1) * sizeof *marks);
        if (!more)
            break;
        marks = more;
        marks[mark_count++] = address;
    }
    const bool whole = feof(file);
    fclose(file);
    if (mark_count)
        qsort(marks, mark_count, sizeof *marks, ascending);
    return whole;
}

/* Runs before the block does, and counts it, so the line says what came before it. */
static void on_mark(unsigned vcpu, void *data)
{
    const marked_block *block = data;

    (void)vcpu;
    fprintf(trace, "%llx", (unsigned long long)block->address);
    for (int c = 0; c < CLASSES; c++) {
        fprintf(trace, " %llu", (unsigned long long)executed[c]);
        executed[c] += block->counts[c];
    }
    fputc('\n', trace);
}

/* Whether the block begins at a mark, and so is counted when it is come to. */
static bool mark(struct qemu_plugin_tb *block, uint64_t address, const uint64_t *counts)
{
    if (!mark_count || !bsearch(&address, marks, mark_count, sizeof *marks, ascending))
        return false;
    marked_block *marked = malloc(sizeof *marked); /* lives as long as the block: to the end */
    if (!marked) {
        perror("insn_classes");
        exit(2);
    }
    marked->address = address;
    memcpy(marked->counts, counts, sizeof marked->counts);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_mark, CALLBACK_USES_NO_REGISTERS, marked);
    return true;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    uint64_t in_block[CLASSES] = {0};
    const size_t n = qemu_plugin_tb_n_insns(block);

    (void)id;
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        in_block[classify(word)]++;
    }
    if (mark(block, qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0)), in_block))
        return;
    for (int c = 0; c < CLASSES; c++)
        if (in_block[c])
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &executed[c],
                                                     in_block[c]);
}

static void on_program_end(plugin_id id, void *unused)
{
    FILE *file = fopen(out_path, "w");

    (void)id, (void)unused;
    if (trace && fclose(trace))
        perror("insn_classes: trace");
    if (!file) {
        perror(out_path);
        return;
    }
    for (int c = 0; c < CLASSES; c++)
        fprintf(file, "%s\"%s\": %llu", c ? ", " : "{", class_names[c],
                (unsigned long long)executed[c]);
    fputs("}\n", file);
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const plugin_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4) && strlen(argv[i]) - 4 < sizeof out_path)
            strcpy(out_path, argv[i] + 4);
        if ((!strncmp(argv[i], "marks=", 6) && !read_marks(argv[i] + 6)) ||
            (!strncmp(argv[i], "trace=", 6) && !(trace = fopen(argv[i] + 6, "w")))) {
            fprintf(stderr, "insn_classes: cannot use the file of %s\n", argv[i]);
            return -1;
        }
    }
    if (mark_count && !trace) {
        fputs("insn_classes: marks need the option trace=FILE\n", stderr);
        return -1;
    }
    if (strcmp(info->target_name, "aarch64") || !out_path[0]) {
        fputs("insn_classes: needs qemu-aarch64 and the option out=FILE\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_program_end, NULL);
    return 0;
}
