"""Which trials of a task are measured again."""

from pathlib import Path

from efcompile.tuning.contender import FINALISTS, Contender
from efcompile.tuning.database import open_database
from efcompile.tuning.space import knob_space
from tests.tuning.model import task


def test_what_only_the_database_knows_can_win(tmp_path: Path) -> None:
    """The journal's lines may be damaged, and what the database knows is not run again."""
    one = task("mlp")
    space = knob_space(one)
    legal = [v for v in space.all() if v != space.start and space.legal(v)]
    illegal = next(v for v in space.all() if not space.legal(v))
    costs = [5e-7, 4e-7, 3e-7, 6e-7]
    with open_database(tmp_path) as database:
        for values, seconds in zip(legal, costs, strict=False):
            database.commit(database.record(one, values, seconds))
        database.commit(database.record(one, legal[4], 2e-6))
        database.commit(database.record(one, illegal, 1e-9))
        database.commit(database.record(one, space.start, 1e-9))
    with open_database(tmp_path) as database:
        history = database.history(one)
    assert Contender(one, space, space.start, 1000.0).finalists(history) == [
        legal[2],
        legal[1],
        legal[0],
    ]
    assert len(Contender(one, space, legal[2], 1000.0).finalists(history)) == FINALISTS
    assert Contender(one, space, space.start, 100.0).finalists(history) == []


def test_the_analytic_default_is_tried_before_what_won_elsewhere() -> None:
    one = task("mlp")
    space = knob_space(one)
    assert Contender(one, space, space.start, 1.0).starts(()) == [space.start]
