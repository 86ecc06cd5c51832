"""Reading a program's lines as they come, but not waiting for ever."""

import os
import selectors
import subprocess
import time
from collections.abc import Iterator


def lines(process: subprocess.Popen[bytes], timeout: float) -> Iterator[str]:
    """Whole lines of a process's piped output until it closes it; what follows the last line's
    end is left out.

    Raises `TimeoutError` when none comes for `timeout` seconds.  Ends no process.
    """
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    held = b""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as ready:
        ready.register(descriptor, selectors.EVENT_READ)
        while True:
            if not ready.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"nothing for {timeout:g} s")
            found = os.read(descriptor, 1 << 16)
            if not found:
                return
            *whole, held = (held + found).split(b"\n")
            for line in whole:
                yield line.rstrip(b"\r").decode(errors="replace")
            if whole:
                deadline = time.monotonic() + timeout
