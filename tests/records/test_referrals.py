"""Who brought whom is read exactly, and is a forest or an error that names the rows."""

import datetime as dt

import numpy as np
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.domain import Referral
from retention.errors import ColumnError, ConfigError, ReadError
from retention.records import Referrals, read_referrals


def test_one_list_says_who_brought_whom_when_and_how_they_are_tied(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("referrer,referred,date,tie\nann,bea,2011-03-01,friend\nbea,cleo,,Sister\nann,dora,2011-04-01,\n")
    referrals = read_referrals(path)
    assert referrals["tie"].tolist() == ["friend", "family", "other"]
    assert referrals.customer("bea") == Referral(
        referrer_id="ann", referred_id="bea", at=dt.date(2011, 3, 1), tie="friend"
    )
    assert referrals["at"].tolist() == [dt.date(2011, 3, 1), None, dt.date(2011, 4, 1)]
    assert referrals["line"].tolist() == [2, 3, 4]
    assert referrals.until(dt.date(2011, 3, 15))["referred_id"].tolist() == ["bea", "cleo"]


def test_a_customer_list_with_a_column_for_who_brought_each_will_do_and_the_others_are_counted():
    frame = polars.DataFrame({"Customer ID": [1, 2, 3], "Referred by": [None, 1, 1]})
    referrals = read_referrals(frame)
    assert referrals["referrer_id"].tolist() == ["1", "1"]
    assert referrals["referred_id"].tolist() == ["2", "3"]
    assert referrals.provenance.notes[0].startswith("1 rows of")


@pytest.mark.parametrize(
    ("header", "ties"),
    [
        ("Referrer;Referred;Date;Tie", ("Friend", "family", "Co-Worker", "co worker", "neighbour")),
        ("Werber;Geworbener;Datum;Beziehung", ("Freundin", "Familie", "Kollege", "Kollegin", "sonstige")),
        ("Parrain;Filleul;Date;Lien", ("ami", "Famille", "Collègue", "collègue", "autre")),
        ("Recomendador;Referido;Fecha;Relación", ("Amiga", "familia", "Compañero", "colega", "otro")),
    ],
)
def test_referrals_are_read_in_english_german_french_and_spanish(tmp_path, header, ties):
    path = tmp_path / "r.csv"
    path.write_text("\n".join([header, *(f"0;{i};31.12.2011;{tie}" for i, tie in enumerate(ties, 1))]), "utf-8")
    assert read_referrals(path)["tie"].tolist() == ["friend", "family", "co-worker", "co-worker", "other"]


@pytest.mark.parametrize(
    ("rows", "told", "rule"),
    [
        ("zoe,zoe", "line 2: the customer refers herself", "two ends"),
        ("olga,zoe\nbea,zoe", "lines 2 and 3: these refer one and the same", "brought once, by one"),
        ("olga,zoe\nolga,zoe", "lines 2 and 3: these refer one and the same", "brought once, by one"),
        (
            "olga,zoe\nolga,yve\nbea,zoe\nbea,yve\ncleo,yve",
            r"lines 2 and 4: .*\(1 more such: lines 3, 5 and 6\)",
            "brought once, by one",
        ),
        ("zoe,olga\nx,y\nolga,zoe", "lines 2 and 4: these referrals run in a circle$", "one whom she brought"),
        (
            "zoe,olga\nolga,zoe\nolga,q\nb,c\nc,d\nd,b",
            r"lines [\d, ]+ and \d: .* circle \((2|3) rows more are in other circles\)",
            "one whom she brought",
        ),
        ("olga,", "line 2: no referred", "names its referred"),
        ("olga,bea\nolga", "line 3: too few or too many cells", "as many cells"),
    ],
)
def test_what_cannot_be_is_one_error_that_names_the_lines_and_never_a_customer(tmp_path, rows, told, rule):
    path = tmp_path / "r.csv"
    path.write_text("referrer,referred\n" + rows + "\n")
    with pytest.raises(ReadError, match="(?m)" + told) as caught:
        read_referrals(path)
    assert rule in caught.value.rule
    assert caught.value.remedy
    assert not any(name in str(caught.value) for name in ("zoe", "yve", "olga", "bea", "cleo"))


def test_a_tie_or_day_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("referrer,referred,tie,date\na,b,friend,2011-01-01\nb,c,penpal,2011-01-01\n")
    with pytest.raises(ReadError, match="line 3, column 'tie': 'penpal'"):
        read_referrals(path)
    path.write_text("referrer,referred,date\na,b,2011-02-30\n")
    with pytest.raises(ReadError, match="line 2, column 'date'"):
        read_referrals(path)
    with pytest.raises(ConfigError, match="day_first"):
        read_referrals(path, day_first="yes")
    with pytest.raises(ColumnError, match="referrer='who'"):
        read_referrals(path, referrer="who")
    with pytest.raises(ReadError, match="row 2: a tie of another kind"):
        Referrals.from_arrays(referrer_id=["a", "b"], referred_id=["b", "c"], tie=["friend", "freind"])
    with pytest.raises(ReadError, match="rows 1 and 3: no referrer"):
        Referrals.from_arrays(referrer_id=["", "a", None], referred_id=["a", "b", "c"])
    with pytest.raises(ReadError, match="no column for the referrer"):
        read_referrals(pandas.DataFrame({"customer": ["a"], "friend of": ["b"]}))


edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(edges)
def test_rows_are_taken_exactly_when_they_are_a_forest(pairs):
    """Against the plain definition: no self, one parent, and walking up always ends."""
    parent = {down: up for up, down in pairs}
    forest = len(parent) == len(pairs)
    depths = {}
    for one in {person for pair in pairs for person in pair}:
        at, steps = one, 0
        while at in parent and steps <= len(pairs):
            at, steps = parent[at], steps + 1
        forest &= steps <= len(pairs)
        depths[f"{one}"] = steps
    columns = {"referrer_id": [f"{up}" for up, _ in pairs], "referred_id": [f"{down}" for _, down in pairs]}
    if forest:
        tree = Referrals.from_arrays(**columns).tree()
        assert dict(zip(tree.people.tolist(), tree.depth.tolist(), strict=True)) == depths
    else:
        with pytest.raises(ReadError):
            Referrals.from_arrays(**columns)


@given(st.integers(2, 40), st.randoms(use_true_random=False))
def test_the_rows_named_for_a_circle_are_those_of_the_circle(n, random):
    rows = [(f"c{i}", f"c{(i + 1) % n}") for i in range(n)] + [(f"c{i}", f"leaf{i}") for i in range(n)]
    random.shuffle(rows)
    on = [row for row, (_, down) in enumerate(rows, 1) if down.startswith("c")]
    with pytest.raises(ReadError) as caught:
        Referrals.from_arrays(referrer_id=[up for up, _ in rows], referred_id=[down for _, down in rows])
    named = caught.value.given.split(":")[0].removeprefix("referrals, rows ")
    listed = [int(word) for word in named.replace(" and ", ", ").split(", ") if word.isdigit()]
    assert listed == on[: len(listed)]
    assert len(listed) == min(n, 10)


def test_no_referrals_are_a_table_too():
    none = Referrals.none()
    assert len(none) == 0
    assert len(none.tree().people) == 0
    assert none.to_frame(like="pandas").shape == (0, 5)


def test_a_real_referral_tree_hangs_together_as_its_study_says(shared_data):
    """New York jazz musicians who recruited each other with coupons."""
    path = shared_data("referral_networks/jazz_recruits.csv")
    referrals = read_referrals(path, referrer="recruiter", referred="id")
    tree = referrals.tree()
    assert len(referrals) == 251
    assert "13 rows" in referrals.provenance.notes[0]  # ten seeds, and three whose coupon matches nobody's
    assert len(np.unique(referrals.referrer_id)) == 118
    assert tree.depth.max() == 11


def test_who_names_whom_in_a_village_is_no_referral_tree(shared_data):
    """Nominations are not referrals: many name the same neighbour."""
    frame = pandas.read_csv(shared_data("referral_networks/korea_edges.csv.gz"))[["ego", "alter"]]
    with pytest.raises(ReadError, match="one and the same customer"):
        read_referrals(frame, referrer="ego", referred="alter")
