"""Reports that no run would make, for what must hold of all."""

from hypothesis import strategies as st

from efcompile.report.document import Figure, Report
from tests.report import example

NAMES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "a|b`c`*d*_e_[f](http://g)",
            "</title></style></script>",
            "{{ 7 * 7 }} {% raw %}",
            "x" * 5000,
            "1. first\n- second\n# third",
            "@someone #1 &amp;",
        ]
    ),
)
# To a thousandth of a nanosecond, and up to thirty years.
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.25, 999.96, 999_999.0, 1e-3, 1e18, -1e18]),
    st.floats(-1e18, 1e18).map(lambda value: value if abs(value) > 1e-3 else 0.0),
)


@st.composite
def figures(draw: st.DrawFn, unit: str = "ns") -> Figure:
    low, value, high = sorted(draw(NUMBERS) for _ in range(3))
    made = example.Factory().figure(0)
    return made.model_copy(update={"value": value, "low": low, "high": high, "unit": unit})


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """A few rows, a few kernels or none, and names and numbers of all kinds."""
    factory = example.Factory(seed=draw(st.integers(0, 3)))
    made = factory.report(model=draw(NAMES), profiles=draw(st.booleans()))
    rows = [
        row.model_copy(
            update={
                "name": draw(NAMES),
                "summary": draw(NAMES),
                "cost": row.cost.model_copy(update={"total": draw(figures())}),
                "difference": None if index == 0 else draw(figures()),
                "leave_one_out": draw(st.one_of(st.none(), figures())),
                "kept": draw(st.sampled_from([None, True, False])),
                "refused": tuple(
                    entry.model_copy(update={"source": draw(NAMES), "reason": draw(NAMES)})
                    for entry in row.refused[:1]
                ),
            }
        )
        for index, row in enumerate(made.ledger.rows[: draw(st.integers(0, 3))])
    ]
    kernels = draw(st.integers(0, 3))
    profiles = tuple(
        profile.model_copy(
            update={
                "whole": draw(figures()),
                "arena_bytes": draw(st.sampled_from([0, 1, profile.arena_bytes])),
                "kernels": tuple(
                    kernel.model_copy(
                        update={
                            "kernel": draw(NAMES),
                            "sources": tuple(draw(st.lists(NAMES, max_size=3))),
                            "cost": draw(figures()),
                            "share": draw(NUMBERS),
                            "roofline_share": draw(st.one_of(st.none(), NUMBERS)),
                        }
                    )
                    for kernel in profile.kernels[:kernels]
                ),
                "tensors": profile.tensors[: draw(st.sampled_from([0, 2]))],
            }
        )
        for profile in made.profiles[: draw(st.integers(0, 2))]
    )
    ledger = made.ledger.model_copy(update={"rows": tuple(rows), "whole": draw(figures())})
    return made.model_copy(update={"ledger": ledger, "profiles": profiles})
