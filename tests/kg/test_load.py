import pytest

from errors import InputError
from kg.checksum import graph_checksum
from kg.config import CoPurchaseConfig
from kg.load import graph_state, load_graph
from kg.schema import schema_of

CONFIG = CoPurchaseConfig(min_support=2)
WINDOWS = [10, 15]


def _counts(store):
    nodes = store.read("MATCH (n) RETURN count(n) AS n")[0]["n"]
    return nodes, store.read("MATCH ()-[r]->() RETURN count(r) AS n")[0]["n"]


def test_the_report_counts_what_the_store_holds(empty_store, dataset):
    report = load_graph(empty_store, dataset, WINDOWS, CONFIG)
    assert _counts(empty_store) == (sum(report.nodes.values()) + 1, sum(report.relationships.values()))
    assert report.nodes == {
        "Product": 20, "Department": 2, "Category": 3, "Type": 9, "Brand": 3, "Campaign": 1, "Coupon": 2,
    }  # fmt: skip
    assert report.unmatched == {"Coupon-APPLIES_TO-Product": 1}
    assert report.rows_per_second > 0
    assert graph_state(empty_store).state == "complete"


def test_an_unchanged_graph_is_not_loaded_again(empty_store, dataset):
    load_graph(empty_store, dataset, WINDOWS, CONFIG)
    before = graph_checksum(empty_store, schema_of(dataset))
    assert load_graph(empty_store, dataset, WINDOWS[::-1], CONFIG).skipped
    assert graph_checksum(empty_store, schema_of(dataset)) == before


@pytest.mark.parametrize("change", ["data", "windows", "config"])
def test_a_change_loads_anew(empty_store, dataset, make_dataset, change):
    load_graph(empty_store, dataset, WINDOWS, CONFIG)
    new = make_dataset(seed=1) if change == "data" else dataset
    windows = [12] if change == "windows" else WINDOWS
    config = CoPurchaseConfig(min_support=3) if change == "config" else CONFIG
    report = load_graph(empty_store, new, windows, config)
    assert not report.skipped
    assert report.cleared
    changed = graph_checksum(empty_store, schema_of(new))
    empty_store.write("MATCH (n) DETACH DELETE n")
    load_graph(empty_store, new, windows, config)
    assert graph_checksum(empty_store, schema_of(new)) == changed


def test_a_half_loaded_graph_is_begun_anew(empty_store, dataset, monkeypatch):
    load_graph(empty_store, dataset, WINDOWS, CONFIG)
    whole = graph_checksum(empty_store, schema_of(dataset))
    empty_store.write("MATCH (n) DETACH DELETE n")
    batches = []

    def dies(query, rows, batch_size=None):
        batches.append(query)
        if len(batches) == 10:
            raise KeyboardInterrupt
        return type(empty_store).write_batches(empty_store, query, rows, batch_size)

    monkeypatch.setattr(empty_store, "write_batches", dies)
    with pytest.raises(KeyboardInterrupt):
        load_graph(empty_store, dataset, WINDOWS, CONFIG)
    monkeypatch.undo()
    assert graph_state(empty_store).state == "loading"
    assert load_graph(empty_store, dataset, WINDOWS, CONFIG).cleared
    assert graph_checksum(empty_store, schema_of(dataset)) == whole


def test_labels_of_an_earlier_shop_are_cleared(empty_store, dataset, make_dataset):
    load_graph(empty_store, dataset, WINDOWS, CONFIG)
    load_graph(empty_store, make_dataset(attributes={}), WINDOWS, CONFIG)
    assert empty_store.read("MATCH (n:Brand) RETURN count(n) AS n") == [{"n": 0}]


def test_a_graph_of_others_is_refused_and_left_alone(empty_store, dataset):
    empty_store.write("CREATE (:Film {title: 'Alien'})")
    with pytest.raises(InputError, match=r":Film[\s\S]*NEO4J_DATABASE"):
        load_graph(empty_store, dataset, WINDOWS, CONFIG)
    assert _counts(empty_store) == (1, 0)
