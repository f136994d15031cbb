"""What can be wrong with a store: each gives one message with the remedy, and nothing is lost."""

import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from neo4j.exceptions import Neo4jError
from neo4j_server import Neo4jServer

from errors import InputError
from kg import embedded
from kg.config import CoPurchaseConfig, StoreConfig
from kg.load import load_graph
from kg.readonly import ReadOnly
from kg.store import GraphStore, _explain

SLOW = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH a * b AS c RETURN max(c) AS largest"
FILL = "UNWIND range(1, 200) AS i CREATE (:Filler {text: $text, number: i})"
CONFIG = CoPurchaseConfig(min_support=2)


@pytest.fixture
def config(tmp_path):
    return StoreConfig(uri="embedded", home=tmp_path / "graph", heap="256m", retry_time=1)


@pytest.mark.parametrize("uri", ["ftp://somewhere", "http://localhost:7474", "localhost:7687", "neo4j:", "bolt+x://a"])
def test_an_address_of_no_neo4j_is_told(uri):
    with pytest.raises(InputError, match=r"not the address of a Neo4j[\s\S]*neo4j://localhost:7687"):
        GraphStore.open(StoreConfig(uri=uri, password="x", retry_time=0.1, connect_timeout=1))


@pytest.mark.parametrize(
    "uri", ["bolt://127.0.0.1:1", "neo4j://127.0.0.1:1", "neo4j+s://127.0.0.1:1", "bolt://no.invalid"]
)
def test_an_address_without_a_server_is_told(uri):
    with pytest.raises(InputError, match=r"does not answer[\s\S]*NEO4J_URI"):
        GraphStore.open(StoreConfig(uri=uri, password="x", retry_time=0.1, connect_timeout=1))


def test_a_wrong_password_is_told_without_showing_it(neo4j_server):
    for password in ("not-it", ""):
        with pytest.raises(InputError, match=r"refuses the password of user 'neo4j'[\s\S]*NEO4J_PASSWORD") as caught:
            GraphStore.open(replace(neo4j_server.config, password=password))
        assert "not-it" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ClientError.Security.AuthenticationRateLimit", "Wait a few seconds"),
        ("ClientError.Security.Forbidden", "Use an account that may"),
        ("DatabaseError.Transaction.TransactionCommitFailed", "disk may be full"),
        ("TransientError.General.OutOfMemoryError", "Try again"),
    ],
)
def test_faults_that_cannot_be_made_here_are_told(code, remedy):
    error = Neo4jError._hydrate_neo4j(code=f"Neo.{code}", message="something")
    assert remedy in str(_explain(error, StoreConfig(uri="bolt://x")))


def test_a_missing_database_is_told(neo4j_server):
    with pytest.raises(InputError, match=r"no database 'absent'[\s\S]*NEO4J_DATABASE"):
        GraphStore.open(replace(neo4j_server.config, database="absent"))


def test_encryption_that_the_server_lacks_is_told(neo4j_server):
    uri = neo4j_server.uri.replace("bolt:", "bolt+s:")
    with pytest.raises(InputError, match=r"does not answer[\s\S]*encryption"):
        GraphStore.open(replace(neo4j_server.config, uri=uri, retry_time=0.1))


def test_a_graph_of_others_is_left_alone(store_any, dataset):
    store_any.write("CREATE (:Person {name: 'Ada'})-[:KNOWS]->(:Person {name: 'Bob'})")
    with pytest.raises(InputError, match=r"did not load, with nodes such as :Person[\s\S]*left as it is"):
        load_graph(store_any, dataset, [10], CONFIG)
    assert store_any.read("MATCH (a)-[r]->(b) RETURN count(*) AS n") == [{"n": 1}]
    assert store_any.read("MATCH (n) RETURN count(n) AS n") == [{"n": 2}]


@contextmanager
def _during(work):
    """Runs something in a thread; its fault is kept."""
    faults = []

    def run():
        try:
            work()
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    yield faults
    thread.join(60)
    assert not thread.is_alive()


def test_a_neo4j_killed_during_a_query_is_told_and_comes_back(neo4j_server, empty_neo4j):
    empty_neo4j.write("CREATE (:Thing {key: 1})")
    with _during(lambda: empty_neo4j.read(SLOW)) as read, _during(lambda: ReadOnly(empty_neo4j).run(SLOW)) as explored:
        neo4j_server.stop()
    try:
        for faults in (read, explored):
            assert [type(fault) for fault in faults] == [InputError]
            assert "does not answer" in str(faults[0])
            assert neo4j_server.uri in str(faults[0])
    finally:
        neo4j_server.start()
    assert empty_neo4j.read("MATCH (n:Thing) RETURN n.key AS key") == [{"key": 1}]


def test_an_embedded_store_killed_during_a_query_is_told(config):
    with GraphStore.open(config) as store:
        store.write("CREATE (:Thing {key: 1})")
        with _during(lambda: store.read(SLOW)) as faults:
            os.kill(store.server.pid, signal.SIGKILL)
        assert [type(fault) for fault in faults] == [InputError]
        assert re.search(r"has ended[\s\S]*server\.log", str(faults[0]))
    with GraphStore.open(config) as store:
        assert store.read("MATCH (n:Thing) RETURN n.key AS key") == [{"key": 1}]


@contextmanager
def _small_disk(folder, size="10m"):
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"only where a file system may be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=200m", folder], check=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def _file_size_limit(folder):
    """What is started in here may not write files above 4 MB; without being root one cannot make a disk small."""
    folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [_small_disk, _file_size_limit])
def test_a_full_disk_is_told_and_what_was_written_is_kept(tmp_path, config, dataset, limit):
    config, written = replace(config, home=tmp_path / "disk" / "graph"), 0
    with limit(tmp_path / "disk") as make_room:
        with GraphStore.open(config) as store, pytest.raises(InputError, match=r"cannot write \(is its disk full"):  # noqa: PT012
            for _ in range(200):
                store.write(FILL, text="x" * 2000)
                written += 200
        make_room()
        with GraphStore.open(config) as store:
            assert 0 < written <= store.read("MATCH (n:Filler) RETURN count(n) AS n")[0]["n"] <= written + 200
            store.write("MATCH (n) DETACH DELETE n")
            assert not load_graph(store, dataset, [10], CONFIG).skipped
            assert load_graph(store, dataset, [10], CONFIG).skipped


def test_a_full_disk_of_a_neo4j_is_told_and_what_was_written_is_kept(tmp_path, neo4j_server):
    written = 0
    with _small_disk(tmp_path / "disk", "30m") as make_room:
        server = Neo4jServer(tmp_path / "disk" / "neo4j")
        try:
            with GraphStore.open(server.config) as store, pytest.raises(InputError, match="disk may be full"):  # noqa: PT012
                for _ in range(400):
                    store.write(FILL, text="x" * 2000)
                    written += 200
            make_room()
            server.start()
            with GraphStore.open(server.config) as store:
                assert store.read("MATCH (n:Filler) RETURN count(n) AS n") == [{"n": written}]
        finally:
            server.stop()


def test_a_disk_that_is_full_from_the_start_is_told(config, monkeypatch):
    usage = shutil.disk_usage(config.home.parent)
    monkeypatch.setattr(embedded.shutil, "disk_usage", lambda path: usage._replace(free=0))
    monkeypatch.setattr(embedded, "JAVA_OPTIONS", ("-XX:NoSuchOption",))
    with pytest.raises(InputError, match=r"did not start.*disk is full\n.*Make room"):
        GraphStore.open(config)
