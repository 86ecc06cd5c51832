"""A private folder on a phone, removed when it is done with."""

import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from efcompile.devices.adb_connection import Connection, Said
from efcompile.devices.adb_faults import PhoneLostError
from efcompile.errors import DeviceError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Folder:
    """The folder `path` of the phone behind `connection`."""

    connection: Connection
    path: str

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return f"{self.path}/{name}"

    def push(self, local: Path, *, program: bool = False) -> str:
        """Copy a file here, under its own name; returns its path."""
        remote = self.file(local.name)
        self.connection.push(local, remote)
        mode = "700" if program else "600"
        self.connection.checked(f"chmod {mode} {shlex.quote(remote)}", f"pushing {local.name}")
        return remote

    def line(self, *words: str) -> str:
        """A command line for the phone's shell that runs the program ``words[0]`` with the
        rest as its arguments, and leaves its process number where `kill` finds it."""
        inner = f"echo $$ > {shlex.quote(self._pid)} && exec {shlex.join(words)}"
        return shlex.join(["sh", "-c", inner])

    def run(self, *words: str) -> Said:
        """Run the program ``words[0]`` to its end; raises as `Connection.shell`."""
        return self.resumed(lambda: self.connection.once(self.line(*words)))

    def resumed(self, action: Callable[[], Result]) -> Result:
        """`action`, which runs a program by its `line`.  When the phone goes away in it and comes
        back, what may still run there is ended, and it is done once more."""
        try:
            return action()
        except PhoneLostError:
            self.connection.wait()
            self.kill()
            return action()

    def kill(self) -> None:
        """End the program that `line` started last: a broken connection leaves it running."""
        self.connection.shell(self._killing)

    def remove(self) -> None:
        """End what runs and remove the folder; nothing is done, or waited for, on a phone that
        is gone."""
        brief = replace(self.connection, timeout=20.0, patience=1.0)
        with suppress(DeviceError):
            brief.shell(f"{self._killing}; rm -rf {shlex.quote(self.path)}")

    @property
    def _killing(self) -> str:
        pid = shlex.quote(self._pid)
        return f"test -f {pid} && kill -9 $(cat {pid}) 2>/dev/null; rm -f {pid}"

    @property
    def _pid(self) -> str:
        return self.file("pid")


@contextmanager
def private_folder(connection: Connection, parent: str) -> Iterator[Folder]:
    """A new folder in `parent` that only the shell's own user can open; raises `DeviceError`.

    What is in it is removed even after an error, unless the phone is gone.
    """
    path = f"{parent}/efcompile-{secrets.token_hex(8)}"
    quoted = shlex.quote(path)
    # Nobody can guess the name, so a folder that is there already is one from before the
    # connection broke.
    make = f"umask 077 && mkdir -p {quoted} && chmod 700 {quoted}"
    connection.checked(make, f"making a folder in {parent}")
    folder = Folder(connection, path)
    try:
        yield folder
    finally:
        folder.remove()
