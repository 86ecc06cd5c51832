import signal

from efcompile.devices.signals import signal_text


def test_signals_have_names_and_some_only_numbers() -> None:
    assert signal_text(signal.SIGSEGV) == "signal 11 (SIGSEGV)"
    assert signal_text(200) == "signal 200"
