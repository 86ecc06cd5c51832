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

enum { INLINE_ADD_U64 = 0 };

typedef void (*translate_callback)(plugin_id, struct qemu_plugin_tb *);
typedef void (*exit_callback)(plugin_id, void *);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translate_callback);
void qemu_plugin_register_atexit_cb(plugin_id, exit_callback, void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter,
                                              uint64_t add);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

enum insn_class { FMLA, SIMD, LOAD, STORE, BRANCH, OTHER, CLASSES };

static const char *const class_names[CLASSES] = {"fmla", "simd", "load", "store", "branch", "other"};
static uint64_t executed[CLASSES];
static char out_path[4096];

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
    for (int c = 0; c < CLASSES; c++)
        if (in_block[c])
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &executed[c],
                                                     in_block[c]);
}

static void on_exit(plugin_id id, void *unused)
{
    FILE *file = fopen(out_path, "w");

    (void)id, (void)unused;
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
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4) && strlen(argv[i]) - 4 < sizeof out_path)
            strcpy(out_path, argv[i] + 4);
    if (strcmp(info->target_name, "aarch64") || !out_path[0]) {
        fputs("insn_classes: needs qemu-aarch64 and the option out=FILE\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit, NULL);
    return 0;
}
