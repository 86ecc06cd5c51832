from dataclasses import replace

import pytest

from efcompile.report.machine import Level, Machine, measure
from efcompile.targets.resolve import resolve


@pytest.fixture(scope="module")
def machine() -> Machine:
    return measure(1)


def test_the_rates_are_those_of_vector_units(machine: Machine) -> None:
    # No scalar unit reaches an element per port and cycle times eight lanes; none does 8 GHz.
    per_instruction = machine.fma / 2 / machine.lanes
    assert 0.5 < per_instruction < 32
    for rate in (machine.add, machine.load, machine.store):
        assert 0.5 < rate / machine.lanes < 32


def test_further_levels_are_slower_to_read(machine: Machine) -> None:
    inner, *_, memory = machine.levels
    assert 4 * machine.load > inner.read > memory.read > 0.5
    assert inner.copy > memory.copy > 0.5


def test_a_sockets_last_level_is_not_one_cores() -> None:
    target = replace(resolve("host"), llc_bytes=480 << 20)
    levels = {level.name: level.bytes for level in measure(1, target).levels}
    assert list(levels) == ["L2", "L3", "memory"]
    assert target.l2_bytes < levels["L3"] <= 64 << 20


def test_the_innermost_level_that_holds_the_bytes_is_taken() -> None:
    levels = (Level("L2", 100, 8.0, 8.0), Level("memory", 1 << 62, 2.0, 2.0))
    machine = Machine(2, 8, 100.0, 1.0, 1.0, 1.0, levels)
    assert machine.level(100).name == "L2"
    assert machine.level(101).name == "memory"
    assert machine.level(1 << 63).name == "memory"
