"""Android's `adb` program: files to and from a phone, commands in its shell."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from efcompile.devices.adb_faults import PhoneLostError, explained, not_installed, state_fault
from efcompile.devices.lines import lines
from efcompile.errors import DeviceError

Result = TypeVar("Result")

# Ends the output of every command, with its exit status: adb of old phones has no other way to
# tell it, and where it is missing the connection broke.
_END: Final = "efcompile-exit-status"


@dataclass(frozen=True)
class Said:
    """What a command in the phone's shell printed, both streams as one, and its exit status."""

    status: int
    text: str


@dataclass(frozen=True)
class Connection:
    """Commands to one phone.

    `adb` is the program.  `serial` is which phone; None: the only one.  `timeout` is in seconds,
    for a command or file; `patience` for how long a phone that went away may take to come back.
    A command that meets a phone gone is given once more when it is back.
    """

    adb: str = "adb"
    serial: str | None = None
    timeout: float = 600.0
    patience: float = 60.0

    def chosen(self) -> "Connection":
        """This with the serial of the one phone that is meant and ready.

        Raises `DeviceError` that says what to do when adb is missing, when there is no such
        phone, several and no serial (``ANDROID_SERIAL`` counts as one), or it is not ready.
        """
        rows = [line.split("\t", 1) for line in self._call("devices").splitlines() if "\t" in line]
        listed = {name: state.strip() for name, state in rows}
        serial = self.serial or os.environ.get("ANDROID_SERIAL")
        names = ", ".join(sorted(listed))
        if not listed:
            raise DeviceError(
                "no phone is connected. Enable USB debugging on it (developer options), plug it "
                "in, and see that `adb devices` lists it"
            )
        if serial is None and len(listed) > 1:
            raise DeviceError(
                f"{len(listed)} phones are connected: {names}. Say which: --serial SERIAL"
            )
        if serial is None:
            (serial,) = listed
        if serial not in listed:
            raise DeviceError(f"there is no phone {serial}; connected: {names}")
        if listed[serial] != "device":
            raise state_fault(serial, listed[serial])
        return replace(self, serial=serial)

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the phone; it keeps its permissions."""
        self.steady(lambda: self._call("push", str(local), remote, doing=f"pushing {local.name}"))

    def pull(self, remote: str, local: Path, size: int) -> None:
        """Copy a file of `size` bytes from the phone; `DeviceError` if it is of another size."""
        doing = f"pulling {local.name}"
        self.steady(lambda: self._call("pull", remote, str(local), doing=doing))
        found = local.stat().st_size if local.exists() else 0
        if found != size:
            raise DeviceError(
                f"{remote} came back with {found} bytes of {size}: see that the phone has room "
                "left and its cable is good, then run again"
            )

    def shell(self, script: str, timeout: float | None = None) -> Said:
        """Run a command line of the phone's shell to its end, whatever its status.

        `timeout` is in seconds between two lines of output.  Raises `DeviceError` when it takes
        longer or the phone is gone.
        """
        return self.steady(lambda: self.once(script, timeout))

    def once(self, script: str, timeout: float | None = None) -> Said:
        """As `shell`, but `PhoneLostError` as soon as the phone goes away."""
        timeout = timeout or self.timeout
        heard: list[str] = []
        spoken = self.lines(script, timeout)
        try:
            while True:
                heard.append(next(spoken))
        except StopIteration as end:
            return Said(end.value, "\n".join(heard))
        except TimeoutError as error:
            raise DeviceError(
                f"a command on phone {self.serial} said nothing for {timeout:g} s: see that the "
                "phone is awake, or give it more time"
            ) from error

    def checked(self, script: str, doing: str) -> str:
        """The output of `shell`; `DeviceError` in words for people unless its status is 0."""
        said = self.shell(script)
        if said.status != 0:
            raise explained(said.text, doing)
        return said.text

    def lines(self, script: str, timeout: float) -> Generator[str, None, int]:
        """Run a command line in the phone's shell and yield its output's lines as they come;
        return its exit status.

        Raises `TimeoutError` when no line comes for `timeout` seconds (the command may go on
        over there), `PhoneLostError` when the connection breaks.
        """
        command = [*self._command(), "shell", f"( {script}\n) 2>&1; echo {_END} $?"]
        with tempfile.TemporaryFile() as complaints:
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
            ) as process:
                try:
                    for line in lines(process, timeout):
                        before, mark, status = line.rpartition(_END)
                        if mark:
                            # What a program wrote last need not end its line.
                            if before:
                                yield before
                            return int(status)
                        yield line
                finally:
                    process.kill()
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip()
        if said:
            raise explained(said, "running a command on it")
        raise PhoneLostError("the phone went away while running a command: check its cable")

    def steady(self, action: Callable[[], Result]) -> Result:
        """`action`, and once more when the phone went away in it and came back."""
        try:
            return action()
        except PhoneLostError:
            self.wait()
            return action()

    def wait(self) -> None:
        """Until the phone is there again; `DeviceError` after `patience` seconds."""
        try:
            self._run("wait-for-device", timeout=self.patience)
        except subprocess.TimeoutExpired as error:
            raise PhoneLostError(
                f"phone {self.serial} went offline and did not come back within "
                f"{self.patience:g} s. What was finished is kept: plug it in, see that "
                "`adb devices` lists it, and run again"
            ) from error

    def _call(self, *words: str, doing: str = "asking adb for its phones") -> str:
        try:
            done = self._run(*words, timeout=self.timeout)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{doing} took over {self.timeout:g} s: see that the phone is awake and its cable "
                "good, or give it more time"
            ) from error
        if done.returncode != 0:
            raise explained(done.stderr or done.stdout, doing)
        return done.stdout

    def _run(self, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._command(), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except OSError as error:
            raise not_installed(self.adb) from error

    def _command(self) -> list[str]:
        return [self.adb, *(["-s", self.serial] if self.serial else [])]
