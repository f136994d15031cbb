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


def test_nodes_are_found_by_their_index(sent, neo4j_server):
    config, seen = neo4j_server.config, []
    assert len(sent) > 50
    with GraphDatabase.driver(config.uri, auth=(config.username, config.password)) as driver:
        driver.execute_query("CALL db.awaitIndexes()", database_="neo4j")
        for query, params in sent.items():
            summary = driver.execute_query(f"CYPHER replan=force EXPLAIN {query}", params, database_="neo4j").summary
            found = list(_operators(summary.plan))
            seen.append((query, found))
            assert "AllNodesScan" not in found or query.startswith("MATCH (n) RETURN labels(n)"), query
            if "$rows" in query:
                # On a graph as small as this one Neo4j may find relationships by their type; nodes never by a scan.
                assert "NodeByLabelScan" not in found, (query, found)
                if "MATCH" in query or "MERGE" in query:
                    assert any("Seek" in name for name in found), (query, found)
    kinds = [query.split()[4] for query, _ in seen if "$rows" in query]
    assert {"CREATE", "MATCH", "MERGE"} <= set(kinds)
