"""`retention check`: a name, a module, an object or a file in; a verdict, an exit code and one clear error out."""

import json
import subprocess
import sys
import textwrap

import pytest

from retention.cli import main
from retention.worlds.demo import make_demo

GOOD = '''
import numpy as np

from retention.plan import Review


class NoMondays:
    """No contact on a Monday."""

    name = "no-mondays"

    def __init__(self, day=0):
        self.day = day

    def review(self, proposals, situation):
        return Review.veto(np.full(len(proposals), situation.as_of.weekday() == self.day), "not on Mondays")
'''

PLUGIN = (
    GOOD
    + """

from retention.plugins import Contribution, hookimpl
from retention.tiers import MarginBands


@hookimpl
def retention_contact_policies():
    yield Contribution(name="no-mondays", summary="no contact on a Monday", make=NoMondays)


@hookimpl
def retention_tiering_rules():
    yield Contribution(name="shop:bands", summary="the same bands", make=MarginBands)
"""
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of modules that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text))
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def run(capsys, *arguments):
    code = main(["check", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_a_name_on_board_with_options(capsys):
    code, out, _ = run(capsys, "quiet-hours", "--nights", 1, "--options", "quiet_from=20:00", "quiet_until=08:00")
    assert code == 0
    assert out.startswith("quiet-hours (contact policy): TRIAL ONLY")
    code, out, _ = run(capsys, "frequency-cap", "--nights", 1, "--options", "max_contacts=1", "days=90")
    assert "at most 1 contact in any 90 days" in out


def test_a_file_an_object_and_a_module_with_hooks(folder, capsys):
    path = folder("my_policy", GOOD)
    folder("my_plugin", PLUGIN)
    for what in (path, "my_policy:NoMondays"):
        code, out, _ = run(capsys, what, "--nights", 1)
        assert (code, out.splitlines()[0]) == (0, "no-mondays (contact policy): TRIAL ONLY")
    code, out, _ = run(capsys, "my_plugin", "--nights", 1)
    assert code == 1
    assert out.startswith("my_plugin (plugin): REJECT")
    assert "the contribution 'shop:bands' makes a thing named 'margin-bands'" in out
    assert "no-mondays (contact policy): TRIAL ONLY" in out
    assert "(tiering rule): LAWS HOLD" in out
    folder("my_plugin_mended", PLUGIN[: PLUGIN.rindex("@hookimpl")])
    code, out, _ = run(capsys, "my_plugin_mended", "--nights", 1)
    assert code == 0
    assert out.startswith("my_plugin_mended (plugin): LAWS HOLD")


def test_a_module_of_the_folder_one_works_in(folder, capsys, monkeypatch):
    path = folder("at_work", GOOD)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(path.parent)])
    monkeypatch.chdir(path.parent)
    code, out, _ = run(capsys, "at_work", "--nights", 1)
    assert (code, out.splitlines()[0]) == (0, "no-mondays (contact policy): TRIAL ONLY")


def test_what_it_prints_is_no_part_of_the_json(folder):
    path = folder("loud", "print('hello from the import')\n" + GOOD)
    command = [sys.executable, "-m", "retention.cli", "check", str(path), "--nights", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["name"] == "no-mondays"
    assert "hello from the import" in done.stderr


def test_a_rejected_one_exits_with_one(folder, capsys):
    path = folder("broken", GOOD.replace("return Review", "return 1 / 0  #"))
    code, out, err = run(capsys, path, "--nights", 2)
    assert (code, err) == (1, "")
    assert "no-mondays (contact policy): REJECT" in out
    assert "raised ZeroDivisionError" in out


def test_a_machine_reads_json(folder, capsys):
    path = folder("my_policy", GOOD)
    code, out, err = run(capsys, path, "--nights", 1, "--json")
    (card,) = json.loads(out)
    assert (code, err, card["verdict"], card["name"]) == (0, "", "trial only", "no-mondays")


def test_a_journal_and_its_receipts(tmp_path, capsys):
    """One night in the demo's past: its decisions are few, so the card asks for more and says how many."""
    config = make_demo(tmp_path)
    main(["run", str(config), "--as-of", "2011-06-01", "--out", str(tmp_path), "--quiet"])
    capsys.readouterr()
    code, out, err = run(capsys, "do-not-contact", "--receipts", config, "--nights", 1)
    assert (code, err) == (0, "")
    assert "1 night, margin of 28 days" in out
    code, out, _ = run(capsys, "saturation", "--receipts", config, "--nights", 1, "--json", "--interval", "0.9")
    (card,) = json.loads(out)
    assert card["verdict"] == "trial only"
    assert "overlap is thin" in card["reasons"][0]
    code, _, err = run(capsys, "saturation", "--journal", tmp_path / "journal.db")
    assert code == 1
    assert "a journal without receipts" in err
    code, _, err = run(capsys, "saturation", "--receipts", config, "--journal", tmp_path / "another.db")
    assert code == 1
    assert "the journal is there" in err
    assert not (tmp_path / "another.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["minimum-gop"], "did you mean 'minimum-gap'"),
        (["no.such.module"], "nothing to check is called 'no.such.module'"),
        (["nothing.py"], "no such file"),
        (["json:loads"], "json:loads with options []"),
        (["json:nothing"], "'nothing' in json"),
        (["json"], "nothing was found"),
        (["saturation", "--options", "days"], "options are written key=value"),
        (["saturation", "--options", "dayz=3"], "with options ['dayz']"),
        (["saturation", "--options", "days=0"], "days"),
        (["saturation", "--nights", "0"], "nights=0"),
    ],
)
def test_what_means_nothing_is_one_clear_error(capsys, arguments, said):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert "remedy:" in err


def test_a_module_that_fails_at_import_is_told(folder, capsys):
    folder("fails", "import no_such_library_at_all")
    folder("shouts", "raise RuntimeError('out of ink')")
    for what, said in (("fails", "no_such_library_at_all"), ("shouts", "RuntimeError: out of ink")):
        code, _, err = run(capsys, what)
        assert code == 1
        assert f"{what} fails at import" in err
        assert said in err


def test_a_misspelt_hook_is_told(folder, capsys):
    folder("misspelt", PLUGIN.replace("def retention_contact_policies", "def retention_contact_polices"))
    code, _, err = run(capsys, "misspelt")
    assert code == 1
    assert "retention_contact_polices" in err


def test_a_policy_that_leaves_the_interpreter_is_rejected(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exiting.py").write_text(
        "import sys\nclass Exiting:\n    name = 'exiting'\n"
        "    def review(self, proposals, situation):\n        sys.exit(0)\n"
    )
    assert main(["check", "exiting.py", "--nights", "1"]) == 1
    assert "REJECT" in capsys.readouterr().out
    (tmp_path / "gone.py").write_text("import sys\nsys.exit(0)\n")
    assert main(["check", "gone.py"]) == 1
