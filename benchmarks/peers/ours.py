"""efcompile itself, as its users call it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.peer import Array, FilePeer, Run

if TYPE_CHECKING:
    from benchmarks.case import Case


class Ours(FilePeer):
    """A bundle for this machine, or for less of it (`cpu`, `threads`), through `efcompile.load`."""

    name = "ours"
    packages = ("apache-tvm",)

    def __init__(self, cpu: str | None = None, threads: int | None = None) -> None:
        self._cpu = cpu
        self._threads = threads

    @property
    def folder(self) -> str:
        """See `FilePeer.folder`: each number of threads has a bundle of its own."""
        return self.name if self._threads is None else f"{self.name}-{self._threads}"

    def prepare(self, case: "Case", folder: Path) -> None:
        """Compile, and leave the bundle's path in a file."""
        import efcompile

        name = case.source.rpartition(":")[2]
        compiled = efcompile.optimize(
            case.model,
            (case.x,),
            target="host",
            cpu=self._cpu,
            threads=self._threads,
            name=name,
            out=folder,
        )
        (folder / "path").write_text(compiled.bundle.path.name)

    def runtime(self) -> Any:
        """See `FilePeer.runtime`."""
        import efcompile.api

        return efcompile.api

    def load(self, folder: Path, x: Array, threads: int) -> Run:
        """See `FilePeer.load`."""
        compiled = self.runtime().load(bundle_path(folder), threads=threads)

        def run() -> list[Array]:
            result = compiled(x)
            return [result] if isinstance(result, np.ndarray) else _leaves(result)

        return run


def bundle_path(folder: Path) -> Path:
    """The bundle in a folder that `Ours.prepare` wrote."""
    return folder / (folder / "path").read_text()


def _leaves(result: Any) -> list[Array]:
    from torch.utils import _pytree as pytree

    return pytree.tree_leaves(result)
