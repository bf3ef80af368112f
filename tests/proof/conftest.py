"""Journals made by hand, as fixtures."""

import importlib.util
from pathlib import Path

import pytest

from retention.journal import Journal


@pytest.fixture(scope="session")
def plan_of():
    spec = importlib.util.spec_from_file_location("nights", Path(__file__).parents[1] / "journal" / "nights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plan_of


@pytest.fixture
def journal():
    with Journal(":memory:") as opened:
        yield opened
