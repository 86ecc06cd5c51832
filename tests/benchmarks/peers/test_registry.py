import pytest

from benchmarks.peers.registry import FILE_PEERS, OURS, PEERS, chosen


def test_contestants_go_by_their_names() -> None:
    assert all(name == peer.name for name, peer in PEERS.items())
    assert set(FILE_PEERS) == {"ours", *PEERS} - {"eager", "compile"}


def test_peers_are_chosen_by_name() -> None:
    assert [peer.name for peer in chosen("eager,compile")] == ["eager", "compile"]
    assert {peer.name for peer in chosen(None)} <= set(PEERS)
    for wrong in ("", "tensorrt", OURS.name):
        with pytest.raises(ValueError, match="choose from eager"):
            chosen(wrong)


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(PEERS["ncnn"]), "packages", ("no-such-package",))
    assert "ncnn" not in [peer.name for peer in chosen(None)]
    with pytest.raises(ValueError, match="ncnn needs no-such-package"):
        chosen("ncnn")
