"""Bundles that several tests read; none may change them (copy first)."""

from pathlib import Path

import pytest

from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from tests.bundle.programs import target_named, tiny_program


@pytest.fixture(scope="session")
def host_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny program for this machine, with every part."""
    return load_bundle(write_bundle(tiny_program(), tmp_path_factory.mktemp("host")))


@pytest.fixture(scope="session")
def host_library(host_bundle: Bundle) -> Library:
    """The same, loaded, with two threads."""
    return Library(host_bundle, 2)


def cross_bundle(folder: Path, target: str) -> Bundle:
    """The tiny program for another target; skips where zig is not installed."""
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    return load_bundle(write_bundle(tiny_program(target=target_named(target)), folder))


@pytest.fixture(scope="session")
def arm64_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny program for arm64 Linux."""
    return cross_bundle(tmp_path_factory.mktemp("arm64"), "arm64")


@pytest.fixture(scope="session")
def android_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny program for Android."""
    return cross_bundle(tmp_path_factory.mktemp("android"), "aarch64-linux-android")


@pytest.fixture(scope="session")
def iphone_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny program for an iPhone."""
    return cross_bundle(tmp_path_factory.mktemp("iphone"), "iphone12")
