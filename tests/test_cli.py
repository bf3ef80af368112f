"""The command line is thin, speaks plainly and never shows a traceback."""

import csv
import json
import os
import subprocess
import sys

import pytest

from retention.cli import main
from retention.worlds.demo import make_demo


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("cli"))


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_a_run_leaves_its_files_and_a_second_one_changes_nothing(shop, tmp_path, capsys):
    code, out, _ = run(capsys, "run", shop, "--out", tmp_path, "--journal", tmp_path / "j.db")
    assert code == 0
    assert "at stake" in out
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".csv", ".html")}
    assert set(before) == {"plan.csv", "leads.csv", "report.html"}
    code, out, _ = run(capsys, "run", shop, "--out", tmp_path, "--journal", tmp_path / "j.db")
    assert code == 0
    assert "already" in out
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".csv", ".html")}
    assert before == after


def test_a_machine_reads_json(shop, tmp_path, capsys):
    code, out, err = run(capsys, "run", shop, "--json", "--out", tmp_path, "--journal", tmp_path / "j.db")
    told = json.loads(out)
    assert code == 0
    assert err == ""
    assert told["contacts"] > 0
    for command in (
        ["audit", shop],
        ["list", shop, "--top", "3"],
        ["plugins"],
        ["doctor", shop.parent / "invoices.csv"],
    ):
        code, out, _ = run(capsys, *command, "--json")
        assert code == 0
        json.loads(out)


def test_the_list_and_why_agree_with_the_plan(shop, tmp_path, capsys):
    run(capsys, "run", shop, "--out", tmp_path, "--journal", tmp_path / "j.db")
    with open(tmp_path / "leads.csv", newline="", encoding="utf-8") as file:
        leads = list(csv.DictReader(file))
    _, out, _ = run(capsys, "list", shop, "--top", "2", "--why")
    assert out.count("gain") >= 2
    assert leads[0]["customer_id"].lstrip("'") in out
    code, out, _ = run(capsys, "why", leads[0]["customer_id"].lstrip("'"), shop)
    assert code == 0
    assert leads[0]["action"] in out
    code, _, err = run(capsys, "why", "nobody-of-that-name", shop)
    assert code == 1
    assert "remedy" in err
    assert "nobody-of-that-name" not in err


def test_doctor_says_what_is_there_and_what_is_done_instead(shop, capsys):
    code, out, _ = run(capsys, "doctor", shop.parent / "invoices.csv")
    assert code == 0
    for word in ("customer", "margin", "consent"):
        assert word in out


def test_audit_shows_the_ledger(shop, capsys):
    code, out, _ = run(capsys, "audit", shop)
    assert code == 0
    assert "defection" in out


def test_a_file_without_configuration_is_read_with_guessed_columns_that_are_told(shop, tmp_path, capsys):
    code, out, err = run(capsys, "run", shop.parent / "invoices.csv", "--out", tmp_path, "--hours", "2")
    assert code == 0
    assert "read as: " in err
    assert "customer = 'Customer'" in err
    assert "at stake" in out


