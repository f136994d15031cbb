"""A tiny shop, and for all tests of the folder one embedded store and one real Neo4j."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.dataset import Dataset
from data.tables import Tables
from kg.config import StoreConfig
from kg.store import GraphStore

# The folder's helpers are plain modules; their assertions are explained like those of tests.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("store_contract")

LEVELS = ("department", "category", "type")


def _taxonomy():
    rows = [("department", d, None, None) for d in ("Food", "Home")]
    rows += [("category", c, "department", d) for c, d in (("Tea", "Food"), ("Käse", "Food"), ("Lamps", "Home"))]
    rows += [("type", f"{c} > {i}", "category", c) for c in ("Tea", "Käse", "Lamps") for i in range(3)]
    rows.append(("type", "Tea > 0", "category", "Lamps"))
    frame = pd.DataFrame(rows, columns=["level", "node_id", "parent_level", "parent_id"])
    return frame.assign(name=frame["node_id"], text="a " + frame["node_id"])


def _interactions(rng, products, n=600):
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 30, n).astype(str),
            "product_id": rng.choice(products, n),
            "time": np.sort(rng.integers(1, 21, n)),
            "quantity": 1.0,
            "value": 2.5,
            "basket_id": rng.integers(0, 150, n).astype(str),
            "store_id": "s",
        }
    )
    return frame.astype({"time": "int64"})


def _relations():
    rows = [
        ("Coupon", "c1", "appliesTo", "Product", "p03", 1.5, 5),
        ("Coupon", "c1", "appliesTo", "Product", "p04", None, None),
        ("Coupon", "c2", "appliesTo", "Product", "p03", 2.0, 12),
        ("Coupon", "c2", "part_of", "Campaign", "Été ☀", 1.0, 12),
        ("Coupon", "c2", "appliesTo", "Product", "unknown", 1.0, None),
    ]
    columns = ["source_label", "source_id", "relation", "target_label", "target_id", "weight", "time"]
    return pd.DataFrame(rows, columns=columns).astype({"weight": "float64", "time": "Int64"})


def build_tables(seed=0, **changes):
    """Twenty products in nine types, thirty users, twenty periods."""
    rng = np.random.default_rng(seed)
    products = pd.DataFrame({"product_id": [f"p{i:02}" for i in range(20)][::-1]})
    products["text"] = "product " + products["product_id"]
    products["brand"] = [None if i % 5 == 0 else f"b{i % 3}" for i in range(20)]
    taxonomy = _taxonomy()
    types = taxonomy.loc[taxonomy["level"] == "type", "node_id"].unique()
    members = pd.DataFrame({"product_id": products["product_id"], "level": "type"})
    interactions = _interactions(rng, products["product_id"].to_numpy())
    users = pd.DataFrame({"user_id": interactions["user_id"].unique()})
    tables = Tables(
        products=products,
        taxonomy=taxonomy,
        memberships=members.assign(node_id=[types[i % len(types)] for i in range(20)]),
        interactions=interactions,
        users=users,
        relations=_relations(),
        levels=LEVELS,
        interest_level="category",
        attributes={"brand": "Brand"},
        rejects=pd.DataFrame(),
        name="tiny",
    )
    return replace(tables, **changes)


@pytest.fixture(scope="session")
def make_dataset():
    """Builds the tiny shop, with changes to its tables."""
    return lambda seed=0, **changes: Dataset.from_tables(build_tables(seed, **changes))


@pytest.fixture(scope="session")
def dataset(make_dataset):
    return make_dataset()


class _Notifications(logging.Handler):
    """Keeps what a server says against a query: that its Cypher is deprecated, or slow."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.told = []

    def emit(self, record):
        text = record.getMessage()
        if "DEPRECATION" in text or "PERFORMANCE" in text:
            self.told.append(text)


@pytest.fixture(autouse=True)
def notifications():
    """Fails a test whose Cypher a server calls deprecated or slow; a test that means it clears the list."""
    logger, handler = logging.getLogger("neo4j.notifications"), _Notifications()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield handler.told
    logger.setLevel(level)
    logger.removeHandler(handler)
    assert handler.told == []


@pytest.fixture(scope="session")
def embedded_config(tmp_path_factory):
    return StoreConfig(uri="embedded", home=tmp_path_factory.mktemp("graph"), heap="256m", retry_time=5)


@pytest.fixture(scope="session")
def embedded_store(embedded_config):
    with GraphStore.open(embedded_config) as store:
        yield store


@pytest.fixture(scope="session")
def emptied():
    """Empties a store: no nodes, constraints or indexes; gives it back."""
    return lambda store: _emptied_neo4j(store) if store.server is None else _emptied_embedded(store)


@pytest.fixture
def empty_store(embedded_store, emptied):
    """The embedded store, as new."""
    return emptied(embedded_store)


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory):
    """A real Neo4j. Without Java and Maven the test is skipped, but not in CI: there it fails."""
    from neo4j_server import MissingToolError, Neo4jServer

    try:
        server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    except MissingToolError as error:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no Neo4j to test with: {error}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def neo4j_store(neo4j_server):
    with GraphStore.open(neo4j_server.config) as store:
        yield store


@pytest.fixture
def empty_neo4j(neo4j_store, emptied):
    """The real Neo4j, without nodes, constraints and indexes."""
    return emptied(neo4j_store)


@pytest.fixture(params=["embedded", "neo4j"])
def store_any(request):
    """Each of the two stores, empty: no nodes, constraints or indexes."""
    return request.getfixturevalue("empty_store" if request.param == "embedded" else "empty_neo4j")


def _emptied_embedded(store):
    for command in ("drop database neo4j", "create database neo4j"):
        store.server.command(command)
    return store


def _emptied_neo4j(store):
    while store.write("MATCH (n) WITH n LIMIT 10000 DETACH DELETE n RETURN count(*) AS gone")[0]["gone"]:
        pass
    for row in store.read("SHOW CONSTRAINTS YIELD name"):
        store.schema_command(f"DROP CONSTRAINT {_name(row)}")
    for row in store.read("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'"):
        store.schema_command(f"DROP INDEX {_name(row)}")
    return store


def _name(row):
    return "`" + row["name"].replace("`", "``") + "`"
