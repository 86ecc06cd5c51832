"""Where shared libraries ask the CPU what it can do: the places of their `cpuid` instructions.

objdump disassembles each library once (a minute for torch's); what it found is kept in the
user's cache folder under the library's path, size and time of last change.
"""

import hashlib
import mmap
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from efcompile.devices.plugin import cache_directory
from efcompile.errors import ToolchainError

_OPCODE = b"\x0f\xa2"
_LINE = re.compile(rb"^ *([0-9a-f]+):\s+cpuid\b", re.MULTILINE)
_CHUNK = 4 << 20


def libraries(packages: Iterable[str]) -> list[Path]:
    """The shared libraries of those of the distributions `packages` that are installed, by real
    path, sorted."""
    found = set()
    for package in dict.fromkeys(packages):
        try:
            files = metadata.files(package)
        except metadata.PackageNotFoundError:
            continue
        for file in files or ():
            path = Path(str(file.locate()))
            if ".so" in path.suffixes and path.is_file():
                found.add(path.resolve())
    return sorted(found)


def sites(library: Path) -> list[int]:
    """Addresses of the library's `cpuid` instructions in the file's own numbering.

    Raises `ToolchainError` if objdump is missing or cannot read the library.
    """
    if not _may_ask(library):
        return []
    objdump = shutil.which("objdump")
    if objdump is None:
        raise ToolchainError(
            "holding peers to AVX2 needs objdump, once for each library. Install it: "
            "apt-get install binutils"
        )
    command = [objdump, "-d", "--no-show-raw-insn", str(library)]
    found: list[int] = []
    rest = b""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        while chunk := process.stdout.read(_CHUNK):
            # A line may be cut by the end of a chunk: it waits for the next one.
            text, newline, rest = (rest + chunk).rpartition(b"\n")
            found += [int(match[1], 16) for match in _LINE.finditer(text + newline)]
        found += [int(match[1], 16) for match in _LINE.finditer(rest)]
        if process.wait():
            said.seek(0)
            reason = said.read().decode(errors="replace").strip()
            raise ToolchainError(f"objdump cannot disassemble {library}: {reason}")
    return found


def site_list(of: Sequence[Path]) -> Path:
    """A file with a line for every `cpuid` instruction of the libraries `of`: its address in
    hexadecimal, a tab, the library's real path.

    The file is in the cache folder, named by its content.  Libraries not searched before are
    searched in parallel, under a progress bar.  Raises as `sites` does.
    """
    known = {library.resolve(): _entry(library.resolve()) for library in of}
    new = sorted(
        (library for library, entry in known.items() if not entry.exists()),
        key=lambda library: -library.stat().st_size,  # the longest first
    )
    if new:
        with (
            Progress(console=Console(stderr=True), transient=True) as bar,
            ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        ):
            task = bar.add_task("searching libraries for cpuid", total=len(new))
            for _ in pool.map(lambda library: _search(library, known[library]), new):
                bar.advance(task)
    text = "".join(entry.read_text() for entry in known.values())
    path = _folder() / f"all-{_short_hash(text)}.txt"
    if not path.exists():
        _write(path, text)
    return path


def _may_ask(library: Path) -> bool:
    """Whether the opcode is among the bytes at all: most libraries are done with this."""
    if not library.stat().st_size:
        return False
    with (
        library.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return data.find(_OPCODE) >= 0


def _search(library: Path, entry: Path) -> None:
    _write(entry, "".join(f"{address:x}\t{library}\n" for address in sites(library)))


def _entry(library: Path) -> Path:
    status = library.stat()
    return _folder() / f"{_short_hash(f'{library}|{status.st_size}|{status.st_mtime_ns}')}.txt"


def _folder() -> Path:
    return cache_directory() / "cpuid-sites"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    """Whole or not at all: any number of processes share the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        written = Path(scratch) / path.name
        written.write_text(text)
        written.replace(path)
