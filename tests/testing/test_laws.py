"""Laws are asked in three ways and tell the same; what is known to fail is named, and strictly so."""

from pathlib import Path

import pytest

from retention.errors import ConfigError
from retention.plan.policies import FrequencyCap
from retention.plugins import KINDS
from retention.testing import (
    BrokenLaws,
    Law,
    NotAsked,
    check_contact_policy,
    conformance,
    kit,
    kits,
    report,
    run,
    sample_histories,
)
from retention.testing.laws import kind_of
from retention.tiers import MarginBands
from retention.timing.backtest import LogT
from retention.value import BGNBD

pytest_plugins = ["pytester"]


def is_even(subject):
    """It is even."""
    if subject % 2:
        raise AssertionError(f"{subject} is odd")


def is_small(subject):
    """It is small,
    smaller than ten."""
    if subject < 0:
        raise NotAsked("it is negative")
    if subject >= 10:
        raise ZeroDivisionError("<b>too large</b>")


TWO = [Law.of(is_even), Law.of(is_small)]


class Shouts(FrequencyCap):
    """Breaks one law, and does not say that it is monotone."""

    monotone = False

    def review(self, proposals, situation):
        print("reviewing")
        return super().review(proposals, situation)


BROKEN = "the_world_stays_as_it_was"


def test_a_report_tells_law_by_law_what_was_found():
    told = run(TWO, 13, who="thirteen")
    assert list(told) == ["is_even", "is_small"]
    assert told["is_even"] == "failed: 13 is odd"
    assert told["is_small"] == "failed: raised ZeroDivisionError: <b>too large</b>"
    assert not told.passed
    assert "2 of 2 laws broken" in repr(told)
    assert "&lt;b&gt;too large&lt;/b&gt;" in told._repr_html_()
    assert "<b>" not in told._repr_html_()
    assert told.to_dict()["findings"][0] == {"law": "is_even", "status": "failed", "seen": "13 is odd"}
    with pytest.raises(BrokenLaws) as caught:
        told.raise_if_broken()
    assert caught.value.broken == told.broken
    assert run(TWO, -2)["is_small"] == "not asked: it is negative"
    assert run(TWO, -2).passed
    run(TWO, 4).raise_if_broken()
    assert run(TWO, 4)["is_even"] == "passed"
    with pytest.raises(KeyError):
        told["is_prime"]
    assert TWO[1].ask == "It is small, smaller than ten."


def test_an_expected_failure_is_no_finding_and_one_that_passes_is():
    assert run(TWO, 3, expected_failures={"is_even": "threes are odd"}).passed
    assert run(TWO, 3, expected_failures={"is_even": "threes are odd"})["is_even"] == "expected failure: threes are odd"
    told = run(TWO, 4, expected_failures={"is_even": "threes are odd"})
    assert told.broken == {"is_even": "is kept, and was expected to fail: threes are odd"}


@pytest.mark.parametrize("expected", [{"is_evn": "a slip of the pen"}, {"is_even": " "}, {"is_even": None}])
def test_an_expected_failure_is_a_law_with_a_reason(expected):
    with pytest.raises(ConfigError, match="the expected failure"):
        run(TWO, 3, expected_failures=expected)
    with pytest.raises(ConfigError, match="the expected failure"):
        conformance(FrequencyCap(), expected_failures=expected)


def test_the_three_ways_agree():
    found = report(Shouts)
    assert list(found.broken) == [BROKEN]
    with pytest.raises(BrokenLaws, match="printed to stdout"):
        check_contact_policy(Shouts)
    params = conformance(Shouts)
    assert [param.id for param in params] == list(found)
    for param in params:
        (law,) = param.values
        if param.id == BROKEN:
            with pytest.raises(AssertionError, match="printed to stdout"):
                law()
        elif found[param.id].startswith("not asked"):
            with pytest.raises(pytest.skip.Exception):
                law()
        else:
            law()
    check_contact_policy(Shouts, expected_failures={BROKEN: "it is loud"})


def test_pytest_runs_each_law_as_a_test_and_an_expected_failure_as_strict_xfail(pytester):
    pytester.makepyfile(
        """
        import pytest
        from retention.plan.policies import FrequencyCap
        from retention.testing import conformance

        class Shouts(FrequencyCap):
            monotone = False

            def review(self, proposals, situation):
                print("reviewing")
                return super().review(proposals, situation)

        @pytest.mark.parametrize("law", conformance(Shouts, expected_failures={"the_world_stays_as_it_was": "loud"}))
        def test_loud(law):
            law()

        @pytest.mark.parametrize("law", conformance(FrequencyCap, expected_failures={"has_a_name": "it has one"}))
        def test_strict(law):
            law()
        """
    )
    told = pytester.runpytest("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    asked = len(kit("contact_policy").laws)
    told.assert_outcomes(passed=2 * asked - 3, xfailed=1, skipped=1, failed=1)


def test_every_kind_has_laws_and_tests_that_break_them():
    assert {one.kind for one in kits()} == {*KINDS, "plugin"}
    for one in kits():
        names = [law.name for law in one.laws]
        assert len(set(names)) == len(names)
        assert all(law.ask.endswith(".") for law in one.laws)
        module = one.subject.__module__.rsplit(".", 1)[-1]
        assert (Path(__file__).parent / f"test_{module}.py").exists()


def test_what_kind_a_thing_is_can_be_seen():
    assert kind_of(BGNBD()) == "value_model"
    assert kind_of(BGNBD().fit(sample_histories(10))) == "value_model"
    assert kind_of(LogT) == "timing"
    assert kind_of(MarginBands) == "tiering_rule"
    assert kind_of("retention.plugins.builtin") == "plugin"
    with pytest.raises(ConfigError, match="a dict as a thing to be checked"):
        kind_of({})
    with pytest.raises(ConfigError, match="did you mean 'timing'"):
        kit("timings")
