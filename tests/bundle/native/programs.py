"""Building and running C programs of the tests."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from efcompile.bundle.render import NATIVE

HERE = Path(__file__).parent

SANITIZERS = {
    "address": ["-fsanitize=address"],
    "undefined": ["-fsanitize=undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-O1"]


def compile_c(inputs: Sequence[Path], output: Path, *flags: str | Path) -> Path:
    """Compile (and link, without ``-c``) with this machine's compiler, warnings as errors."""
    command = ["cc", *STRICT, f"-I{NATIVE}", *flags, *inputs, "-o", output, "-lm", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


def run_program(program: Path, *arguments: str | Path) -> str:
    """Run it and return what it printed; anything said by a sanitizer is a failure.

    Address randomisation is off: the thread sanitizer of older compilers cannot place its
    shadow memory under the strong randomisation of newer kernels.
    """
    command = ["setarch", "-R", str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout
