"""The benchmark of the graph on next to nothing."""

import json

import psutil

from benchmarks import graph
from kg.store import GraphStore

SIZES = {"products": 120, "users": 60, "categories": 12, "departments": 3, "baskets_per_user": 6}
CUTOFFS = {"train_cutoffs": [19], "validation_cutoff": 26, "refit_cutoffs": [], "test_cutoff": 33, "horizon": 7}


def _flags():
    flags = ["--data.source=synthetic", "--store.heap=256m"]
    flags += [f"--data.synthetic.{name}={value}" for name, value in SIZES.items()]
    return flags + [f"--protocol.{name}={value}" for name, value in CUTOFFS.items()]


def test_it_measures_what_it_says(tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert graph.main(["--only=embedded", "--share=0.1", f"--json={out}", *_flags()]) == 0
    shown = capsys.readouterr().out
    rates = {rate["work"]: rate for rate in json.loads(out.read_text("utf-8"))}
    assert set(rates) == {"load", "update", "read one", "read all", "read again"}
    for work, rate in rates.items():
        assert work in shown
        assert rate["rows"] > 0
        assert rate["seconds"] > 0
        assert rate["floor_seconds"] > 0
        assert rate["server_cpu"] >= 0
        assert rate["python_cpu"] >= 0
    assert rates["update"]["rows"] < rates["load"]["rows"]


def test_without_a_neo4j_the_remedy_is_told(monkeypatch, capsys):
    monkeypatch.delenv("NEO4J_URI", raising=False)
    assert graph.main(["--only=neo4j", *_flags()]) == 2
    assert "NEO4J_URI" in capsys.readouterr().err


def test_a_neo4j_is_started_on_request(neo4j_server, tmp_path):
    with graph._started(neo4j_server.config, tmp_path / "neo4j")() as place, GraphStore.open(place.config) as store:
        assert store.read("RETURN 1 AS one") == [{"one": 1}]
        assert psutil.pid_exists(place.pid)
    assert not psutil.pid_exists(place.pid)
