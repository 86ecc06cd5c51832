"""A server of ours as a child process that never outlives us."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from efcompile.devices.rpc_server import FOLDER_VARIABLE
from efcompile.errors import DeviceError

_LOG_LINES = 12


class Service:
    """Runs `command`, which says ``{"port": PORT}`` once it listens and ends when its standard
    input does: so it ends with this process, however that ends.

    It has a process group of its own and a private folder for its temporary files; both are
    gone after `stop` (the end of the ``with`` block).  Raises `DeviceError`, with the last of
    what it said, when it does not come up within `timeout` seconds.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        variables: Mapping[str, str] | None = None,
        *,
        timeout: float = 120,
    ) -> None:
        self.name = name
        self._folder = Path(tempfile.mkdtemp(prefix="efcompile-"))
        self._log = self._folder / "log"
        self._stopped = False
        inherited = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME", "LANG")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=inherited
                | {"TMPDIR": str(self._folder), FOLDER_VARIABLE: str(self._folder)}
                | dict(variables or {}),
                start_new_session=True,
            )
        try:
            self.port = self._announced(timeout)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process, and its group."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def said(self) -> str:
        """The last lines of its messages."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_LOG_LINES:])

    def wait(self) -> None:
        """Until it ends by itself, which is an error: `DeviceError`."""
        self._process.wait()
        raise DeviceError(f"{self.name} ended: {self.said() or 'it gave no reason'}")

    def stop(self) -> None:
        """End it with all its children; at once, and as often as one likes."""
        if not self._stopped:
            self._stopped = True
            # Not `terminate`: a session in an endless loop must go too, also one whose server
            # has ended already.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Service":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _announced(self, timeout: float) -> int:
        out = self._process.stdout
        assert out is not None
        end = time.monotonic() + timeout
        text = b""
        while not text.endswith(b"\n"):
            ready = select.select([out], [], [], max(0.0, end - time.monotonic()))[0]
            if not ready:
                why = f"did not come up within {timeout:g} s"
                raise DeviceError(f"{self.name} {why}: {self.said() or 'it said nothing'}")
            more = os.read(out.fileno(), 4096)
            if not more:
                self._process.wait()
                raise DeviceError(
                    f"{self.name} could not be started: {self.said() or 'it gave no reason'}"
                )
            text += more
        return int(json.loads(text.splitlines()[0])["port"])
