"""What a run learnt, in the graph: on both stores."""

import numpy as np
import pandas as pd
import pytest

from errors import InputError
from kg.config import CoPurchaseConfig
from kg.load import graph_state, load_graph
from kg.readback import read_graph
from kg.schema import Schema
from kg.writeback import Learnt, index_name, write_back

WIDTH = 4


def learn(dataset, run="run 1", seed=0, label="Category", **changes):
    """Vectors for products and categories (the first product has no text), and two bridges."""
    rng = np.random.default_rng(seed)
    ids = {"Product": dataset.catalogue.product_ids, label: dataset.catalogue.interest.ids}
    vectors = {
        name: {
            "embedding": rng.normal(size=(len(found), WIDTH)).astype(np.float32),
            "embedding_graph": rng.normal(size=(len(found), WIDTH)).astype(np.float32),
        }
        for name, found in ids.items()
    }
    texts = rng.normal(size=(len(ids["Product"]), 6)).astype(np.float32)
    texts[0] = 0
    vectors["Product"]["embedding_text"] = texts
    bridges = pd.DataFrame(
        {
            "source": ["Tea", "Käse"],
            "target": ["Lamps", "Lamps"],
            "probability": [0.25, 0.5],
            "lift": [1.5, 2.0],
            "support": [10, 3],
        }
    )
    return Learnt(
        **{"run": run, "cut_off": 15, "ids": ids, "vectors": vectors, "interest": label, "bridges": bridges} | changes
    )


@pytest.fixture
def loaded(store_any, dataset):
    load_graph(store_any, dataset, [15], CoPurchaseConfig(min_support=2))
    return store_any, Schema.from_json(graph_state(store_any).schema)


def content(store):
    """Everything in the graph, in an order of its own."""
    nodes = store.read("MATCH (n) RETURN labels(n) AS labels, properties(n) AS p")
    edges = store.read(
        "MATCH (a)-[r]->(b) RETURN properties(a) AS a, type(r) AS t, properties(r) AS p, properties(b) AS b"
    )
    return sorted(map(str, nodes)), sorted(map(str, edges))


def bridges(store):
    return store.read(
        "MATCH (a:Category)-[r:LEADS_TO]->(b:Category) RETURN a.name AS a, b.name AS b, r.probability AS probability, "
        "r.lift AS lift, r.support AS support, r.run AS run ORDER BY run, probability"
    )


def test_vectors_and_bridges_are_there(loaded, dataset):
    store, schema = loaded
    learnt = learn(dataset)
    report = write_back(store, schema, learnt)
    assert report.nodes == {"Product": 20, "Category": 3}
    rows = store.read("MATCH (p:Product) RETURN properties(p) AS p ORDER BY p.product_id")
    for row, fused, text in zip(
        rows, learnt.vectors["Product"]["embedding"], learnt.vectors["Product"]["embedding_text"], strict=True
    ):
        assert row["p"]["embedding"] == fused.tolist()
        assert row["p"].get("embedding_text") == (text.tolist() if text.any() else None)
        assert row["p"]["embedding_run"] == "run 1"
    assert report.bridges == 2
    assert bridges(store) == [
        {"a": "Tea", "b": "Lamps", "probability": 0.25, "lift": 1.5, "support": 10, "run": "run 1"},
        {"a": "Käse", "b": "Lamps", "probability": 0.5, "lift": 2.0, "support": 3, "run": "run 1"},
    ]
    assert store.read("MATCH (r:CrossAisleRun) RETURN r.name AS name, r.state AS state") == [
        {"name": "run 1", "state": "complete"}
    ]


def test_twice_changes_nothing(loaded, dataset):
    store, schema = loaded
    write_back(store, schema, learn(dataset))
    first = content(store)
    write_back(store, schema, learn(dataset))
    assert content(store) == first


