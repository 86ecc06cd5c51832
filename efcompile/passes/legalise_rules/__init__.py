"""Rules of `legalise`, one file per family of ops; `RULES` is all of them."""

from efcompile.passes.legalise_rules import (
    attention,
    conv,
    elementwise,
    movement,
    norm,
    pool,
)
from efcompile.passes.legalise_rules.rule import Rule

RULES: dict[object, Rule] = {
    **attention.RULES,
    **conv.RULES,
    **elementwise.RULES,
    **movement.RULES,
    **norm.RULES,
    **pool.RULES,
}
"""ATen overload -> how it becomes dialect ops."""

__all__ = ["RULES", "Rule"]
