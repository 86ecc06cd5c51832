"""``python -m efcompile``."""

from efcompile.cli.main import run

run()
