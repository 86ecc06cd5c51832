"""Small profiles for tests."""

from efcompile.report.document import Figure, KernelRow, Profile, Provenance, SurveyClass, Tensor

PROVENANCE = Provenance(
    device="local",
    target="host",
    machine="a machine",
    threads=1,
    kind="measured",
    versions={},
    date="2026-01-31",
)


def figure(value: float, unit: str = "ns") -> Figure:
    """An exact figure."""
    fields = {"value": value, "low": value, "high": value, "unit": unit, "samples": 1}
    return Figure.model_validate({**fields, "provenance": "here"})


def row(
    index: int,
    kernel: str,
    sources: str,
    survey_class: SurveyClass,
    cost: float,
    unit: str = "ns",
) -> KernelRow:
    """A call of 1000 operations and 500 bytes."""
    return KernelRow(
        index=index,
        symbol=f"net_k_{kernel}_abcdef",
        kernel=kernel,
        op=kernel,
        survey_class=survey_class,
        sources=tuple(sources.split()),
        cost=figure(cost, unit),
        share=cost / 100,
        flops=1000,
        moved_bytes=500,
        roofline_share=0.5 if unit == "ns" else None,
    )


def profile(unit: str = "ns") -> Profile:
    """Four calls of 100 together, 104 as a whole; two share a kernel."""
    rows = (
        row(0, "conv", "stem.conv stem.bn", "patch embed", 10, unit),
        row(1, "gemm", "blocks.0.fc", "linear/conv", 20, unit),
        row(2, "softmax", "blocks.1.attn", "attention", 40, unit),
        row(3, "gemm", "blocks.1.fc blocks.1", "linear/conv", 30, unit),
    )
    return Profile(
        stage="last",
        whole=figure(104 if unit == "ns" else 100, unit),
        peaks={"fma": figure(200e9, "FLOP/s"), "copy": figure(1e10, "B/s")} if unit == "ns" else {},
        kernels=rows,
        arena_bytes=128,
        tensors=(Tensor(name="a", offset=0, bytes=64, first=0, last=1),),
    )
