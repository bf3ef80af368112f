"""The page that a shop owner opens."""

import hashlib
import os
import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace

import attrs
import matplotlib
import numpy as np
import pytest

from retention.domain import Consent
from retention.errors import MissingExtraError
from retention.records import Consents
from retention.records.quality import Quality, SetAside
from retention.report import render
from retention.tiers import MarginBands

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    "{{ 7*7 }}{% raw %}",
    "]]></svg><svg onload=alert(1)>",
    "a\x00b\u202ec",
    "$\\frac{$",
    "&lt;b&gt;",
    "x" * 5000,
    "été 東京",
)
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "h1", "h2", "h3", "p"),
    *("small", "strong", "span", "bdi", "a", "ol", "ul", "li", "dl", "dt", "dd", "div", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
    *("svg", "g", "path", "text", "defs", "use", "clippath", "rect"),
}


@pytest.fixture(scope="module")
def night(nights):
    return nights.night()


@pytest.fixture(scope="module")
def html(night):
    return render(night)


@pytest.fixture
def page(html, read_page):
    return read_page(html)


def amounts(texts):
    return [Decimal(text.replace(",", "") or "0") for text in texts]


@pytest.mark.parametrize("broken", ["<p><b>no</p></b>", "<p>open", "</p>"])
def test_the_reader_of_these_tests_refuses_what_is_not_nested(read_page, broken):
    with pytest.raises(AssertionError):
        read_page(broken)


def test_the_page_is_one_file_that_loads_and_runs_nothing(html, page):
    assert {tag for tag, _ in page.elements} <= ALLOWED
    for tag, given in page.elements:
        assert not any(name.startswith("on") for name in given), tag
        assert "src" not in given
        assert all(value.startswith("#") or value == "leads.csv" for name, value in given.items() if "href" in name)
    assert "://" not in html
    assert "@import" not in html
    assert "url(" not in html.partition("</style>")[0]
    policy = next(given for tag, given in page.elements if given.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_the_page_says_its_language_fits_a_phone_and_describes_its_pictures(page):
    elements = page.elements
    assert ("html", {"lang": "en"}) in elements
    assert any(given.get("name") == "viewport" and "device-width" in given["content"] for _, given in elements)
    pictures = [given for tag, given in elements if tag == "svg"]
    assert len(pictures) == 5
    assert all(given["role"] == "img" and given["aria-label"] and "width" not in given for given in pictures)


def test_ids_are_unique_and_links_inside_the_page_lead_somewhere(page):
    ids = [given["id"] for _, given in page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    inside = {v[1:] for _, given in page.elements for k, v in given.items() if k == "href" and v.startswith("#")}
    clips = {v[5:-1] for _, given in page.elements for k, v in given.items() if k == "clip-path"}
    assert inside | clips <= set(ids)


def test_the_same_night_gives_the_same_bytes_whatever_my_plotting_settings(night, html):
    assert render(night) == html
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "patch.force_edgecolor": True}):
        assert render(night) == html


@pytest.mark.slow
def test_another_process_with_another_hash_seed_gives_the_same_bytes(nights, html):
    code = (
        "import hashlib, runpy, sys, types; from retention.report import render; "
        f"n = runpy.run_path({str(nights.path)!r}); "
        "night = n['night'](); "
        "print(hashlib.sha256(render(night).encode()).hexdigest())"
    )
    seeds = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seeds == {hashlib.sha256(html.encode()).hexdigest().encode()}


def test_every_lead_shown_has_who_what_why_when_and_whether_i_may(night, page):
    leads = night.plan.lead_list()
    assert 0 < len(leads) <= 25
    for i in range(len(leads)):
        row = leads.row(i)
        assert " ".join(row["why"].split())[1:] in page.text
        assert f"{i + 1}. {row['customer_id']} : {row['action']}" in page.text
        assert f"Channel: {row['channel']}. Window: {row['opens']} to {row['closes']} . Consent: {row['consent']}." in (
            page.text
        )
    assert page.texts.count("assumed") >= len(leads)


def test_a_long_list_is_cut_and_says_where_the_rest_is(nights, read_page):
    log = nights.receipts(400)
    channels = ("email", "phone", "post")
    allowed = Consents.of(Consent(customer_id=who, channel=c) for who in log.customers.labels for c in channels)
    night = nights.night(log, money=None, hours=None, consents=allowed)
    total = len(night.plan.lead_list())
    assert total > 25
    page = read_page(render(night))
    assert f"These are 25 of {total}; all of them are in leads.csv" in page.text


