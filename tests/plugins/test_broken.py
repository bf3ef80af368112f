"""A stranger's plugin cannot hurt: whatever it does, it is named and stepped around, and the night runs as before."""

import json
import random
import shutil

import pytest

from retention.worlds.demo import make_demo

# What becomes of each, by distribution: the error's type, and a word of its text.
FAILS = {
    "retention-absent-import": ("ModuleNotFoundError", "a_library_that_nobody_has"),
    "retention-leaves": ("SystemExit", "this shop is closed"),
    "retention-misspelt": ("PluginError", "retention_contact_polices"),
    "retention-unknown-argument": ("PluginError", "{'everything'} are declared"),
    "retention-unmarked": ("PluginError", "retention_readers is not marked"),
    "retention-raises": ("RuntimeError", "out of luck"),
    "retention-half-way": ("RuntimeError", "half-way"),
    "retention-rubbish": ("PluginError", "retention_outreach_strategies gave a str"),
    "retention-gives-none": ("PluginError", "retention_reports gave None"),
    "retention-twice": ("PluginError", "the same module"),
    "retention-unreadable": ("PluginError", "its entry points cannot be read"),
}
WORKS = {
    "retention": "builtin",
    "retention-default-argument": "default-argument",
    "retention-faints": "faints",
    "retention-good": "good",
    "retention-prints": "prints",
    "retention-slow": "slow",
    "retention-usurper": "builtin@retention-usurper",
    "retention-week-by-week": "weekly@retention-week-by-week",
    "retention-weekly": "weekly@retention-weekly",
}
RENAMED = [
    "absent", "leaves", "misspelt", "unmarked", "raises", "half-way", "rubbish", "gives-none", "default-argument",
    "faints", "good", "prints", "slow", "asks",
]  # fmt: skip

REGISTRIES = """
import importlib, json, sys
orders, out = json.loads(open(sys.argv[1]).read()), []
base = list(sys.path)
from retention.errors import PluginError
from retention.plugins import KINDS, open_registry
for order in orders:
    for name in [name for name in sys.modules if name.startswith("retention_")]:
        del sys.modules[name]
    sys.path[:] = [*order, *base]
    importlib.invalidate_caches()
    try:
        open_registry(strict=True)
    except ExceptionGroup as group:
        strict = sorted(str(error) for error in group.exceptions)
    registry = open_registry()
    conflicts = []
    for kind in KINDS:
        for name in registry.names(kind):
            try:
                registry.find(kind, name)
            except PluginError as error:
                conflicts.append([kind, name, error.given])
    out.append({
        "plugins": [plugin.to_dict() for plugin in registry.plugins],
        "names": {kind: registry.names(kind) for kind in KINDS},
        "notes": [getattr(plugin.error, "__notes__", []) for plugin in registry.failures],
        "conflicts": conflicts,
        "strict": strict,
    })
open(sys.argv[2], "w").write(json.dumps(out))
"""


@pytest.fixture(scope="module")
def registries(lay, shell, tmp_path_factory):
    """What the registry is in 20 environments with all packages: other orders of the path, other names."""
    tmp_path = tmp_path_factory.mktemp("registries")
    dice = random.Random(20)
    orders = []
    for _ in range(20):
        folders = lay(rename={name: f"{dice.choice('abcdefghijklmnopqrstuvwxyz')}-{name}" for name in RENAMED})
        dice.shuffle(folders)
        orders.append([str(folder) for folder in folders])
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    done = shell("-c", REGISTRIES, tmp_path / "orders.json", tmp_path / "registries.json")
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "registries.json").read_text())


def test_all_broken_packages_at_once_in_any_order_give_one_registry_and_the_same_named_failures(registries):
    seen = []
    for registry in registries:
        rest = [
            (p["distribution"], p["version"], p["status"], p["reason"].split(":")[0], p["gives"], p["hooks"])
            for p in registry["plugins"]
        ]
        seen.append((sorted(rest, key=str), registry["names"], len(registry["strict"])))
    assert all(one == seen[0] for one in seen)

    registry = registries[0]
    by_distribution = {}
    for plugin in registry["plugins"]:
        by_distribution.setdefault(plugin["distribution"], []).append(plugin)
    failed = {p["distribution"]: p for p in registry["plugins"] if p["status"] == "failed"}
    assert set(failed) == set(FAILS)
    assert set(by_distribution) == {*FAILS, *WORKS}
    for distribution, (error, word) in FAILS.items():
        assert failed[distribution]["reason"].startswith(error)
        assert word in failed[distribution]["reason"]
        assert failed[distribution]["gives"] == {}
    for distribution, name in WORKS.items():
        (plugin,) = by_distribution[distribution]
        assert plugin["status"] == "active"
        assert plugin["name"].endswith(name)
    assert [p["status"] for p in by_distribution["retention-twice"]] == ["active", "failed"]
    assert all("half" not in name for names in registry["names"].values() for name in names)
    assert by_distribution["retention-prints"][0]["notes"][0].startswith("printed while loading: ")
    assert by_distribution["retention-slow"][0]["notes"] == []


