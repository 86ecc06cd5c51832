"""What is tuned at a time: one kernel at one shape."""

from dataclasses import dataclass
from typing import Any

from efcompile.kernels.kernel import Kernel, OpCall, Operand
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
        """A short text for people: the kernel, the result's shape, and from how many channels (of
        a fused pair of products: through how many) it is made."""
        made = f"{self.kernel.name} {'x'.join(str(n) for n in self.call.out.shape)}"
        for weight, axis in (("weight1", 0), ("weight", -1)):
            operand = self.call.args.get(weight)
            if isinstance(operand, Operand):
                return f"{made} of {operand.shape[axis]}"
        return made

    @property
    def key(self) -> tuple[str, str]:
        """What tells tasks of a target apart."""
        return self.kernel.name, repr(self.shape)

    @property
    def default(self) -> Any:
        """The analytic knobs: where tuning starts."""
        return self.kernel.default_knobs(self.shape, self.target)