def test_the_headline_is_what_is_at_stake_a_day_and_who_is_behind_it(night, page):
    stake = sum(night.leak.at_risk_per_day)
    assert len(night.leak) > 0
    shown = f"{stake:,.2f}" if stake < 9.995 else f"{stake:,.0f}"
    assert f"{shown} GBP of margin at stake each day" in page.text
    assert f"through {len(night.leak)} valuable customers" in page.text
    assert "not a forecast" in page.text
    assert "No contact log was given" in page.text


def test_the_ledger_as_shown_adds_up_and_agrees_with_the_receipts(night, page):
    log, day = night.log, night.log.day
    now, before = np.datetime64("2011-12-31"), np.datetime64("2010-12-31")
    for name, money in (("revenue", log.revenue), ("margin", log.margin)):
        *parts, closing = amounts(page.column("The defection ledger", name))
        assert sum(parts) == closing
        opening = money.total((day > before - np.timedelta64(365, "D")) & (day <= before))
        assert abs(parts[0] - opening) < Decimal("0.01")
        assert abs(closing - money.total((day > before) & (day <= now))) < Decimal("0.01")
    *heads, left = amounts(page.column("The defection ledger", "customers"))
    assert sum(heads) == left
    assert night.audit.ledger.verdict() in page.text


def test_the_levers_as_shown_add_up_to_the_change_of_the_ledger(page):
    *parts, change = amounts(page.column("Growth levers", "change"))
    assert sum(parts) == change
    opening, *_, closing = amounts(page.column("The defection ledger", "margin"))
    assert abs(change - (closing - opening)) <= Decimal("0.02")


def test_pictures_say_what_the_tables_say(page):
    names, texts = page.column("The defection ledger", ""), page.column("The defection ledger", "margin")
    assert page.picture("Margin from") == [*names, *texts]
    drawn = page.picture("The top 10%")
    assert drawn == [*page.column("What the best", "the best"), *page.column("What the best", "share")]
    for caption in ("Tiers by expected margin", "Customers by expected margin", "Customers by the chance"):
        rows = page.table(caption)[1:-1]
        labels, of_all, of_margin = ([row[i] for row in rows] for i in (0, 2, 4))
        legend = ["share of customers", "share of expected margin"]
        assert page.picture(caption) == [*labels, *of_all, *of_margin, *legend]


def test_groups_of_customers_add_up_to_the_base(night, page):
    for caption, head in (
        ("Every customer once", "customers"),
        ("Tiers by expected", "customers"),
        ("Customers by expected", "customers"),
        ("Customers by the chance", "customers"),
    ):
        *parts, total = amounts(page.column(caption, head))
        assert sum(parts) == total == len(night.base)


def test_why_not_counts_every_decision_of_the_plan(nights, read_page):
    night = nights.night(money=0.0, hours=0.2, holdout=0.3)
    page = read_page(render(night))
    said = {row[0].split(":")[0].split(",")[0]: int(row[1]) for row in page.table("Every customer once")[1:]}
    reasons = night.plan.reason
    starts = {
        "a contact would pay": "no room in the budgets",
        "a contact would not earn what it costs": "not worth its cost",
        "every contact proposed was refused by a policy": "refused by",
        "nothing to gain": "no strategy proposes",
        "held out at random": "held out with",
    }
    for name, start in starts.items():
        assert said[name] == np.strings.startswith(reasons, start).sum(), name
    assert said["to be contacted"] == len(night.plan.contacts)
    vetoes = night.plan.vetoes
    assert len(vetoes) > 0
    for policy, proposals, customers in page.table("Refusals by policy")[1:]:
        mine = vetoes.policy == policy
        assert (int(proposals), int(customers)) == (mine.sum(), len(set(vetoes.customer_id[mine].tolist())))


