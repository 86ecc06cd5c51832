"""An arm64 Python with wheels of its own, for `qemu-aarch64`, in the user's cache folder.

Python and the libraries under it are this Debian's (`apt-get` with a root of its own: nothing
is installed, and the system's list of architectures stays), the wheels are PyPI's.
"""

import hashlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from efcompile.devices.emulator import InstructionCounts, count_instructions, emulate
from efcompile.devices.plugin import cache_directory
from efcompile.errors import ToolchainError

DEBIAN = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1", "zlib1g")
"""Debian packages, which bring what they depend on."""

_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_LAYOUT = 3
"""Raised when the folder's content changes in a way that `DEBIAN` and the wheels do not show."""

_APT = """\
Dir::State "{apt}/state";
Dir::State::status "{apt}/state/status";
Dir::Cache "{apt}/cache";
#clear APT::Architectures;
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
// The system's own hooks are about the system's own state.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
"""


@dataclass(frozen=True)
class Arm64Python:
    """The prepared `folder`: ``root`` of the Debian packages, ``site`` of the wheels."""

    folder: Path

    @property
    def program(self) -> Path:
        """The interpreter, an arm64 program."""
        return self.folder / "root" / "usr" / "bin" / "python3"

    @property
    def version(self) -> str:
        """Such as ``3.11``."""
        return self.program.readlink().name.removeprefix("python")

    def versions(self) -> dict[str, str]:
        """Of the interpreter and of every wheel."""
        found = metadata.distributions(path=[str(self.folder / "site")])
        wheels = {one.metadata["Name"].lower(): one.version for one in found}
        return {"python": self.version} | dict(sorted(wheels.items()))

    def run(self, arguments: Sequence[str | Path], *, cpu: str, timeout: float = 600) -> str:
        """Run the interpreter and return what it prints; `DeviceError` if it fails."""
        line = [self.program, *arguments]
        return emulate(line, cpu=cpu, timeout=timeout, options=self.options())

    def count(
        self, arguments: Sequence[str | Path], *, cpu: str, timeout: float = 1800
    ) -> InstructionCounts:
        """Run the interpreter, start-up included, and count; `DeviceError` if it fails."""
        line = [self.program, "-B", *arguments]
        return count_instructions(line, cpu=cpu, timeout=timeout, options=self.options())

    def options(self, **variables: str) -> list[str | Path]:
        """The emulator's own options for running it: its libraries, and the program's
        environment, `variables` included."""
        variables = {
            # The order of sets, and with it the instructions of starting, must not vary.
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(self.folder / "site"),
            "PYTHONNOUSERSITE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        } | variables
        options: list[str | Path] = ["-L", self.folder / "root"]
        for name, value in variables.items():
            options += ["-E", f"{name}={value}"]
        return options


def arm64_python(wheels: Sequence[str], tried: str) -> Arm64Python:
    """The environment with `wheels`, downloaded on first use (some 70 MB and the wheels).

    `wheels` are requirements of exact versions, installed without what they depend on.  `tried`
    is Python code that is run once before the folder counts as complete: it imports all that
    will be needed, which shows that it works and leaves byte code for quicker starts (its
    ``sys.argv[1]`` is a file it may write).

    The folder appears under its final name only when it is complete, so processes may race and
    may be interrupted.  Raises `ToolchainError` with what the tool said when a package cannot be
    had, and `DeviceError` without an emulator.
    """
    home = folder_for(wheels, tried)
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="partial-") as scratch:
            made = Path(scratch) / "made"
            _fill(made, Path(scratch) / "apt", wheels, tried)
            try:
                made.rename(home)
            except OSError:
                if not home.exists():  # if it does, another process was faster
                    raise
    return Arm64Python(home)


def folder_for(wheels: Sequence[str], tried: str) -> Path:
    """Where `arm64_python` keeps the environment for these, whether it is there or not."""
    release = platform.freedesktop_os_release()
    system = (release.get("ID"), release.get("VERSION_ID"))
    parts = (*system, DEBIAN, tuple(wheels), tried, _LAYOUT)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return cache_directory() / "arm64-python" / key


def _fill(folder: Path, apt: Path, wheels: Sequence[str], tried: str) -> None:
    """Download everything into `folder` and see that it works; `apt` is scratch space."""
    root = folder / "root"
    # Where a release has merged these, its libc says only "usr/lib" and leaves the link to
    # another package.  Where it has not, dpkg-deb puts a directory in the link's place.
    (root / "usr" / "lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    for package in _debian_packages(apt):
        _do("dpkg-deb", "--extract", package, root)
    python = Arm64Python(folder)
    platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
    fixed = ["--python-version", python.version, "--implementation", "cp", *platforms]
    how = ["--quiet", "--only-binary=:all:", "--no-deps", "--no-compile"]
    install = (sys.executable, "-m", "pip", "install", "--target", folder / "site")
    _do(*install, *how, *fixed, *wheels)
    python.run(["-c", tried, apt / "tried.npz"], cpu="max")


def _debian_packages(apt: Path) -> list[Path]:
    """Download `DEBIAN` and all they depend on."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "state" / "status").touch()  # as on a system where nothing is installed
    (apt / "conf").write_text(_APT.format(apt=apt))
    get = ("apt-get", "-c", apt / "conf", "-qq")
    _do(*get, "update")
    _do(*get, "install", "--yes", "--download-only", *DEBIAN)
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _do(*command: str | Path, timeout: float = 1800) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(
            f"preparing the arm64 Python: {command[0]} did not end within {timeout:g} s: check the "
            "network, and start again"
        ) from error
    except FileNotFoundError as error:
        raise ToolchainError(
            f"{command[0]} is missing: the arm64 Python is made of Debian's packages, so it can be "
            "had on Debian and its descendants only"
        ) from error
    if done.returncode != 0:
        line = " ".join(str(word) for word in command)
        raise ToolchainError(
            f"preparing the arm64 Python failed (apt's sources and pip's index must offer arm64 "
            f"packages): {line}\n{(done.stderr or done.stdout).strip()}"
        )
