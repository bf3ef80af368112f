"""How numbers and words are written."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from retention.report._text import cents, clean, exact, forecast, percent, sentence

money = st.decimals(min_value=-(10**9), max_value=10**9, places=6)


@given(st.lists(money, max_size=8))
def test_amounts_shown_to_the_cent_add_up_and_are_each_within_a_cent(parts):
    parts = [*parts, -sum(parts, Decimal(0))]
    shown = cents(parts)
    assert sum(shown) == 0
    assert all(abs(a - b) < Decimal("0.01") and b == round(b, 2) for a, b in zip(parts, shown, strict=True))


@given(st.text(st.characters()))
def test_cleaned_text_can_be_written_and_is_cleaned_once(text):
    once = clean(text)
    once.encode("utf-8")
    assert clean(once) == once
    assert not any(ord(c) < 32 and c not in "\n\t" for c in once)


def test_ordinary_names_in_any_script_stay_as_they_are():
    for name in ("O'Brien & Söhne", "Łódź", "नमस्ते", "👩‍🍳", "東京", "עברית"):
        assert clean(name) == name


def test_unknown_numbers_are_called_unknown():
    assert forecast(float("nan")) == percent(None) == percent(float("nan")) == "unknown"


def test_nothing_is_never_less_than_nothing():
    assert (exact(-0.001), exact(Decimal("-0.001"), sign=True)) == ("0.00", "0.00")
    assert (forecast(-0.001), forecast(-0.0), percent(-0.0004)) == ("0", "0", "0.0%")


def test_sentences_begin_and_end_as_sentences_do():
    assert (sentence("lost means left"), sentence("Done."), sentence("")) == ("Lost means left.", "Done.", "")
