"""The key tables, against names and shapes listed from the authors' own models."""

import hashlib

import pytest
import torch

from efcompile.models.official_keys import (
    OFFICIAL_V1,
    OFFICIAL_V2,
    Dialect,
    recognise,
    translate,
)
from efcompile.models.zoo import create
from tests.models.official import official_state

# SHA-256 over the sorted lines "name [shape]" of the authors' models as constructed, buffers
# included.
LISTED = {
    "efficientformer_l1": "30fcb3e602a4c24a7cde21ed6043dd119893100abc3f70fa1f44a6f0a013ca3f",
    "efficientformer_l3": "180cc9a5c08d1e868092b64dc5ebac293d1d8022cdfe5ad827c719fb90d5d83a",
    "efficientformer_l7": "434dad0aefd049ec2413db9df8ac4dd3d436a75e4ef346c955e1a410d99927f8",
    "efficientformerv2_s0": "7b0e4cfab83057c6b554895b41f29f3eac6f959a2f501e92b7d1eded98612ab3",
    "efficientformerv2_s1": "c2f441c2ceafed1369fddd4462c244961b90da652cb9cf20745bb916728eaeca",
    "efficientformerv2_s2": "8a78ee09ee022c541315343652334c899d1913aaeea31494aaaa94ae32219f3b",
    "efficientformerv2_l": "e99e8397381802d0399d3ee56e138ae6c235dae3d5574b286ebb49de409e878a",
}


@pytest.mark.parametrize(("name", "digest"), LISTED.items())
def test_synthesised_names_are_the_authors(name: str, digest: str) -> None:
    """The tests' own writer of official checkpoints writes what the authors' code would."""
    with torch.device("meta"):
        state = official_state(create(name))
    lines = "\n".join(sorted(f"{key} {list(tensor.shape)}" for key, tensor in state.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == digest


@pytest.mark.parametrize("name", LISTED)
def test_every_name_is_translated(name: str) -> None:
    with torch.device("meta"):
        model = create(name)
        state = official_state(model)
    dialect = recognise(state)
    assert dialect is (OFFICIAL_V2 if "v2" in name else OFFICIAL_V1)
    translated = translate(state, dialect)
    buffers = {key: buffer for key, buffer in model.named_buffers() if key in translated}
    assert {key: tensor.shape for key, tensor in translated.items()} == {
        key: tensor.shape for key, tensor in (model.state_dict() | buffers).items()
    }
    assert len(translated) == len(state)


@pytest.mark.parametrize("name", LISTED)
def test_our_names_are_no_dialect(name: str) -> None:
    with torch.device("meta"):
        assert recognise(create(name).state_dict()) is None


def test_order_does_not_matter() -> None:
    with torch.device("meta"):
        state = official_state(create("efficientformerv2_s0"))
    assert recognise(reversed(list(state))) is OFFICIAL_V2


def test_no_rename_is_idle() -> None:
    """Each one changes some key of some model: a table entry that never applies is a mistake."""

    def renamed(dialect: Dialect, names: tuple[str, ...]) -> set[str]:
        used = set()
        with torch.device("meta"):
            keys = [key for name in names for key in official_state(create(name))]
        for key in keys:
            for rename in dialect.renames:
                after = rename.apply(key)
                if after != key:
                    used.add(rename.pattern)
                key = after
        return used

    v1 = tuple(name for name in LISTED if "v2" not in name)
    v2 = tuple(name for name in LISTED if "v2" in name)
    for dialect, names in ((OFFICIAL_V1, v1), (OFFICIAL_V2, v2)):
        assert renamed(dialect, names) == {rename.pattern for rename in dialect.renames}
