"""What a user is told when somebody's stage goes wrong: whose it was, and where to look."""

import json
import os
import subprocess
import sys

import pytest

from retention.errors import PluginError, PluginLoadError
from retention.plugins import hookimpl, open_registry, show, using
from retention.program import Program
from retention.testing import sample_shop
from retention.verbs import appraise
from retention.worlds.demo import make_demo


class Misspelt:
    @hookimpl
    def retention_contact_polices(self):
        return []


def test_options_of_a_stage_whose_plugin_failed_say_that_it_failed(monkeypatch):
    program = Program(options={"no-such-thing": {"days": 3}})
    broken = open_registry([Misspelt()], installed=False, strict=False)
    with pytest.raises(PluginLoadError, match="failed to load: Misspelt") as caught:
        program._check_options(broken)
    assert caught.value.__cause__ is broken.failures[0].error


def test_a_contribution_asked_for_as_a_plugin_says_whose_it_is():
    with pytest.raises(Exception, match="builtin gives") as caught:
        show("quiet-hours")
    assert "retention plugins show builtin" in caught.value.remedy


@pytest.mark.parametrize(
    ("column", "wrong", "told"),
    [
        ("value", float("inf"), "without end"),
        ("value_low", 1e12, "above the upper"),
        ("p_alive", 1.5, "no probability"),
    ],
)
def test_a_valuation_that_cannot_be_is_an_error_with_the_models_name(column, wrong, told):
    import attrs

    shop = sample_shop()
    values = shop.valuation.columns()[column].copy()
    values[3] = wrong

    class Odd:
        name = "odd"

        def fit(self, histories):
            return self

        def p_alive(self, histories):
            return shop.valuation.p_alive

        def expected_purchases(self, histories, days):
            return shop.valuation.expected_purchases

        def value(self, histories, *, horizon_days, discount_rate, interval=0.9):
            return attrs.evolve(shop.valuation, **{column: values})

        def to_dict(self):
            return {}

        @classmethod
        def from_dict(cls, data):
            return cls()

    with using(Odd(), installed=False), pytest.raises(PluginError, match=f"'odd' answered with.*{told}"):
        appraise(shop.histories, model="odd")


def test_a_policy_that_raises_is_told_on_standard_error_with_its_place(tmp_path):
    config = make_demo(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from retention.plugins import Contribution, hookimpl\n"
        "class Faints:\n"
        "    name = 'faints'\n"
        "    def review(self, proposals, situation):\n"
        "        raise TypeError('customer 10304 is ill')\n"
        "@hookimpl\n"
        "def retention_contact_policies():\n"
        "    yield Contribution(name='faints', summary='faints', make=Faints)\n"
    )
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[retention]\nmine = mine\n")
    text = config.read_text("utf-8").replace("[plan]", "[plan]\npolicies = ['consent', 'faints']", 1)
    config.write_text(text, "utf-8")
    command = [sys.executable, "-m", "retention.cli", "run", str(config), "--quiet"]
    done = subprocess.run(
        command, env=dict(os.environ, PYTHONPATH=str(tmp_path)), capture_output=True, text=True, check=False
    )
    assert "the policy 'faints' raised TypeError (mine.py, line 5)" in done.stderr
    assert "10304" not in done.stderr
    assert "not on file" in done.stderr
    config.write_text(text.replace("['consent', 'faints']", "['consent']"), "utf-8")
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    night = json.loads(again.stdout)
    assert night["contacts"] > 0, "once the guard is mended the night is run"
    assert night["already_in_journal"] is False
