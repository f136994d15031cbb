import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nights import next_night

from data.dataset import Dataset
from errors import InputError
from kg import sync
from kg.changes import compare
from kg.checksum import graph_checksum, tables_checksum
from kg.config import CoPurchaseConfig
from kg.digest import digests
from kg.load import graph_state, load_graph
from kg.readback import read_graph
from kg.schema import NodeKind, schema_of
from kg.snapshot import read_snapshot, snapshot_path
from kg.sync import Counts, sync_graph

CONFIG = CoPurchaseConfig(min_support=2)
WINDOWS = [10, 15]


@pytest.fixture
def store(store_any, tmp_path, monkeypatch):
    """A store whose snapshot lies in a folder of its own."""
    monkeypatch.setattr(store_any, "config", dataclasses.replace(store_any.config, home=tmp_path))
    return store_any


@pytest.fixture(scope="session")
def later(dataset):
    return Dataset.from_tables(next_night(dataset.tables))


def _assert_in_step(store, data, windows=WINDOWS, config=CONFIG):
    assert graph_state(store).complete
    assert graph_checksum(store, schema_of(data)) == tables_checksum(data, windows, config)


def test_the_tables_have_the_checksum_of_the_graph(store, dataset):
    load_graph(store, dataset, WINDOWS, CONFIG)
    _assert_in_step(store, dataset)


@pytest.mark.parametrize("known", ["snapshot", "store", "recheck"])
def test_an_update_gives_the_graph_of_a_load(store, dataset, later, known):
    load_graph(store, dataset, WINDOWS, CONFIG)
    if known == "store":
        snapshot_path(store.config).unlink()
    report = sync_graph(store, later, WINDOWS, CONFIG, recheck=known == "recheck")
    assert not report.full
    assert report.compared == ("the snapshot of the last write" if known == "snapshot" else "the store")
    assert report.changes["Product"] == Counts(2, 1, 1)
    assert report.changes["Product-IN_TYPE-Type"] == Counts(3, 0, 2)
    assert report.changes["Product-HAS_BRAND-Brand"] == Counts(2, 0, 1)
    assert report.changes["Brand"] == Counts(1, 0, 0)
    assert report.changes["Coupon-APPLIES_TO-Product"] == Counts(1, 1, 1)
    assert report.changes["Coupon-PART_OF-Campaign"] == Counts()
    _assert_in_step(store, later)
    assert load_graph(store, later, WINDOWS, CONFIG).skipped
    back = sync_graph(store, dataset, WINDOWS, CONFIG)
    assert back.compared == "the snapshot of the last write"
    _assert_in_step(store, dataset)


def test_what_is_in_step_is_left_alone(store, dataset, monkeypatch):
    load_graph(store, dataset, WINDOWS, CONFIG)
    state = graph_state(store)
    monkeypatch.setattr(store, "write", None)
    assert sync_graph(store, dataset, WINDOWS, CONFIG).total == 0
    assert graph_state(store) == state


def test_only_what_changed_is_written(store, dataset, later, monkeypatch):
    load_graph(store, dataset, WINDOWS, CONFIG)
    rows = []
    write = store.write

    def counting(query, **params):
        rows.append(len(params.get("rows", [])))
        return write(query, **params)

    monkeypatch.setattr(store, "write", counting)
    report = sync_graph(store, dataset=later, window_ends=WINDOWS, config=CONFIG)
    assert 0 < sum(rows) <= 2 * report.total


def test_a_dry_run_tells_and_writes_nothing(store, dataset, later, monkeypatch):
    load_graph(store, dataset, WINDOWS, CONFIG)
    path = snapshot_path(store.config)
    before, state, snapshot = graph_checksum(store, schema_of(dataset)), graph_state(store), path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(store, "write", None)
        patch.setattr(store, "schema_command", None)
        told = sync_graph(store, later, WINDOWS, CONFIG, dry_run=True)
    assert (graph_checksum(store, schema_of(dataset)), graph_state(store), path.read_bytes()) == (
        before,
        state,
        snapshot,
    )
    done = sync_graph(store, later, WINDOWS, CONFIG)
    assert told.changes == done.changes
    assert told.dry_run
    assert told.total == done.total > 0


def test_an_empty_store_is_loaded(store, dataset):
    told = sync_graph(store, dataset, WINDOWS, CONFIG, dry_run=True)
    assert graph_state(store) is None
    report = sync_graph(store, dataset, WINDOWS, CONFIG)
    assert report.full == told.full == "the store is empty"
    assert report.changes == told.changes
    assert report.unmatched == told.unmatched == {"Coupon-APPLIES_TO-Product": 1}
    _assert_in_step(store, dataset)


