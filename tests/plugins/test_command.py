"""`retention plugins` tells who is on board, whatever they do."""

import json
import logging

import pytest

from retention.cli import main


@pytest.fixture
def site(lay):
    return lay(["retention-good", "retention-raises", "retention-prints", "retention-leaves"])


def test_the_listing_for_a_machine_is_json_though_a_plugin_prints_past_python(shell, site):
    done = shell("-m", "retention.cli", "plugins", "--json", path=site)
    assert done.returncode == 0
    told = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert {name: plugin["status"] for name, plugin in told.items()} == {
        "builtin": "active",
        "good": "active",
        "leaves": "failed",
        "prints": "active",
        "raises": "failed",
    }
    assert told["good"]["gives"]["contact_policy"] == ["good:policy"]
    assert told["raises"]["reason"] == "RuntimeError: out of luck"
    assert told["prints"]["notes"] == ["printed while loading: 'Welcome to our plugin!'"]
    assert "and from a shell" in done.stderr


def test_one_is_shown_with_its_whole_traceback(shell, site):
    done = shell("-m", "retention.cli", "plugins", "show", "retention_raises", path=site)
    assert done.returncode == 0
    assert done.stdout.startswith("raises (retention-raises 1.0): failed\nloaded in ")
    assert 'raise RuntimeError("out of luck")' in done.stdout
    done = shell("-m", "retention.cli", "plugins", "show", "good", "--json", path=site)
    told = json.loads(done.stdout)
    assert told["summaries"]["value_model"] == {"good:model": "of a stranger"}
    assert "retention_plan_made" in told["hooks"]
    assert told["seconds"] >= 0


def test_strict_is_a_check_for_ci_and_one_can_still_be_shown(shell, site):
    done = shell("-m", "retention.cli", "plugins", path=site, RETENTION_STRICT_PLUGINS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "plugin leaves (retention-leaves 1.0) failed to load: SystemExit: this shop is closed" in done.stderr
    assert "plugin raises (retention-raises 1.0) failed to load: RuntimeError: out of luck" in done.stderr
    assert "Traceback" not in done.stderr
    done = shell("-m", "retention.cli", "plugins", "show", "leaves", path=site, RETENTION_STRICT_PLUGINS="1")
    assert done.returncode == 0


def test_each_hook_that_is_called_and_each_thing_that_is_made_can_be_told(shell, site):
    done = shell("-m", "retention.cli", "plugins", path=site, RETENTION_TRACE="1")
    assert "good (retention-good 1.4): retention_value_models\n" in done.stderr
    assert "good (retention-good 1.4): retention_value_models\n" not in shell("-m", "retention.cli", "plugins").stderr


def test_without_being_asked_nothing_is_traced_and_no_handler_is_put_up(capsys, caplog):
    with caplog.at_level(logging.DEBUG, logger="retention.plugins"):
        assert main(["plugins"]) == 0
    assert "builtin (retention" in caplog.text
    assert logging.getLogger("retention.plugins").handlers == []
    assert capsys.readouterr().err == ""


def test_a_name_that_nobody_has_is_one_clear_error_with_the_nearest(capsys):
    assert main(["plugins", "show", "builtn"]) == 1
    assert capsys.readouterr().err == (
        "retention: plugin 'builtn'\n"
        "  rule: a plugin is shown by its name, or by that of a distribution with one plugin\n"
        "  remedy: did you mean 'builtin'? There are: builtin\n"
    )


def test_no_line_of_the_listing_is_wider_than_a_page(capsys):
    assert main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["builtin", "retention", lines[0].split()[2], "active"]
    assert max(map(len, lines)) <= 100
    assert main(["plugins", "show"]) == 0
    assert "win back whom the base has lost" in capsys.readouterr().out