def _mess(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "header.csv").write_text("Customer,Date,Revenue\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    (tmp_path / "long.csv").write_text("Customer,Date,Revenue\nada,2011-01-01," + "9" * 10_000_000 + "\n")
    (tmp_path / "open.csv").write_text('Customer,Date,Revenue\n"ada,2011-01-01,5\n' + "b,2011-01-02,6\n" * 20)
    (tmp_path / "twice.csv").write_text("Customer,Date,Revenue,Revenue\nada,2011-01-01,5,6\n")
    (tmp_path / "no_customer.csv").write_text("Colour,Date,Revenue\nred,2011-01-01,5\n")
    (tmp_path / "no_date.csv").write_text("Customer,Colour,Revenue\nada,red,5\n")
    (tmp_path / "no_money.csv").write_text("Customer,Date,Colour\nada,2011-01-01,red\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is not parquet PAR1")
    (tmp_path / "broken.csv.gz").write_bytes(b"\x1f\x8b\x08 not gzip at all")
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04" + bytes(200))
    (tmp_path / "broken.toml").write_text("this is [ not toml")
    (tmp_path / "latin.toml").write_bytes("[plan]\nsalt = 'é'\n".encode("latin-1"))
    return [*sorted(p.name for p in tmp_path.iterdir()), "no_such_file.csv", "no_such.toml", "\x00.csv"]


def test_whatever_is_fed_ends_in_one_clear_error(tmp_path, capsys):
    for name in _mess(tmp_path):
        for command in ("run", "audit", "list"):
            code, out, err = run(capsys, command, tmp_path / name)
            assert code == 1, (command, name, out)
            assert err.count("retention: ") == 1, (command, name, err)
            assert "rule:" in err, (command, name, err)
            assert "remedy:" in err, (command, name, err)
            assert len(err) < 3_000, (command, name)


@pytest.mark.parametrize(
    "dropped", ["Customer", "Date", "Qty", "Unit price", "Cost", "Invoice", "Item", "Category", "Channel"]
)
def test_a_configured_column_that_is_gone_is_named(shop, tmp_path, capsys, dropped):
    with open(shop.parent / "invoices.csv", encoding="utf-8-sig", newline="") as file:
        sample = file.read(2000)
        file.seek(0)
        delimiter = csv.Sniffer().sniff(sample.splitlines()[0], ",;\t|").delimiter
        rows = list(csv.reader(file, delimiter=delimiter))
    at = rows[0].index(dropped)
    with open(tmp_path / "invoices.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([cell for i, cell in enumerate(row) if i != at] for row in rows)
    for name in ("retention.toml", "consents.csv", "touches.csv"):
        (tmp_path / name).write_bytes((shop.parent / name).read_bytes())
    code, _, err = run(capsys, "run", tmp_path / "retention.toml", "--out", tmp_path / "out")
    assert code == 1
    assert repr(dropped) in err


def test_what_is_not_understood_exits_with_two():
    done = subprocess.run([sys.executable, "-m", "retention.cli", "dance"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_no_customer_and_no_cell_of_hers_is_in_an_error(tmp_path, capsys):
    """Personal data stay out of messages, whatever is wrong."""
    path = tmp_path / "x.csv"
    path.write_text("Customer,Date,Revenue\nAda Lovelace,2011-13-45,5\n")
    code, out, err = run(capsys, "run", path)
    assert code == 1
    assert "Ada" not in out + err


def _shell(*arguments, encoding):
    return subprocess.run(
        [sys.executable, "-m", "retention.cli", *map(str, arguments)],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_name_that_the_terminal_cannot_write_is_spelled_out(tmp_path, encoding):
    path = tmp_path / "x.csv"
    path.write_text("Customer,Date,Revenue\n李,2011-01-01,5\nb,2011-02-01,5\n", encoding="utf-8")
    for command in (["run", path, "--out", tmp_path], ["audit", path], ["doctor", path], ["why", "李", path]):
        done = _shell(*command, encoding=encoding)
        assert done.returncode == 0, (command, done.stderr)
        done.stdout.decode(encoding)
    assert b"\\u674e" in done.stdout
    done = _shell("why", "李", path, "--json", encoding=encoding)
    assert json.loads(done.stdout.decode(encoding))["customer_id"] == "李"


def test_a_terminal_obeys_no_name(tmp_path, capsys):
    path = tmp_path / "x.csv"
    path.write_text("Customer,Date,Revenue\n\x1b[2Jada,2011-01-01,5\nb,2011-02-01,5\n")
    code, out, _ = run(capsys, "why", "\x1b[2Jada", path)
    assert code == 0
    assert "\x1b" not in out
    assert "ada" in out


def test_columns_are_named_on_the_command_line_or_in_the_configuration(shop, tmp_path, capsys):
    path = tmp_path / "x.csv"
    path.write_text("Colour,Date,Revenue,Margin,Cost\nred,2011-01-01,5,3,2\nblue,2011-02-01,5,3,2\n")
    code, _, err = run(capsys, "audit", path)
    assert code == 1
    assert "--customer COLUMN" in err
    code, _, err = run(capsys, "audit", path, "--customer", "Colour")
    assert code == 0
    assert "margin = 'Margin'" in err
    assert "cost" not in err
    code, out, _ = run(capsys, "doctor", path, "--customer", "Colour", "--cost", "Cost")
    assert code == 0
    assert "cost='Cost'" in out
    code, _, err = run(capsys, "audit", path, "--customer", "Colour", "--revenue", "Revenue", "--unit-price", "Cost")
    assert code == 1
    assert "unit_price" in err
    code, _, err = run(capsys, "audit", shop, "--margin", "0.5")
    assert code == 1
    assert "[read]" in err


def test_doctor_looks_at_what_a_configuration_reads(shop, capsys):
    code, out, _ = run(capsys, "doctor", shop)
    assert code == 0
    assert "invoices.csv" in out
    assert "currency='EUR'" in out


def test_a_path_that_cannot_be_written_is_named(tmp_path, capsys):
    path = tmp_path / "x.csv"
    path.write_text("Customer,Date,Revenue\na,2011-01-01,5\n")
    code, _, err = run(capsys, "run", path, "--out", path)
    assert code == 1
    assert "x.csv: File exists" in err


def test_a_defect_is_one_message_without_a_cell_of_anyone(tmp_path, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise KeyError("Ada Lovelace")

    monkeypatch.setattr("retention.program.Program.read_log", fail)
    path = tmp_path / "x.csv"
    path.write_text("Customer,Date,Revenue\nAda Lovelace,2011-01-01,5\n")
    code, out, err = run(capsys, "audit", path)
    assert code == 1
    assert "KeyError in cli.py" in err
    assert "Ada" not in out + err