def test_a_new_run_replaces_the_old_one(loaded, dataset):
    store, schema = loaded
    before = content(store)
    write_back(store, schema, learn(dataset, "old", seed=1))
    write_back(store, schema, learn(dataset, "new", seed=2))
    alone = content(store)
    assert "old" not in str(alone)
    assert {row["run"] for row in bridges(store)} == {"new"}
    write_back(store, schema, learn(dataset, "old", seed=1))
    write_back(store, schema, learn(dataset, "new", seed=2))
    assert content(store) == alone != before


def test_an_old_run_can_be_kept_and_removed_later(loaded, dataset):
    store, schema = loaded
    old, new = learn(dataset, "of 2026-11-22", seed=1), learn(dataset, "new", seed=2)
    write_back(store, schema, old)
    report = write_back(store, schema, new, keep_old=True)
    assert report.kept == ["of 2026-11-22"]
    row = store.read("MATCH (p:Product {product_id: 'p03'}) RETURN properties(p) AS p")[0]["p"]
    assert row["embedding"] == new.vectors["Product"]["embedding"][3].tolist()
    assert row["embedding_of_2026_11_22"] == old.vectors["Product"]["embedding"][3].tolist()
    assert row["embedding_run"] == "new"
    assert {row["run"] for row in bridges(store)} == {"new", "of 2026-11-22"}
    write_back(store, schema, new)
    assert not [line for line in content(store)[0] + content(store)[1] if "of_2026" in line or "of 2026" in line]


def test_a_write_back_that_was_killed_is_repeated(loaded, dataset, monkeypatch):
    store, schema = loaded
    write_back(store, schema, learn(dataset, "whole"))
    whole = content(store)
    monkeypatch.setattr("kg.writeback._write_bridges", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_back(store, schema, learn(dataset, "half", seed=5))
    states = store.read("MATCH (r:CrossAisleRun) RETURN r.state AS state")
    assert states == [{"state": "writing"}]
    monkeypatch.undo()
    write_back(store, schema, learn(dataset, "whole"))
    assert content(store) == whole


def test_the_training_graph_stays_the_same(loaded, dataset):
    store, schema = loaded
    before = read_graph(store, 15)
    write_back(store, schema, learn(dataset))
    after = read_graph(store, 15)
    assert [str(edge) for edge in after.data.edge_types] == [str(edge) for edge in before.data.edge_types]
    for edge in before.data.edge_types:
        assert (before.data[edge].edge_index == after.data[edge].edge_index).all()


def test_a_load_removes_the_write_back(loaded, dataset, make_dataset):
    store, schema = loaded
    write_back(store, schema, learn(dataset))
    load_graph(store, make_dataset(1), [15], CoPurchaseConfig(min_support=2))
    assert not [line for line in content(store)[0] + content(store)[1] if "run 1" in line]


def test_a_run_of_other_data_is_refused(loaded, dataset):
    store, schema = loaded
    learnt = learn(
        dataset, ids={"Product": np.array([f"q{i:02}" for i in range(20)]), "Category": learn(dataset).ids["Category"]}
    )
    with pytest.raises(InputError, match="0 of the 20 Product nodes"):
        write_back(store, schema, learnt)


def test_neo4j_finds_the_nearest_by_its_index(empty_neo4j, dataset):
    store = empty_neo4j
    load_graph(store, dataset, [15], CoPurchaseConfig(min_support=2))
    schema = Schema.from_json(graph_state(store).schema)
    learnt = learn(dataset)
    assert index_name("Product") in write_back(store, schema, learnt).indexes
    wider = {**learnt.vectors, "Product": {"embedding": np.eye(20, 8, dtype=np.float32) + 0.01}}
    learnt = learn(dataset, vectors=wider)
    write_back(store, schema, learnt)
    unit = wider["Product"]["embedding"] / np.linalg.norm(wider["Product"]["embedding"], axis=1, keepdims=True)
    asked = unit[3].tolist()
    found = store.read(
        "CALL db.index.vector.queryNodes($index, 3, $asked) YIELD node, score RETURN node.product_id AS id, score",
        index=index_name("Product"),
        asked=asked,
    )
    assert found[0]["id"] == "p03"
    assert found[0]["score"] == pytest.approx(1.0, abs=1e-5)
