"""Both kinds of store, and the plans made by hand, as fixtures."""

import importlib.util
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from retention.journal import Journal


@pytest.fixture(scope="session")
def nights_script():
    return Path(__file__).parent / "nights.py"


@pytest.fixture(scope="session")
def plan_of(nights_script):
    spec = importlib.util.spec_from_file_location("nights", nights_script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plan_of


@pytest.fixture
def first_version(tmp_path):
    """A file as the first version of the journal wrote it."""
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "first_version.sql").read_text(encoding="utf-8"))
    old.close()
    return path


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL server of our own, on a socket in a folder of its own; its programs must be installed."""
    pytest.importorskip("psycopg", reason="needs the extra sql")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
    found = shutil.which("initdb", path=os.pathsep.join([*map(str, places[::-1]), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    programs = Path(found).resolve().parent
    # The server refuses to be started by root.
    other = (
        {"user": "postgres", "group": "postgres", "extra_groups": []}
        if getattr(os, "geteuid", lambda: 1)() == 0
        else {}
    )
    folder = Path(tempfile.mkdtemp(prefix="retention-pg-"))  # a socket's path must be short

    def run(program, *arguments):
        subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **other,
        )

    try:
        if other:
            shutil.chown(folder, "postgres", "postgres")
        run("initdb", "--username=shop", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c autovacuum=off"
        run("pg_ctl", "--wait", "--log", folder / "log", "--options", options, "start")
        try:
            yield f"postgresql+psycopg://shop@/postgres?host={folder}", folder / "data"
        finally:
            run("pg_ctl", "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(cluster):
    """Called, it gives the address of a database that holds no journal."""
    import sqlalchemy as sa

    def clear():
        engine = sa.create_engine(cluster[0], poolclass=sa.NullPool)
        with engine.begin() as db:
            db.exec_driver_sql("DROP SCHEMA IF EXISTS retention_journal CASCADE")
        return cluster[0]

    return clear


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """Where a journal may be made: a file, or a database on a server."""
    if request.param == "sqlite":
        return tmp_path / "shop.db"
    return request.getfixturevalue("new_database")()


@pytest.fixture
def journal(place):
    with Journal(place) as opened:
        yield opened


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_journal(request):
    """Called, it opens a journal that holds nothing."""
    if request.param == "sqlite":
        return lambda: Journal(":memory:")
    new_database = request.getfixturevalue("new_database")
    return lambda: Journal(new_database())


@pytest.fixture
def everything_on_disk(request, place):
    """Called, it gives every byte of the journal: the file and its side files, or the server's tables."""
    if isinstance(place, Path):
        return lambda: b"".join(one.read_bytes() for one in sorted(place.parent.glob(place.name + "*")))
    url, data = request.getfixturevalue("cluster")

    def read():
        import sqlalchemy as sa

        with sa.create_engine(url, poolclass=sa.NullPool).connect() as db:
            db.exec_driver_sql("CHECKPOINT")  # tables are in memory until then
        return b"".join(one.read_bytes() for one in (data / "base").rglob("*") if one.is_file())

    return read
