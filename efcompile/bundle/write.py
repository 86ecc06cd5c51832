"""Writing a bundle: built in a scratch folder, then put in place in one step."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from efcompile.bundle import manifest as manifests
from efcompile.bundle.build import Part, build
from efcompile.bundle.describe import describe
from efcompile.bundle.exchange import put_in_place
from efcompile.bundle.names import bundle_name
from efcompile.errors import BundleError
from efcompile.lowering.program import Program

NO_ATTACHMENTS: Mapping[str, bytes] = MappingProxyType({})


def write_bundle(
    program: Program,
    out_dir: Path,
    *,
    parts: Collection[Part] | None = None,
    structure: str = "",
    attachments: Mapping[str, bytes] = NO_ATTACHMENTS,
) -> Path:
    """Compile `program` into ``out_dir/<model>.<target>.<dtype>.b1x224`` and return that path.

    `parts` are the optional files to make; by default all that the target can have (see
    `efcompile.bundle.build.possible_parts`).  `structure` describes how the outputs nest
    (empty: a flat list) and `attachments` are further files, name to content.  A bundle that
    is already there is replaced, and only once the new one is complete: whatever goes wrong
    before leaves it as it was.

    Raises `ToolchainError` when compiling or linking fails and `BundleError` when a file
    cannot be written, naming it.
    """
    final = out_dir / bundle_name(program)
    with tempfile.TemporaryDirectory(prefix="efcompile-") as scratch:
        with _naming(Path(scratch)):
            built = build(program, Path(scratch), parts)
        with _partial(final) as folder:
            entries = {name: _copy(path, folder / name) for name, path in built.files.items()}
            entries |= {name: _write(data, folder / name) for name, data in attachments.items()}
            described = describe(program, built.build_id, built.cpu_features, entries, structure)
            _write(manifests.dump(described), folder / manifests.NAME)
            put_in_place(folder, final)
    return final


def copy_bundle(source: Path, out_dir: Path) -> Path:
    """Copy a complete bundle into `out_dir`, as atomically as `write_bundle` writes one."""
    final = out_dir / source.name
    with _partial(final) as folder:
        for path in sorted(source.iterdir()):
            _copy(path, folder / path.name)
        put_in_place(folder, final)
    return final


@contextmanager
def _partial(final: Path) -> Iterator[Path]:
    """A hidden folder beside `final` (so on the same disk) that never outlives the block."""
    with _naming(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
        folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> manifests.FileEntry:
    entry = _write(source.read_bytes(), target)
    shutil.copymode(source, target)
    return entry


def _write(data: bytes, target: Path) -> manifests.FileEntry:
    with _naming(target), target.open("wb") as file:
        file.write(data)
        file.flush()
        # Otherwise a power cut after the renaming could leave a complete name on empty files.
        os.fsync(file.fileno())
    return manifests.FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room or choose another folder" if full else "choose another folder"
        raise BundleError(f"cannot write {path}: {error.strerror}; {advice}") from error
