"""What the documents promise is what the code does."""

import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path

import attrs
import pytest

import retention
from retention.frames.table import Table
from retention.plugins.hooks import Hooks

ROOT = Path(__file__).parents[2]
REFERENCE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md")))
HOOKS_PAGE = (ROOT / "docs" / "plugins" / "hooks.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")

# The reference page prints these straight from the code: whoever is in the module is on the page.
PRINTED = set(re.findall(r"\.\. automodule:: ([\w.]+)", REFERENCE))


def block(marker: str) -> str:
    """The fenced block of the README below a comment."""
    found = re.search(rf"<!-- {marker} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no block {marker!r}"
    return found[1]


def every_table() -> list[type[Table]]:
    tables = {}
    for module in pkgutil.walk_packages(retention.__path__, "retention."):
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and issubclass(thing, Table) and not thing.__name__.startswith("_"):
                tables[thing.__qualname__] = thing
    return sorted(tables.values(), key=lambda table: table.__qualname__)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the demonstration leaves, and what it prints."""
    here = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "retention.cli", "demo", "--folder", "retention-demo"]
    done = subprocess.run(command, cwd=here, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return here / "retention-demo", done.stdout


def test_the_readme_shows_what_the_demonstration_prints(demo: tuple[Path, str]) -> None:
    """To renew it: python tests/docs/renew_readme.py."""
    assert block("demo output") == demo[1]


def test_the_demonstration_leaves_what_the_readme_says(demo: tuple[Path, str]) -> None:
    for name in ("plan.csv", "leads.csv", "report.html", "journal.db"):
        assert (demo[0] / name).stat().st_size > 0, name


def test_the_ten_lines_run_in_the_demonstration_folder(demo: tuple[Path, str]) -> None:
    command = [sys.executable, "-W", "error", "-c", block("ten lines")]
    done = subprocess.run(command, cwd=demo[0], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "in = kept + set aside: reconciles to the cent" in done.stdout
    assert re.search(r"^customer \S+ on 2011-12-31: contact", done.stdout, re.MULTILINE)


def test_the_ten_lines_make_the_plan_of_the_demonstration(demo: tuple[Path, str], monkeypatch) -> None:
    """The same, not only something alike: same contacts, same reasons."""
    monkeypatch.chdir(demo[0])
    names: dict[str, object] = {}
    exec(block("ten lines"), names)  # the README's own text
    by_program = retention.Program.load(demo[0] / "retention.toml").run().plan
    assert names["plan"].fingerprint() == by_program.fingerprint()  # type: ignore[attr-defined]


@pytest.mark.parametrize("marker", ["demo", "test"])
def test_each_command_of_the_readme_is_one_line(marker: str) -> None:
    assert len(block(marker).splitlines()) == 1


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(((?!http)[^)#]+)", (ROOT / document).read_text("utf-8")):
            assert (ROOT / target).exists(), f"{document}: {target}"


@pytest.mark.parametrize("name", retention.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(retention, name)
    assert re.search(rf"`{name} <retention\.[\w.]*{name}>`", REFERENCE), f"{name} is not in docs/reference"
    if name != "hookimpl":  # pluggy's marker, an object: its page is docs/plugins
        assert inspect.getdoc(thing), f"{name} has no docstring"
        home = thing.__module__.rpartition(".")[0] if thing.__module__.count(".") > 1 else thing.__module__
        assert home in PRINTED, f"docs/reference/python.md does not print {home}"


@pytest.mark.parametrize("folder", sorted(PRINTED))
def test_every_public_name_of_a_folder_has_a_docstring(folder: str) -> None:
    module = importlib.import_module(folder)
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if isinstance(thing, type | types.FunctionType):
            assert inspect.getdoc(thing), f"{folder}.{name}"


HOOKS = [name for name in vars(Hooks) if name.startswith("retention_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_shows_a_working_plugin(hook: str) -> None:
    text = inspect.getdoc(getattr(Hooks, hook)) or ""
    assert "A working plugin::" in text
    assert f"def {hook}(" in text
    assert "autoclass:: retention.plugins.hooks.Hooks" in HOOKS_PAGE
    assert hook in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("table", every_table(), ids=lambda table: table.__qualname__)
def test_every_column_says_what_it_means(table: type[Table]) -> None:
    assert (table.__doc__ or "").strip()
    for field in attrs.fields(table):
        if field.metadata.get("column"):
            assert field.metadata["doc"].strip(), f"{table.__qualname__}.{field.name}"
    # docs/reference/columns.md prints every table it finds in the package, as this test does.
    assert "pkgutil.walk_packages(retention.__path__" in REFERENCE


def test_every_key_of_the_configuration_has_a_meaning() -> None:
    from retention.configuration import SECTIONS
    from retention.program import Program

    keys = [key for section in SECTIONS.values() for key in section]
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")
    for key in keys:
        assert f'"{key}":' in page, f"docs/reference/configuration.md says nothing about {key}"
    elsewhere = {"source", "reader", "store", "read", "options", "policy", "plugins"}
    assert set(attrs.fields_dict(Program)) == {*keys, *elsewhere}


def test_the_changelog_has_an_entry_for_this_version() -> None:
    version = importlib.metadata.version("retention")
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_every_dependency_has_its_reason() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for requirement in importlib.metadata.requires("retention") or ():
        name = re.match(r"[\w-]+", requirement)[0]  # type: ignore[index]
        if name != "retention" and not name.endswith("-stubs"):
            assert re.search(rf"^\|[^|]*\b{re.escape(name)}\b", table, re.MULTILINE), f"{name} is not in CONTRIBUTING"
