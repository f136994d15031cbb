"""Every statement that load, update and read-back send, explained by a real Neo4j: indexes find the nodes."""

import dataclasses

import pytest
from neo4j import GraphDatabase
from nights import next_night

from data.dataset import Dataset
from kg.config import CoPurchaseConfig
from kg.load import load_graph
from kg.readback import read_graphs
from kg.sync import sync_graph

CONFIG = CoPurchaseConfig(min_support=2)
WINDOWS = [10, 15]
KEYS = "SHOW CONSTRAINTS YIELD labelsOrTypes, properties RETURN labelsOrTypes[0] AS label, properties[0] AS key"


@pytest.fixture
def sent(empty_neo4j, dataset, tmp_path, monkeypatch):
    """All that is sent in a load, updates of both kinds and a read-back: statements with an example of parameters."""
    store, calls = empty_neo4j, {}
    monkeypatch.setattr(store, "config", dataclasses.replace(store.config, home=tmp_path))
    for name in ("write", "read_rows"):
        monkeypatch.setattr(store, name, _noting(getattr(store, name), calls))
    load_graph(store, dataset, WINDOWS, CONFIG)
    later = next_night(dataset.tables)
    sync_graph(store, Dataset.from_tables(later), [15, 18], CONFIG)
    moved = dataclasses.replace(later, memberships=later.memberships.assign(node_id="Tea > 1"))
    sync_graph(store, Dataset.from_tables(moved), [15, 18], CONFIG, recheck=True)
    sync_graph(store, dataset, WINDOWS, CONFIG, vanished="end")
    read_graphs(store, WINDOWS)
    sync_graph(store, dataset, WINDOWS, CONFIG, recheck=True)
    load_graph(store, Dataset.from_tables(later), WINDOWS, CONFIG)
    return calls


def _noting(run, calls):
    def noted(query, **params):
        calls.setdefault(query, params)
        return run(query, **params)

    return noted


def _operators(plan):
    yield plan["operatorType"].split("@")[0]
    for child in plan.get("children", []):
        yield from _operators(child)


@pytest.fixture
def plans(sent, neo4j_server):
    """Explains all statements: each with the names of its operators."""
    config = neo4j_server.config
    with GraphDatabase.driver(config.uri, auth=(config.username, config.password)) as driver:

        def explained():
            for query, params in sent.items():
                told = driver.execute_query(f"CYPHER replan=force EXPLAIN {query}", params, database_="neo4j").summary
                yield query, list(_operators(told.plan))

        yield explained


def test_nodes_are_found_by_their_index(plans):
    seen = list(plans())
    assert len(seen) > 50
    for query, found in seen:
        assert "AllNodesScan" not in found or query.startswith("MATCH (n) RETURN labels(n)"), query
    _all_seek(seen)
    kinds = [query.split()[4] for query, _ in seen if "$rows" in query]
    assert {"CREATE", "MATCH", "MERGE"} <= set(kinds)


def test_nodes_are_found_by_their_index_while_the_server_believes_it_empty(plans, empty_neo4j):
    """Neo4j counts an index's entries from time to time: right after a load it may still plan for none."""
    labels = empty_neo4j.read("MATCH (n) UNWIND labels(n) AS label RETURN DISTINCT label")
    keys = {row["label"]: row["key"] for row in empty_neo4j.read(KEYS) if {"label": row["label"]} in labels}
    empty_neo4j.write("MATCH (n) DETACH DELETE n")
    empty_neo4j.read("CALL db.prepareForReplanning(60)")
    for label, key in keys.items():
        empty_neo4j.write(f"UNWIND range(1, 1000) AS i CREATE (n:`{label}`) SET n.`{key}` = toString(i)")
    _all_seek(plans())


def _all_seek(plans):
    for query, found in plans:
        if "$rows" in query:
            assert not any("Scan" in name for name in found), (query, found)
            if "MATCH" in query or "MERGE" in query:
                assert any(name.startswith("NodeUniqueIndexSeek") for name in found), (query, found)
