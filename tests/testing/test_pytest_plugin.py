"""The fixtures are there for a plugin's tests, and nothing is imported before one is asked for."""

import os

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file in a pytest of its own; the plugin is named, so that any environment will do."""
    for name in [name for name in os.environ if name.startswith("PYTEST_") and name != "PYTEST_CURRENT_TEST"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def go(code, *options):
        pytester.makepyfile(code)
        return pytester.runpytest_subprocess("-p", "retention.testing.pytest_plugin", "-q", *options)

    return go


def test_shop_is_the_sample_shop(run):
    result = run(
        """
        def test_it(shop):
            from retention.testing import sample_shop
            assert shop is sample_shop()
            assert len(shop.proposals) > len(shop.histories) > 0
        """
    )
    result.assert_outcomes(passed=1)


def test_plugin_manager_has_the_plugins_a_test_names_and_no_other(run, monkeypatch):
    """Whatever the environment selects or blocks; and nothing is left for the next test."""
    monkeypatch.setenv("RETENTION_BLOCKED_PLUGINS", "builtin")
    result = run(
        """
        import pytest
        import retention as rt
        from retention.errors import RetentionError
        from retention.plugins import Contribution, hookimpl

        class Mine:
            @hookimpl
            def retention_value_models(self):
                from retention.value import NBD
                yield Contribution(name="mine", summary="a model", make=NBD)

        class Broken:
            @hookimpl
            def retention_value_models(self):
                raise OSError("no such disk")

        def test_named(plugin_manager, shop):
            assert "mine" not in plugin_manager().names("value_model")
            registry = plugin_manager(Mine())
            assert {"mine", "bg-nbd"} <= set(registry.names("value_model"))
            assert rt.appraise(shop.histories, model="mine").model == "nbd"

        def test_gone(shop):
            with pytest.raises(RetentionError):
                rt.appraise(shop.histories, model="mine")

        def test_broken_raises(plugin_manager):
            with pytest.raises(RetentionError, match="Broken"):
                plugin_manager(Broken())
        """
    )
    result.assert_outcomes(passed=3)


def test_nothing_of_the_library_is_imported_before_it_is_asked_for(run):
    """Else coverage, which begins to look later, would miss the lines that run at import."""
    result = run(
        """
        import sys
        LOADED = sorted(name for name in sys.modules if name.partition(".")[0] in ("retention", "numpy", "scipy"))

        def test_it():
            assert LOADED == ["retention", "retention.testing", "retention.testing.pytest_plugin"]
        """
    )
    result.assert_outcomes(passed=1)


def test_fixtures_are_listed_with_what_they_are_for(run):
    result = run("def test_nothing(): pass", "--fixtures")
    result.stdout.fnmatch_lines(["plugin_manager*", "*and no other*", "shop*", "*sample_shop*"])
