/* The probe as a program: what it finds goes to standard output. */
#include <stdio.h>

#include "ef_probe.h"

int main(void) {
  static char text[1 << 16];
  int32_t bytes = ef_probe(text, sizeof text);
  if (bytes < 0) return 1;
  return fwrite(text, 1, (size_t)bytes, stdout) == (size_t)bytes && fflush(stdout) == 0 ? 0 : 1;
}