def test_two_of_a_name_are_named_both_with_their_versions(registries):
    ours, usurper = "builtin (retention 0.1.0)", "builtin@retention-usurper (retention-usurper 6.6)"
    weekly = [
        "weekly@retention-week-by-week (retention-week-by-week 0.3)",
        "weekly@retention-weekly (retention-weekly 2.1)",
    ]
    for registry in registries:
        assert {(kind, name): told for kind, name, told in registry["conflicts"]} == {
            (kind, name): f"{kind.replace('_', ' ')} {name!r} is provided by {' and '.join(both)}"
            for kind, name, both in (
                ("outreach_strategy", "check-in-overdue", [ours, usurper]),
                ("contact_policy", "consent", [ours, usurper]),
                ("contact_policy", "do-not-contact", [ours, usurper]),
                ("contact_policy", "once-a-week", weekly),
            )
        }


def test_strict_raises_one_group_that_names_them_all_with_distribution_and_version(registries):
    for registry in registries:
        assert len(registry["strict"]) == len(FAILS)
        for distribution in FAILS:
            assert sum(f"({distribution} 1.0) failed to load: " in told for told in registry["strict"]) == 1


OUTPUT = ("plan.csv", "leads.csv", "report.html")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demonstration's folder before its first night."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder)
    return folder


@pytest.fixture
def night(shell, demo, tmp_path):
    """The demonstration's night as a whole process with these folders on the path: its output, byte by byte."""

    def run(path=(), *, rule="margin-bands", **variables):
        shutil.copytree(demo, tmp_path / "here")
        toml = tmp_path / "here" / "retention.toml"
        toml.write_text(toml.read_text("utf-8").replace("margin-bands", rule), "utf-8")
        try:
            done = shell(
                "-m", "retention.cli", "run", tmp_path / "here" / "retention.toml", "--quiet", path=path, **variables
            )
            written = {
                name: (tmp_path / "here" / name).read_bytes() for name in OUTPUT if (tmp_path / "here" / name).exists()
            }
        finally:
            shutil.rmtree(tmp_path / "here")
        return done, written

    return run


def test_installing_plugins_changes_no_byte_of_a_program_that_does_not_name_them(night, lay):
    """Not one plugin that does everything right, and not all broken ones at once."""
    done, alone = night()
    assert done.returncode == 0, done.stderr
    assert set(alone) == set(OUTPUT)
    done, with_a_good_one = night(lay(["retention-good"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert with_a_good_one == alone
    done, with_all = night(lay())
    assert done.returncode == 0, done.stderr
    assert with_all == alone
    assert "plugin faints (retention-faints 1.0) failed in retention_plan_made: RuntimeError" in done.stderr
    assert done.stderr.count("retention: warning") == 1


def test_in_strict_mode_the_night_does_not_run_and_one_message_names_each(night, lay):
    done, written = night(lay(), RETENTION_STRICT_PLUGINS="1")
    assert done.returncode == 1
    assert written == {}
    assert "Traceback" not in done.stderr
    for distribution in FAILS:
        assert done.stderr.count(f"({distribution} 1.0)") >= 1


def test_what_a_broken_plugin_gave_is_asked_for_by_name(night, lay):
    """One clear error that names the plugin, and no night without the stage that was chosen."""
    done, written = night(lay(["retention-raises", "retention-rubbish"]), rule="by-luck")
    assert done.returncode == 1
    assert written == {}
    assert "tiering rule 'by-luck'" in done.stderr
    assert "raises (retention-raises 1.0): RuntimeError: out of luck" in done.stderr
    assert "retention-rubbish" not in done.stderr  # its hooks are known: it gives no tiering rules
    assert "Traceback" not in done.stderr
