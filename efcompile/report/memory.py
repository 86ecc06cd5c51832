"""The arena's tensors over the calls of a network."""

from efcompile.bundle.manifest import Manifest
from efcompile.report.document import Tensor


def tensors(manifest: Manifest) -> tuple[Tensor, ...]:
    """Every tensor of the memory plan, in the order of their first write."""
    return tuple(
        Tensor(
            name=entry.name,
            offset=entry.offset,
            bytes=entry.bytes,
            first=entry.first,
            last=entry.last,
        )
        for entry in manifest.plan
    )


def alive(plan: tuple[Tensor, ...], calls: int) -> tuple[int, ...]:
    """Bytes of tensors that each of the network's calls needs, or needs to leave alone."""
    return tuple(sum(t.bytes for t in plan if t.first <= i <= t.last) for i in range(calls))
