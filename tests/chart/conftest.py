"""The built gateway, for tests that ask it."""

import os
import pathlib

import pytest

from chart import ROOT


@pytest.fixture(scope="session")
def binary() -> pathlib.Path:
    """The gateway the run has built."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug/qiwi-gateway"
    assert path.exists(), f"{path}: run cargo build first"
    return path
