"""Signals as people know them."""

import signal


def signal_text(number: int) -> str:
    """A signal by number and name: ``signal 11 (SIGSEGV)``."""
    known = {each.value: each.name for each in signal.Signals}
    return f"signal {number} ({known[number]})" if number in known else f"signal {number}"