def test_another_schema_is_loaded_as_a_whole(store, dataset, make_dataset):
    load_graph(store, dataset, WINDOWS, CONFIG)
    plain = make_dataset(attributes={})
    report = sync_graph(store, plain, WINDOWS, CONFIG)
    assert "labels or relationships" in report.full
    _assert_in_step(store, plain)
    assert store.read("MATCH (n:Brand) RETURN count(n) AS n") == [{"n": 0}]


def test_vanished_ones_can_stay_with_an_end_date(store, dataset, later):
    load_graph(store, dataset, WINDOWS, CONFIG)
    sync_graph(store, later, WINDOWS, CONFIG, vanished="end")
    assert graph_state(store).marked
    ended = store.read("MATCH (p:Product) WHERE p.ended IS NOT NULL RETURN p.product_id AS id")
    assert ended == [{"id": "p07"}]
    edges = store.read("MATCH (:Product {product_id: 'p05'})-[r:IN_TYPE]->(t) RETURN t.node_id AS t, r.ended AS ended")
    assert {row["t"]: row["ended"] is None for row in edges} == {"Lamps > 2": True, _type_of(dataset, "p05"): False}
    _assert_read_as(store, later)


def test_ended_ones_come_alive_when_they_reappear(store, dataset, later):
    load_graph(store, dataset, WINDOWS, CONFIG)
    sync_graph(store, later, WINDOWS, CONFIG, vanished="end")
    sync_graph(store, dataset, WINDOWS, CONFIG, vanished="end")
    alive = "MATCH (:Product {product_id: 'p07'})-[r]-() WHERE r.ended IS NULL RETURN count(r) AS n"
    assert store.read(alive)[0]["n"] > 0
    assert store.read("MATCH (p:Product {product_id: 'p07'}) RETURN p.ended AS ended") == [{"ended": None}]
    twice = "MATCH (a)-[r:IN_TYPE]->(b) WITH a, b, count(r) AS n WHERE n > 1 RETURN count(*) AS pairs"
    assert store.read(twice) == [{"pairs": 0}]
    assert sync_graph(store, dataset, WINDOWS, CONFIG, recheck=True).total == 0
    _assert_read_as(store, dataset)


def test_windows_come_and_go(store, dataset):
    load_graph(store, dataset, WINDOWS, CONFIG)
    report = sync_graph(store, dataset, [15, 18], CONFIG)
    moved = report.changes["Category-BOUGHT_WITH-Category"]
    assert moved.added
    assert moved.vanished
    assert "Product" not in {name for name, one in report.changes.items() if one != Counts()}
    _assert_in_step(store, dataset, [15, 18])


def test_other_counting_is_counted_anew(store, dataset):
    load_graph(store, dataset, WINDOWS, CONFIG)
    other = CoPurchaseConfig(min_support=3, window=5)
    assert sync_graph(store, dataset, WINDOWS, other).changes["Type-BOUGHT_WITH-Type"].vanished
    _assert_in_step(store, dataset, config=other)


def test_unchanged_purchases_are_not_counted_again(store, dataset, make_dataset, monkeypatch):
    """New interactions after the last cut-off, a product without purchases more: no window's counts can differ."""
    load_graph(store, dataset, WINDOWS, CONFIG)
    tables = dataset.tables
    more = tables.interactions.iloc[-5:].assign(time=30)
    changed = make_dataset(
        interactions=pd.concat([tables.interactions, more], ignore_index=True),
        products=pd.concat([tables.products, tables.products.iloc[:1].assign(product_id="a new one")]),
    )
    monkeypatch.setattr(sync, "co_purchase_table", None)
    report = sync_graph(store, changed, WINDOWS, CONFIG)
    assert report.changes["Product"] == Counts(1, 0, 0)
    monkeypatch.undo()
    _assert_in_step(store, changed)


def test_what_others_did_to_the_graph_is_put_right_by_a_recheck(store, dataset):
    load_graph(store, dataset, WINDOWS, CONFIG)
    store.write("MATCH (p:Product {product_id: 'p01'}) DETACH DELETE p")
    store.write("MATCH (a)-[r:BOUGHT_WITH {window_end: 15}]->(b) SET r.lift = 0.0")
    assert sync_graph(store, dataset, WINDOWS, CONFIG).total == 0
    assert sync_graph(store, dataset, WINDOWS, CONFIG, recheck=True).total > 0
    _assert_in_step(store, dataset)


def test_properties_of_others_stay(store, dataset, later):
    """What a write-back left on nodes is no business of an update."""
    load_graph(store, dataset, WINDOWS, CONFIG)
    store.write("MATCH (p:Product {product_id: 'p03'}) SET p.embedding = [0.5, 0.25]")
    sync_graph(store, later, WINDOWS, CONFIG)
    found = store.read("MATCH (p:Product {product_id: 'p03'}) RETURN p.text AS text, p.embedding AS vector")
    assert found == [{"text": "another text", "vector": [0.5, 0.25]}]


