"""Reports by name: each a file of its own, and a bad one costs nobody another."""

import json

import attrs
import pytest

from retention.errors import MissingExtraError, PluginError, RetentionError, RetentionWarning
from retention.report import HtmlPage, Report, checked_reports, write_reports


@attrs.frozen
class Crm:
    """What a CRM takes in."""

    file_name: object = "crm.json"
    name: object = "crm-json"
    content: object = None

    def render(self, night):
        if isinstance(self.content, BaseException):
            raise self.content
        return json.dumps({"night": night}) if self.content is None else self.content


def test_each_report_is_written_as_it_is(tmp_path):
    many = [Crm(), Crm("a.bin", "bytes", b"\x00\xff\r\n"), Crm("b.txt", "text", "línea\r\n")]
    written = write_reports("tonight", many, tmp_path)
    assert {name: path.name for name, path in written.items()} == {
        "crm-json": "crm.json", "bytes": "a.bin", "text": "b.txt",
    }  # fmt: skip
    assert json.loads((tmp_path / "crm.json").read_text()) == {"night": "tonight"}
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff\r\n"
    assert (tmp_path / "b.txt").read_bytes() == "línea\r\n".encode()


@pytest.mark.parametrize(
    "bad", [ValueError("customer 12347"), 7, None.__class__, "\ud800"], ids=["raises", "a number", "a type", "no text"]
)
def test_a_report_that_fails_is_warned_about_once_and_the_others_are_written(tmp_path, bad):
    with pytest.warns(RetentionWarning) as told:
        written = write_reports("tonight", [Crm("first.txt", "first", bad), Crm()], tmp_path)
    assert list(written) == ["crm-json"]
    assert len(told) == 1
    assert "'first'" in str(told[0].message)
    assert "12347" not in str(told[0].message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crm.json"]


def test_a_missing_extra_is_named_and_the_others_are_written(tmp_path):
    missing = MissingExtraError("the report", library="jinja2", extra="report")
    with pytest.warns(RetentionWarning, match="with its extra 'report'"):
        write_reports("tonight", [Crm("x.html", "x", missing), Crm()], tmp_path)
    assert (tmp_path / "crm.json").exists()


def test_a_folder_that_cannot_be_written_to_is_no_fault_of_the_report(tmp_path):
    with pytest.raises(RetentionError, match="cannot be written"):
        write_reports("tonight", [Crm()], tmp_path / "nowhere")


@pytest.mark.parametrize(
    "file",
    [
        "",
        " ",
        ".",
        "..",
        "../crm.json",
        "a/b.json",
        "a\\b.json",
        "/etc/crm",
        "C:crm",
        "a\0b",
        "a\nb",
        "crm.",
        None,
        3,
        "plan.csv",
        "LEADS.csv",
    ],
)
def test_a_file_name_is_a_plain_one_inside_the_folder(file):
    with pytest.raises(PluginError, match="file name"):
        checked_reports([Crm(file)])


@pytest.mark.parametrize(
    "reports",
    [
        [Crm(), Crm(name="other")],
        [Crm(), Crm("CRM.json", "other")],
        [Crm(), Crm("other.json")],
        [Crm(name="plan")],
        [Crm(name=" ")],
        [object()],
        [HtmlPage(), Crm("report.html")],
    ],
    ids=["one file", "one file in capitals", "one name", "a name of ours", "no name", "no report", "our page"],
)
def test_reports_have_names_and_files_of_their_own(reports):
    with pytest.raises(PluginError):
        checked_reports(reports)


def test_the_page_is_a_report():
    assert isinstance(HtmlPage(), Report)
    assert checked_reports([HtmlPage(), Crm()]) == (HtmlPage(), Crm())
