"""A program's contact policies: tables of its file, on top of the built-in ones."""

import pytest

import retention as rt
from retention.errors import ConfigError
from retention.plan import FrequencyCap, QuietHours, built_in_policies
from retention.plugins import open_registry


def _policies(tmp_path, text):
    path = tmp_path / "retention.toml"
    path.write_text(text, "utf-8")
    program = rt.Program.load(path)
    return program._policies(open_registry(installed=False))


def test_without_a_word_the_built_in_policies_are_in_force_and_none_that_needs_settings(tmp_path):
    assert sorted(p.name for p in _policies(tmp_path, "")) == sorted(p.name for p in built_in_policies())


def test_tables_come_on_top_of_the_built_in_policies(tmp_path):
    made = _policies(
        tmp_path,
        "[[policy]]\nkind = 'quiet-hours'\ntime_zone = 'Europe/Berlin'\n"
        "[[policy]]\nkind = 'frequency-cap'\nname = 'mail'\nchannel = 'email'\n",
    )
    assert made[len(built_in_policies()) :] == [
        QuietHours(time_zone="Europe/Berlin"),
        FrequencyCap(channel="email", name="mail"),
    ]


@pytest.mark.parametrize("text", ["[[policy]]\nkind = 'kap'", "policy = 3", "[policy]\nkind = 'consent'"])
def test_a_table_that_means_nothing_is_an_error(tmp_path, text):
    with pytest.raises(ConfigError):
        _policies(tmp_path, text)


def test_names_and_tables_together_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="by name or written"):
        _policies(tmp_path, "[plan]\npolicies = ['consent']\n[[policy]]\nkind = 'consent'")


def test_settings_that_nobody_would_read_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="one place"):
        _policies(tmp_path, "[options.'frequency-cap']\ndays = 3\n[[policy]]\nkind = 'consent'")


def test_a_policy_of_ones_own_name_may_be_made_by_the_registry():
    cap = open_registry(installed=False).make("contact_policy", "frequency-cap", name="mail", channel="email")
    assert cap == FrequencyCap(channel="email", name="mail")


def test_options_of_a_stage_that_does_not_exist_are_refused(tmp_path):
    """A misspelt cap must not be a cap that does not hold."""
    from retention.worlds.demo import make_demo

    program = rt.Program.load(make_demo(tmp_path / "shop"), options={"frequenzy-cap": {"max_contacts": 1}})
    with pytest.raises(ConfigError, match="frequency-cap"):
        program.run()
