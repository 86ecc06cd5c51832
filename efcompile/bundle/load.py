"""Opening a bundle: every byte is checked before any of it is run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from efcompile.bundle.abi import ABI
from efcompile.bundle.manifest import NAME, Manifest, parse
from efcompile.errors import BundleError


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files had the right checksums when it was opened."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """The path of one of its files; `BundleError` if it was made without that one."""
        if name not in self.manifest.files:
            raise BundleError(
                f"{self.path} has no {name}; it has {', '.join(sorted(self.manifest.files))}. "
                "Compile the model again with that part."
            )
        return self.path / name


def load_bundle(path: Path) -> Bundle:
    """Open the bundle in the directory `path`, for whatever machine it was made.

    Raises `BundleError` if it is no bundle, if a file is missing or differs from what was
    written (naming it), or if its interface is another version's.
    """
    manifest = parse(_read(path, NAME, "Is this the directory that `optimize` printed?"))
    if manifest.abi != ABI:
        raise BundleError(
            f"{path} has version {manifest.abi} of the C interface and this efcompile reads "
            f"version {ABI}: compile the model again, or install the efcompile that wrote it "
            f"({manifest.versions.get('efcompile', 'unknown')})"
        )
    for name, entry in manifest.files.items():
        if _digest(path, name) != (entry.bytes, entry.sha256):
            raise BundleError(
                f"{path / name} is damaged: its checksum is not the manifest's. "
                "Write the bundle again."
            )
    return Bundle(path, manifest)


def _read(path: Path, name: str, advice: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise _unreadable(path / name, error, advice) from error


def _digest(path: Path, name: str) -> tuple[int, str]:
    """A file's size and SHA-256, without holding it in memory: weights are large, and mapped."""
    try:
        with (path / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest
    except OSError as error:
        raise _unreadable(path / name, error, "Write the bundle again.") from error


def _unreadable(path: Path, error: OSError, advice: str) -> BundleError:
    return BundleError(f"cannot read {path}: {error.strerror}. {advice}")
