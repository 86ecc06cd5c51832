"""What is tuned at a time: one kernel at one shape."""

from dataclasses import dataclass
from typing import Any

from efcompile.kernels.kernel import Kernel, OpCall
from efcompile.targets.target import Target


@dataclass(frozen=True, eq=False)
class Task:
    """A distinct kernel of a model: `kernel` at `shape` on `target`, called `times` times by the
    modules `sources`; `call` is one of these calls, with its constants."""

    kernel: Kernel
    shape: Any
    target: Target
    call: OpCall
    times: int
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """A short text for people: kernel and shape of the result."""
        return f"{self.kernel.name} {'x'.join(str(n) for n in self.call.out.shape)}"

    @property
    def key(self) -> tuple[str, str]:
        """What tells tasks of a target apart."""
        return self.kernel.name, repr(self.shape)

    @property
    def default(self) -> Any:
        """The analytic knobs: where tuning starts."""
        return self.kernel.default_knobs(self.shape, self.target)