def test_parallel_relationships_are_one_pair(store, dataset, make_dataset):
    rows = dataset.tables.relations
    twice = pd.concat([rows, rows.iloc[[0]].assign(weight=9.0)], ignore_index=True)
    load_graph(store, make_dataset(relations=twice), WINDOWS, CONFIG)
    _assert_in_step(store, make_dataset(relations=twice))
    report = sync_graph(store, dataset, WINDOWS, CONFIG)
    assert report.changes["Coupon-APPLIES_TO-Product"] == Counts(0, 1, 0)
    _assert_in_step(store, dataset)


def test_another_shop_is_refused_and_left_alone(store, dataset, make_dataset):
    load_graph(store, dataset, WINDOWS, CONFIG)
    for work in (sync_graph, load_graph):
        with pytest.raises(
            InputError, match=r"holds the graph of 'tiny', and this data is 'corner'[\s\S]*NEO4J_DATABASE"
        ):
            work(store, make_dataset(name="corner", attributes={}), WINDOWS, CONFIG)
    _assert_in_step(store, dataset)
    other = make_dataset(name="corner", attributes={})
    load_graph(store, other, WINDOWS, CONFIG, replace_other=True)
    _assert_in_step(store, other)


def test_a_folder_that_cannot_be_written_costs_only_the_snapshot(store, dataset, later, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(store, "config", dataclasses.replace(store.config, home=tmp_path / "file" / "home"))
    load_graph(store, dataset, WINDOWS, CONFIG)
    assert "no snapshot" in capsys.readouterr().err
    assert sync_graph(store, later, WINDOWS, CONFIG).compared == "the store"
    _assert_in_step(store, later)


def test_a_damaged_snapshot_is_none(tmp_path, embedded_store, dataset, monkeypatch):
    monkeypatch.setattr(embedded_store, "config", dataclasses.replace(embedded_store.config, home=tmp_path))
    embedded_store.write("MATCH (n) DETACH DELETE n")
    load_graph(embedded_store, dataset, WINDOWS, CONFIG)
    path, revision = snapshot_path(embedded_store.config), graph_state(embedded_store).revision
    assert set(read_snapshot(path, revision)) > {"Product", "Product-IN_TYPE-Type"}
    assert read_snapshot(path, "another") is None
    whole = path.read_bytes()
    for part in (b"", whole[:100], whole[: len(whole) // 2], b"x" * 300):
        path.write_bytes(part)
        assert read_snapshot(path, revision) is None


def test_the_report_is_shown(store, dataset, later, capsys):
    load_graph(store, dataset, WINDOWS, CONFIG)
    sync.show(sync_graph(store, later, WINDOWS, CONFIG, dry_run=True))
    told = capsys.readouterr().err
    for word in ("Would change", "added", "vanished", "Product-IN_TYPE-Type", "would be written"):
        assert word in told


def _type_of(dataset, product):
    members = dataset.tables.memberships
    return members.loc[members["product_id"] == product, "node_id"].item()


def _assert_read_as(store, data):
    """What is read back for training is what a load of this data would give."""
    found = read_graph(store, 15)
    store.write("MATCH (n) DETACH DELETE n")
    load_graph(store, data, WINDOWS, CONFIG)
    expected = read_graph(store, 15)
    assert {k: v.tolist() for k, v in found.ids.items()} == {k: v.tolist() for k, v in expected.ids.items()}
    for triple in expected.data.edge_types:
        assert found.data[triple].edge_index.equal(expected.data[triple].edge_index)


KIND = NodeKind("Thing", "id", ("text",))
ROWS = st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.text(max_size=2)), max_size=12)


def _frame(rows):
    return pd.DataFrame({"id": list(rows), "text": list(rows.values())}, columns=["id", "text"], dtype=object)


@settings(max_examples=150, deadline=None)
@given(old=ROWS, new=ROWS)
def test_differences_are_those_of_the_rows(old, new):
    change, found = compare(KIND, _frame(new), digests(_frame(old), ["id"])[0])
    assert set(change.added["id"]) == new.keys() - old.keys()
    assert set(change.vanished["id"] if len(change.vanished) else ()) == old.keys() - new.keys()
    assert set(change.changed["id"]) == {key for key in old.keys() & new.keys() if old[key] != new[key]}
    assert change.counts == (len(change.added), len(change.changed), len(change.vanished))
    assert len(found) == len(new)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.floats(0, 2)), max_size=12), st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    columns = ["source", "target", "weight"]
    shuffled = random.sample(rows, len(rows))
    one, other = (digests(pd.DataFrame(r, columns=columns), ["source", "target"])[0] for r in (rows, shuffled))
    np.testing.assert_array_equal(one.key, other.key)
    np.testing.assert_array_equal(one.digest, other.digest)
