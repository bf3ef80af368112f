"""Each law of reports catches one made to break it, and the library's own keep them all."""

import html
from types import SimpleNamespace

import numpy as np
import pytest

from retention.plugins import open_registry
from retention.program import Program
from retention.testing import check_report, report, run, sample_shop
from retention.testing.reports import KIT, LAWS


class Good:
    name = "good"
    file_name = "night.html"

    def render(self, night):
        rows = "".join(f"<li>{html.escape(str(who))}</li>" for who in night.base.customer_id)
        return f"<!doctype html><ul>{rows}</ul>"


class Nameless(Good):
    name = ""


class WritesWhereItLikes(Good):
    file_name = "../night.html"


class GivesAList(Good):
    def render(self, night):
        return [super().render(night)]


class SaysHowOften(Good):
    def __init__(self):
        self.times = 0

    def render(self, night):
        self.times += 1
        return f"{super().render(night)}<p>{self.times}</p>"


class Trusts(Good):
    def render(self, night):
        return f"<!doctype html><ul>{''.join(night.base.customer_id)}</ul>"


class Rounds(Good):
    def render(self, night):
        night.base.margin.flags.writeable = True
        np.rint(night.base.margin, out=night.base.margin)
        return super().render(night)


class ShowsMore(Good):
    def render(self, night):
        np.set_printoptions(threshold=5)
        return super().render(night)


WRONG = [
    (Nameless, "has_a_name"),
    (WritesWhereItLikes, "has_a_file_name"),
    (GivesAList, "gives_text_or_bytes"),
    (SaysHowOften, "the_same_night_gives_the_same_bytes"),
    (Trusts, "ids_are_text"),
    (Rounds, "night_untouched"),
    (ShowsMore, "the_world_stays_as_it_was"),
]


def evening():
    """A night of which a report needs the base alone, in arrays that nobody else holds."""
    base = sample_shop().histories
    return SimpleNamespace(base=base.take(np.arange(len(base))))


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_report_breaks_the_law_it_was_made_to_break(kind, law):
    assert law in run([one for one in LAWS if one.name == law], KIT.subject(kind, night=evening())).broken


def test_every_law_has_a_report_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_a_plain_report_keeps_all_laws_and_one_that_is_no_html_need_not_escape():
    class Ids(Good):
        file_name = "ids.txt"

        def render(self, night):
            return "\n".join(night.base.customer_id).encode()

    check_report(Good, evening())
    check_report(Ids, evening())
    assert report(Ids, night=evening())["ids_are_text"] == "not asked: the page is not HTML"
    assert report(Good)["ids_are_text"] == "not asked: no night was given to tell of"


REGISTRY = open_registry(installed=False)


@pytest.fixture(scope="module")
def night():
    shop = sample_shop()
    return Program().run(shop.log, as_of=shop.as_of)


@pytest.mark.parametrize("name", REGISTRY.names("report"))
def test_our_reports_keep_all_laws(name, night):
    check_report(REGISTRY.make("report", name), night)
