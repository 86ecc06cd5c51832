/* Checks a blob once, so that all other code may trust it. */
#include "ef_trial_blob.h"

#include <string.h>

const ef_blob_trial *ef_blob_trial_of(const ef_blob *blob, uint32_t index) {
  return (const ef_blob_trial *)ef_blob_at(blob, blob->trials) + index;
}

/* `count` things of `size` bytes lie at `offset`, aligned, behind the header. */
static bool inside(const ef_blob *blob, uint64_t offset, uint64_t count, uint64_t size) {
  return offset % EF_ALIGNMENT == 0 && offset >= sizeof *blob && offset <= blob->bytes &&
         count <= (blob->bytes - offset) / size;
}

static bool good_name(const ef_blob *blob, uint64_t offset) {
  if (!inside(blob, offset, 1, 1)) return false;
  while (offset < blob->bytes && *(const char *)ef_blob_at(blob, offset) != '\0') ++offset;
  return offset < blob->bytes;
}

static bool good_part(const ef_blob *blob, const ef_blob_part *part) {
  switch (part->kind) {
    case EF_PART_OUTPUT:
      if (part->bytes % sizeof(float) != 0) return false;
      return inside(blob, part->data, part->bytes, 1);
    case EF_PART_INPUT:
    case EF_PART_CONSTANT: return inside(blob, part->data, part->bytes, 1);
    case EF_PART_MIDDLE: return part->data == 0;
    default: return false;
  }
}

static bool good_step(const ef_blob *blob, const ef_blob_step *step, uint32_t part_count) {
  if (step->kernel >= ef_trial_kernel_count || step->tasks < 0) return false;
  if (step->arg_count > EF_TRIAL_MAX_ARGS) return false;
  if (step->arg_count != ef_trial_kernels[step->kernel].arity) return false;
  if (!inside(blob, step->args, step->arg_count, sizeof(uint32_t))) return false;
  const uint32_t *args = ef_blob_at(blob, step->args);
  for (uint32_t i = 0; i < step->arg_count; ++i)
    if (args[i] >= part_count) return false;
  return true;
}

static bool good_trial(const ef_blob *blob, const ef_blob_trial *trial) {
  if (!good_name(blob, trial->name) ||
      !inside(blob, trial->parts, trial->part_count, sizeof(ef_blob_part)) ||
      !inside(blob, trial->steps, trial->step_count, sizeof(ef_blob_step)) ||
      trial->step_count == 0)
    return false;
  const ef_blob_part *parts = ef_blob_at(blob, trial->parts);
  for (uint32_t i = 0; i < trial->part_count; ++i)
    if (!good_part(blob, &parts[i])) return false;
  const ef_blob_step *steps = ef_blob_at(blob, trial->steps);
  for (uint32_t i = 0; i < trial->step_count; ++i)
    if (!good_step(blob, &steps[i], trial->part_count)) return false;
  return true;
}

bool ef_blob_check(const void *data, size_t bytes) {
  const ef_blob *blob = data;
  if (blob == NULL || (uintptr_t)blob % EF_ALIGNMENT != 0 || bytes < sizeof *blob) return false;
  if (memcmp(blob->magic, EF_BLOB_MAGIC, sizeof blob->magic) != 0) return false;
  if (blob->version != EF_BLOB_VERSION || blob->bytes != bytes) return false;
  if (memcmp(blob->id, ef_trial_id, sizeof blob->id) != 0) return false;
  if (!inside(blob, blob->trials, blob->trial_count, sizeof(ef_blob_trial))) return false;
  for (uint32_t i = 0; i < blob->trial_count; ++i)
    if (!good_trial(blob, ef_blob_trial_of(blob, i))) return false;
  return true;
}
