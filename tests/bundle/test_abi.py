import re

from efcompile.bundle import abi
from efcompile.bundle.render import NATIVE
from efcompile.lowering.program import ALIGNMENT

HEADER = (NATIVE / "ef.h").read_text()


def _defined(name: str) -> int:
    found = re.search(rf"#define {name} (\d+)", HEADER)
    assert found
    return int(found[1])


def test_numbers_are_those_of_the_header() -> None:
    assert _defined("EF_ABI") == abi.ABI
    assert _defined("EF_MAX_RANK") == abi.MAX_RANK
    assert _defined("EF_ALIGNMENT") == ALIGNMENT == abi.HEADER_BYTES


def test_statuses_are_those_of_the_header_in_order() -> None:
    found = re.search(r"typedef enum \{(.*?)\} ef_status;", HEADER, flags=re.DOTALL)
    assert found
    assert tuple(re.findall(r"^  (EF_\w+)", found[1], flags=re.MULTILINE)) == abi.STATUSES
