"""The sampling benchmark on next to nothing: every way, the store included."""

from __future__ import annotations

import json

import pytest

from benchmarks import sampling


def test_every_way_on_a_very_small_graph(tmp_path, capsys):
    settings = sampling.Settings(batch=64, fanouts=[4, 2], seconds=0.01, heap="256m")
    assert sampling.measure(sampling.WAYS[3], 150, settings, tmp_path) == {}, "the first process only loads"
    figures = [sampling.measure(way, 150, settings, tmp_path) for way in sampling.WAYS]
    loaded = json.loads((tmp_path / "loaded.json").read_text("utf-8"))
    # 150 products, 6 types, 1 category, 3 brands; 150 + 150 + 6 edges, and those between products.
    assert 150 + 6 + 1 + 3 + 306 < loaded["rows"] <= 150 + 6 + 1 + 3 + 306 + 450
    assert [row["way"] for row in figures] == list(sampling.WAYS)
    assert all(row["step"] > 0 and row["peak_mb"] >= 0 for row in figures)
    assert all((row["nodes"] is None) == ("sampled" not in row["way"]) for row in figures)
    sampled = figures[2]
    assert sampled["epoch"] == pytest.approx(3 * sampled["step"])
    sampling.show(figures, {150: loaded})
    shown = capsys.readouterr().out
    assert "sampled, store" in shown
    assert f"loading 150 products into the store: {loaded['rows']} rows" in shown


def test_both_consumers_get_the_same_graph():
    """The tables that are loaded into the store hold the edges that PyG is given."""
    graph, tables = sampling.graph_of(200), sampling.dataset_of(200).tables
    facts = graph["Product", sampling.ALSO, "Product"].edge_index
    assert len(tables.relations) == facts.shape[1]
    member = graph["Product", sampling.IN, "Type"].edge_index[1]
    assert tables.memberships["node_id"].tolist() == [f"t{i}" for i in member.tolist()]
    assert len(tables.taxonomy[tables.taxonomy["level"] == "type"]) == int(graph["Type"].num_nodes)


def test_help_tells_what_it_does(capsys):
    with pytest.raises(SystemExit) as ended:
        sampling.main(["--help"])
    assert ended.value.code == 0
    assert "as the catalogue grows" in capsys.readouterr().out
