import dataclasses
import weakref

import pytest

from errors import InputError
from kg import batches
from kg.checksum import graph_checksum, tables_checksum
from kg.config import CoPurchaseConfig
from kg.load import graph_state, load_graph
from kg.schema import SCHEMA_VERSION, schema_of
from kg.sync import sync_graph

CONFIG = CoPurchaseConfig(min_support=2)
WINDOWS = [10, 15]


def _counts(store):
    nodes = store.read("MATCH (n) RETURN count(n) AS n")[0]["n"]
    return nodes, store.read("MATCH ()-[r]->() RETURN count(r) AS n")[0]["n"]


def test_the_report_counts_what_the_store_holds(store_any, dataset):
    report = load_graph(store_any, dataset, WINDOWS, CONFIG)
    assert _counts(store_any) == (sum(report.nodes.values()) + 1, sum(report.relationships.values()))
    assert report.nodes == {
        "Product": 20, "Department": 2, "Category": 3, "Type": 9, "Brand": 3, "Campaign": 1, "Coupon": 2,
    }  # fmt: skip
    assert report.unmatched == {"Coupon-APPLIES_TO-Product": 1}
    assert report.rows_per_second > 0
    assert graph_state(store_any).state == "complete"


def test_an_unchanged_graph_is_not_loaded_again(store_any, dataset):
    load_graph(store_any, dataset, WINDOWS, CONFIG)
    before = graph_checksum(store_any, schema_of(dataset))
    assert load_graph(store_any, dataset, WINDOWS[::-1], CONFIG).skipped
    assert graph_checksum(store_any, schema_of(dataset)) == before


@pytest.mark.parametrize("change", ["data", "windows", "config"])
def test_a_change_loads_anew(store_any, dataset, make_dataset, change):
    load_graph(store_any, dataset, WINDOWS, CONFIG)
    new = make_dataset(seed=1) if change == "data" else dataset
    windows = [12] if change == "windows" else WINDOWS
    config = CoPurchaseConfig(min_support=3) if change == "config" else CONFIG
    report = load_graph(store_any, new, windows, config)
    assert not report.skipped
    assert report.cleared
    changed = graph_checksum(store_any, schema_of(new))
    store_any.write("MATCH (n) DETACH DELETE n")
    load_graph(store_any, new, windows, config)
    assert graph_checksum(store_any, schema_of(new)) == changed


def test_a_half_loaded_graph_is_begun_anew(store_any, dataset, monkeypatch):
    load_graph(store_any, dataset, WINDOWS, CONFIG)
    whole = graph_checksum(store_any, schema_of(dataset))
    store_any.write("MATCH (n) DETACH DELETE n")
    batches = []

    def dies(query, **params):
        batches.append(query)
        if len(batches) == 10:
            raise KeyboardInterrupt
        return type(store_any).write(store_any, query, **params)

    monkeypatch.setattr(store_any, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        load_graph(store_any, dataset, WINDOWS, CONFIG)
    monkeypatch.undo()
    assert graph_state(store_any).state == "loading"
    assert load_graph(store_any, dataset, WINDOWS, CONFIG).cleared
    assert graph_checksum(store_any, schema_of(dataset)) == whole


def test_labels_of_an_earlier_shop_are_cleared(store_any, dataset, make_dataset):
    load_graph(store_any, dataset, WINDOWS, CONFIG)
    load_graph(store_any, make_dataset(attributes={}), WINDOWS, CONFIG)
    assert store_any.read("MATCH (n:Brand) RETURN count(n) AS n") == [{"n": 0}]


def test_a_graph_of_others_is_refused_and_left_alone(store_any, dataset):
    store_any.write("CREATE (:Film {title: 'Alien'})")
    with pytest.raises(InputError, match=r":Film[\s\S]*NEO4J_DATABASE"):
        load_graph(store_any, dataset, WINDOWS, CONFIG)
    assert _counts(store_any) == (1, 0)


def test_the_graph_of_a_newer_program_is_refused_and_left_alone(store_any, dataset):
    load_graph(store_any, dataset, WINDOWS, CONFIG)
    store_any.write("MATCH (s:CrossAisleGraph) SET s.schema_version = $newer", newer=SCHEMA_VERSION + 1)
    before = _counts(store_any)
    for work in (load_graph, sync_graph):
        with pytest.raises(InputError, match=r"written by a newer CrossAisle[\s\S]*--replace"):
            work(store_any, dataset, [10], CONFIG)
    assert _counts(store_any) == before


def test_the_graph_of_an_older_program_is_loaded_anew(store_any, dataset):
    load_graph(store_any, dataset, WINDOWS, CONFIG)
    store_any.write("MATCH (s:CrossAisleGraph) SET s.schema_version = $older, s.fingerprint = ''", older=1)
    assert "another version of CrossAisle" in sync_graph(store_any, dataset, WINDOWS, CONFIG).full
    assert graph_checksum(store_any, schema_of(dataset)) == tables_checksum(dataset, WINDOWS, CONFIG)


def test_a_load_holds_a_few_batches_whatever_their_number(empty_store, dataset, monkeypatch):
    made, alive, write = [], [], empty_store.write

    class Noted(batches.Batch):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(weakref.ref(self))

    def noting(query, **params):
        alive.append(sum(one() is not None for one in made))
        return write(query, **params)

    monkeypatch.setattr(batches, "Batch", Noted)
    monkeypatch.setattr(empty_store, "config", dataclasses.replace(empty_store.config, batch_size=5))
    monkeypatch.setattr(empty_store, "write", noting)
    load_graph(empty_store, dataset, WINDOWS, CONFIG)
    assert len(made) > 20
    assert max(alive) <= 4
