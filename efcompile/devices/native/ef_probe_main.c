/* The probe as a program: what it finds goes to standard output.  An argument is the folder
   whose free space is meant. */
#include <stdio.h>
#include <unistd.h>

#include "ef_probe.h"

int main(int count, char **words) {
  static char text[1 << 16];
  if (count > 1 && chdir(words[1]) != 0) {
    perror(words[1]);
    return 1;
  }
  int32_t bytes = ef_probe(text, sizeof text);
  if (bytes < 0) return 1;
  return fwrite(text, 1, (size_t)bytes, stdout) == (size_t)bytes && fflush(stdout) == 0 ? 0 : 1;
}
