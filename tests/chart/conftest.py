"""The built gateway, for tests that ask it."""

import os
import pathlib

import pytest

from chart import ROOT
from running import Running


@pytest.fixture(scope="session")
def binary() -> pathlib.Path:
    """The gateway the run has built."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug/qiwi-gateway"
    assert path.exists(), f"{path}: run cargo build first"
    return path


@pytest.fixture(scope="session")
def running(binary, tmp_path_factory):
    """A gateway with its sandbox."""
    gateway = Running(binary, tmp_path_factory.mktemp("gateway"))
    try:
        gateway.wait()
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture(scope="session")
def page(running) -> str:
    """The metrics page of a gateway that has been called."""
    running.exercise()
    return running.metrics()
