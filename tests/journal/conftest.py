"""The plans made by hand, as fixtures."""

import importlib.util
from pathlib import Path

import pytest

from retention.journal import Journal


@pytest.fixture(scope="session")
def nights_script():
    return Path(__file__).parent / "nights.py"


@pytest.fixture(scope="session")
def plan_of(nights_script):
    spec = importlib.util.spec_from_file_location("nights", nights_script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plan_of


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "shop.db") as opened:
        yield opened
