import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from errors import InputError
from kg import embedded
from kg.config import StoreConfig
from kg.store import GraphStore

PROGRAM = Path(__file__).with_name("program.py")


@pytest.fixture
def config(tmp_path):
    return StoreConfig(uri="embedded", home=tmp_path / "graph", heap="256m", retry_time=1)


@contextmanager
def _program(config, what="open"):
    """The program in a session of its own, and the numbers of its Java process and guard."""
    command = [sys.executable, str(PROGRAM), str(config.home), what]
    paths = os.pathsep.join([str(PROGRAM.parents[2]), str(PROGRAM.parent)])
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            java, guard = map(int, process.stdout.readline().split()[1:])
            yield process, java, guard
        finally:
            process.kill()


def _ends(pid, seconds=15.0):
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_data_outlives_the_server_and_the_server_does_not_outlive_the_store(config):
    with GraphStore.open(config) as store:
        first = store.server.pid
        store.write("CREATE (:Thing {number: 1})")
    assert _ends(first, 0)
    with GraphStore.open(config) as store:
        assert store.read("MATCH (n:Thing) RETURN n.number AS n") == [{"n": 1}]


def test_only_the_owner_reads_the_password_and_only_this_machine_connects(embedded_store, embedded_config):
    path = embedded_config.home / "password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    process = psutil.Process(embedded_store.server.pid)
    assert path.read_text() not in " ".join(process.cmdline())
    heard = [c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert heard
    assert all(address.removeprefix("::ffff:") == "127.0.0.1" for address in heard)


def test_ctrl_c_does_not_reach_the_server(embedded_store):
    assert os.getsid(embedded_store.server.pid) != os.getsid(0)


def test_a_home_in_use_names_the_holder(config):
    with _program(config) as (process, _, _), pytest.raises(InputError, match=f"in use by process {process.pid}"):
        GraphStore.open(config)


def test_a_second_store_in_one_program_is_refused_too(embedded_store, embedded_config):
    with pytest.raises(InputError, match=f"in use by process {os.getpid()}"):
        GraphStore.open(embedded_config)
    assert embedded_store.read("RETURN 1 AS one") == [{"one": 1}]


def test_a_killed_program_takes_the_server_along(config):
    with _program(config) as (process, java, _):
        process.kill()
        process.wait()
        assert _ends(java)
    with GraphStore.open(config) as store:
        assert store.read("RETURN 1 AS one") == [{"one": 1}]


def test_a_killed_program_is_no_hindrance_to_one_started_at_once(config):
    with _program(config) as (process, java, _):
        process.kill()
        process.wait()
        with GraphStore.open(config) as store:
            assert store.server.pid != java


def test_a_server_without_guard_does_not_stay(config):
    with _program(config) as (process, java, guard):
        os.kill(guard, signal.SIGKILL)
        process.kill()
        process.wait()
        with GraphStore.open(config) as store:
            assert _ends(java, 0)
            assert store.read("RETURN 1 AS one") == [{"one": 1}]


def test_a_server_that_cannot_start_shows_its_log(config, monkeypatch):
    monkeypatch.setattr(embedded, "JAVA_OPTIONS", ("-XX:NoSuchOption",))
    with pytest.raises(InputError, match=r"did not start[\s\S]*NoSuchOption[\s\S]*delete the folder"):
        GraphStore.open(config)
    monkeypatch.undo()
    with GraphStore.open(config) as store:
        assert store.read("RETURN 1 AS one") == [{"one": 1}]


def test_a_damaged_database_is_told_at_once(config):
    (config.home / "databases").mkdir(parents=True)
    (config.home / "databases" / "neo4j").write_text("not a database")
    began = time.monotonic()
    with pytest.raises(InputError, match="did not start"):
        GraphStore.open(replace(config, start_timeout=40))
    assert time.monotonic() - began < 35


def test_a_folder_that_cannot_be_used_is_told(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        GraphStore.open(replace(config, home=tmp_path / "file" / "graph"))


def test_without_the_package_the_remedy_is_told(config, monkeypatch):
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install arcadedb-embedded"):
        GraphStore.open(config)