def test_the_reading_is_accounted_for_to_the_cent(nights, read_page):
    quality = Quality(
        rows_in=1010,
        rows_kept=1000,
        money_in=Decimal("12345.67"),
        money_kept=Decimal("12000.005"),
        set_aside={
            "no customer": SetAside(7, Decimal("345.665"), 0),
            "<b>no date": SetAside(3, Decimal("0.00"), 2),
        },
        notes={"returns": 12},
    )
    log = nights.receipts()
    log = attrs.evolve(
        log, quality=quality, provenance=log.provenance.with_notes("returns: 12", "nine amounts in dollars")
    )
    night = nights.night(log)
    page = read_page(render(night))
    came, *parts = amounts(page.column("Lines and money", "money"))
    assert came == sum(parts) == quality.money_in
    came, *parts = amounts(page.column("Lines and money", "lines"))
    assert came == sum(parts) == 1010
    assert ["set aside: <b>no date (2 without a readable amount)", "3", "0.00"] in page.table("Lines and money")
    assert ["returns", "12"] in page.table("Kept, and")
    assert "Nine amounts in dollars." in page.text
    assert "Returns: 12" not in page.text
    wrong = attrs.evolve(quality, rows_kept=999)
    page = read_page(render(nights.night(attrs.evolve(nights.receipts(), quality=wrong))))
    assert "does not add up" in page.text


def test_every_assumption_is_shown_and_called_one(night, page):
    told = page.text.partition("Assumptions, and how")[2]
    assert len(night.plan.assumptions) > 0
    for a in night.plan.assumptions:
        assert f"{a.name} ({a.strategy})" in told
        assert f"{a.value:g} ± {a.spread:g} assumption {a.meaning[0].upper()}{a.meaning[1:]}." in told
    assert "No effect has been measured yet" in page.text
    assert night.plan.fingerprint() in page.text
    assert night.log.fingerprint() in page.text
    assert "stand-in" in page.text


def test_hostile_names_are_text_and_nothing_else(nights, read_page):
    def name(i):
        return HOSTILE[i % len(HOSTILE)] + (str(i) if i >= len(HOSTILE) else "")

    log = nights.receipts(60, names=name, category=name, currency="<i>GBP")
    rule = MarginBands(names=HOSTILE[:4], shares=(0.5, 0.8, 0.95))
    allowed = Consents.of(Consent(customer_id=name(i), channel="email") for i in range(0, 60, 2))
    night = nights.night(log, rule=rule, consents=allowed)
    html = render(night)
    assert len(html.encode("utf-8")) < 500_000
    assert not set(html) & set("\x00\u202e")
    page = read_page(html)
    assert {tag for tag, _ in page.elements} <= ALLOWED
    assert not any(key.startswith("on") or key == "src" for _, given in page.elements for key in given)
    leads = night.plan.lead_list().customer_id.tolist()
    assert any("<script>" in who for who in leads)
    for who in leads:
        if who.isprintable() and len(who) <= 80:
            assert who in page.texts
    assert page.column("Tiers by", "tier")[:-1] == list(HOSTILE[:4])[::-1]


def test_a_shop_without_currency_categories_or_margin_still_gets_its_page(nights, read_page):
    page = read_page(render(nights.night(nights.receipts(currency=None, category=None, margin=None))))
    assert "None" not in page.text
    assert "breadth is not measured" in page.text.casefold()
    assert "margin is taken to be revenue" in page.text


@pytest.mark.parametrize("as_of", ["2008-06-01", "2009-01-20", "2014-12-31"])
def test_an_empty_a_young_and_a_deserted_base_still_get_a_page(nights, read_page, as_of):
    page = read_page(render(nights.night(nights.receipts(12), as_of=np.datetime64(as_of).item())))
    *parts, total = amounts(page.column("Every customer once", "customers"))
    assert sum(parts) == total
    assert "nan" not in page.text.casefold().split()


def test_a_night_without_contacts_says_so(nights, read_page):
    page = read_page(render(nights.night(money=0.0, hours=0.0)))
    assert "Nobody, tonight." in page.text
    assert "0 contacts among 60 customers" in page.text


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_without_the_extra_one_error_says_what_to_install(night, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library}(.|\n)*extra 'report'"):
        render(night)


def test_importing_the_report_loads_neither_plotting_nor_templates():
    code = "import sys, retention.report; sys.exit(bool({'matplotlib', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_total_has_its_interval_where_the_model_gives_one(night, html):
    """The rows' bounds do not add up, so the page says which bounds are of the sum, and that there are none if so."""
    assert "It gives none for the total" in html
    bounded = SimpleNamespace(**{**vars(night), "worth": attrs.evolve(night.worth, total_bounds=(1234.4, 5678.6))})
    page = render(bounded)
    assert "<strong>1,234 to 5,679" in page
    assert "It gives none for the total" not in page
