"""What a contestant is: something that turns a model into a callable."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

if TYPE_CHECKING:
    from benchmarks.case import Case

Array = NDArray[Any]

Run = Callable[[], Sequence[Array]]
"""One inference on the fixed input: all outputs, flat, which the next call may overwrite."""


class Peer(ABC):
    """A contestant.  `packages` are the distributions it needs; their versions are reported."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    @abstractmethod
    def start(self, case: "Case", threads: int) -> Run:
        """Convert and load the model of `case`; the callable computes in `threads` threads.

        Whatever the runtime raises for a model it cannot take is left as it is.
        """

    def missing(self) -> tuple[str, ...]:
        """The distributions that are not installed."""
        return tuple(package for package in self.packages if version(package) is None)


class FilePeer(Peer):
    """A contestant that loads files which were made before.

    `runtime` and `load` import neither torch nor a compiler unless the runtime itself does: a
    process that only runs the model is measured so.
    """

    @abstractmethod
    def prepare(self, case: "Case", folder: Path) -> None:
        """Convert the model of `case` into files in `folder`."""

    @abstractmethod
    def runtime(self) -> Any:
        """Import what `load` needs, and return it."""

    @abstractmethod
    def load(self, folder: Path, x: Array, threads: int) -> Run:
        """Load what `prepare` wrote, for running on `x` in `threads` threads."""

    def start(self, case: "Case", threads: int) -> Run:
        """See `Peer.start`; the files are made once per case."""
        return self.load(self.prepared(case), case.input, threads)

    @property
    def folder(self) -> str:
        """The name of its folder of files."""
        return self.name

    def prepared(self, case: "Case") -> Path:
        """The folder of files for `case`, made on first use."""
        folder = case.folder / self.folder
        if not folder.exists():
            partial = case.folder / f"{self.folder}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            self.prepare(case, partial)
            partial.rename(folder)
        return folder


def version(package: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
