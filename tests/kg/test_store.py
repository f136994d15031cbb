from pathlib import Path

import pytest
import yaml
from neo4j.exceptions import TransientError
from neo4j_server import VERSION
from store_contract import StoreContract

from errors import InputError
from kg.config import StoreConfig
from kg.store import GraphStore, _check_version, _explain


class TestEmbeddedStore(StoreContract):
    @pytest.fixture
    def store(self, empty_store):
        return empty_store


class TestNeo4jStore(StoreContract):
    @pytest.fixture
    def store(self, empty_neo4j):
        return empty_neo4j


def test_unreachable_address_is_told():
    config = StoreConfig(uri="bolt://127.0.0.1:1", password="x", retry_time=0.1)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1.*does not answer[\s\S]*NEO4J_URI"):
        GraphStore.open(config)


def test_wrong_address_is_told():
    with pytest.raises(InputError, match="not the address of a Neo4j"):
        GraphStore.open(StoreConfig(uri="ftp://somewhere"))


def test_wrong_password_is_told_without_showing_it(embedded_store):
    config = StoreConfig(uri=embedded_store.server.uri, username="root", password="not-it")
    with pytest.raises(InputError, match="refuses the password of user 'root'") as caught:
        GraphStore.open(config)
    assert "not-it" not in str(caught.value)


def test_missing_database_is_told(embedded_store):
    server = embedded_store.server
    config = StoreConfig(uri=server.uri, username=server.username, password=server.password, database="absent")
    with pytest.raises(InputError, match="no database 'absent'"):
        GraphStore.open(config)


def test_a_store_by_address_is_the_same_store(empty_store):
    server = empty_store.server
    config = StoreConfig(uri=server.uri, username=server.username, password=server.password)
    with GraphStore.open(config) as other:
        other.write("CREATE (:Thing {number: 7})")
        assert other.server is None
    assert empty_store.read("MATCH (n:Thing) RETURN n.number AS n") == [{"n": 7}]


def test_old_servers_are_refused():
    _check_version("Neo4j/5.26.0", "bolt://x")
    _check_version("Neo4j/2025.10.1", "bolt://x")
    with pytest.raises(InputError, match=r"Neo4j 4\.4\.2"):
        _check_version("Neo4j/4.4.2", "bolt://x")


def test_a_lasting_fault_becomes_a_message():
    told = _explain(TransientError("busy"), StoreConfig(uri="bolt://x"))
    assert told is not None
    assert "could not finish" in str(told)


def test_compose_gives_the_neo4j_that_is_tested():
    service = yaml.safe_load(Path(__file__).parents[2].joinpath("compose.yaml").read_text())["services"]["neo4j"]
    assert service["image"] == f"neo4j:{VERSION.rpartition('.')[0]}-community"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["environment"]["NEO4J_AUTH"].startswith("neo4j/${NEO4J_PASSWORD:?")


def test_deprecated_and_slow_cypher_is_noticed(empty_neo4j, notifications):
    """The fixture that fails the tests of this folder hears what the server says."""
    empty_neo4j.read("MATCH (n) RETURN id(n) AS id")
    assert "DEPRECATION" in notifications.pop()
    empty_neo4j.read("MATCH (a), (b) RETURN count(*) AS n")
    assert "PERFORMANCE" in notifications.pop()
    assert notifications == []
