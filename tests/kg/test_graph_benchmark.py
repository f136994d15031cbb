"""The benchmark of the graph on next to nothing."""

import importlib.util
import json
import sys
from pathlib import Path

import psutil
import pytest

from kg.store import GraphStore

FILE = Path(__file__).parents[2] / "benchmarks" / "graph.py"
SIZES = {"products": 120, "users": 60, "categories": 12, "departments": 3, "baskets_per_user": 6}
CUTOFFS = {"train_cutoffs": [19], "validation_cutoff": 26, "refit_cutoffs": [], "test_cutoff": 33, "horizon": 7}


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_graph", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _flags():
    flags = ["--data.source=synthetic", "--store.heap=256m"]
    flags += [f"--data.synthetic.{name}={value}" for name, value in SIZES.items()]
    return flags + [f"--protocol.{name}={value}" for name, value in CUTOFFS.items()]


def test_it_measures_what_it_says(benchmark, tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert benchmark.main(["--only=embedded", "--share=0.1", f"--json={out}", *_flags()]) == 0
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


def test_without_a_neo4j_the_remedy_is_told(benchmark, monkeypatch, capsys):
    monkeypatch.delenv("NEO4J_URI", raising=False)
    assert benchmark.main(["--only=neo4j", *_flags()]) == 2
    assert "NEO4J_URI" in capsys.readouterr().err


def test_a_neo4j_is_started_on_request(benchmark, neo4j_server, tmp_path):
    with benchmark._started(neo4j_server.config, tmp_path / "neo4j")() as place, GraphStore.open(place.config) as store:
        assert store.read("RETURN 1 AS one") == [{"one": 1}]
        assert psutil.pid_exists(place.pid)
    assert not psutil.pid_exists(place.pid)
