"""A month of nights in one journal with kills at every kind of step, judged from the journal alone (a small form)."""

import importlib.util
import os
from pathlib import Path

import attrs
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")]


@pytest.fixture(scope="module")
def many_nights():
    spec = importlib.util.spec_from_file_location("many_nights", Path(__file__).parent / "many_nights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_rule_is_broken_and_nothing_lost_however_often_it_is_killed(many_nights, tmp_path):
    """`python tests/many_nights.py` is the whole of it: 60 nights of 20,000 customers and 200 kills."""
    town = many_nights.Town(500, 15, seed=2)
    kills = many_nights.live(town, tmp_path, 25, seed=2)
    wrong, counts = many_nights.judge(town, tmp_path)
    assert not any(wrong.values()), wrong
    assert sum(kills.values()) == 25
    assert len(kills) >= 6
    assert counts["nights"] == 15
    assert counts["contacts"] > 50
    assert counts["contacted twice or more"] > 10


def test_the_judge_sees_a_shop_without_policies_and_a_sender_without_memory(many_nights, tmp_path, monkeypatch):
    town = many_nights.Town(400, 5, seed=3)
    town.budget = {"money": 1000.0, "hours": 40.0}
    program = town.program

    def careless():
        return attrs.evolve(program(), policies=(), plugins=())

    monkeypatch.setattr(town, "program", careless)
    many_nights.live(town, tmp_path, 0, seed=3)
    outbox = tmp_path / "outbox.jsonl"
    outbox.write_bytes(outbox.read_bytes() + outbox.read_bytes().splitlines(keepends=True)[0])
    wrong, _ = many_nights.judge(town, tmp_path)
    seen = {rule for rule, count in wrong.items() if count}
    # A complaint that is open is among what the journal knows to have come up: such contacts are not even due.
    assert seen >= {"gap", "cap", "consent", "quiet hours", "do-not-contact", "a contact was made twice"}
    assert wrong["complaint"] == 0
