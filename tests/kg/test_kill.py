"""kill -9 of the program or of the store at random statements: the same command again makes the graph whole."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nights import next_night
from program import CONFIG, WINDOWS, config_of, count_statements, work

from data.dataset import Dataset
from kg.checksum import graph_checksum, tables_checksum
from kg.load import graph_state
from kg.schema import schema_of
from kg.store import GraphStore

PROGRAM = Path(__file__).with_name("program.py")
SEED = 4


@pytest.fixture(scope="module")
def statements(embedded_store, tmp_path_factory):
    """How many changing statements an undisturbed load and update send."""
    embedded_store.write("MATCH (n) DETACH DELETE n")
    before = vars(embedded_store).copy()
    embedded_store.config = dataclasses.replace(
        embedded_store.config, batch_size=5, home=tmp_path_factory.mktemp("counted")
    )
    seen, numbers = count_statements(embedded_store), {}
    for what in ("load", "sync"):
        done = len(seen)
        work(embedded_store, what)
        numbers[what] = len(seen) - done
    vars(embedded_store).clear()
    vars(embedded_store).update(before)
    return numbers


def _killed(config, what, victim, at, seconds):
    """Run the program until it is killed, or until the server is, in the given statement."""
    command = [sys.executable, str(PROGRAM), str(config.home), what, config.uri, config.password]
    command += [str(at), f"{seconds:.4f}", str(victim)]
    paths = os.pathsep.join([str(PROGRAM.parents[2]), str(PROGRAM.parent)])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env={**os.environ, "PYTHONPATH": paths}
    )
    assert "open" in done.stdout, done.stderr
    assert "done" not in done.stdout
    assert done.returncode != 0


def _moments(statements, what, count):
    """Random statements of a piece of work, and moments within them."""
    rng = np.random.default_rng([SEED, len(what)])
    return [(int(rng.integers(2, statements[what] - 2)), float(rng.uniform(0, 0.004))) for _ in range(count)]


def _made_whole(config, what, data):
    with GraphStore.open(config) as store:
        state = graph_state(store)
        assert state is None or not state.complete or what == "sync"
        work(store, what)
        assert graph_state(store).complete
        assert graph_checksum(store, schema_of(data)) == tables_checksum(data, WINDOWS, CONFIG)


def test_embedded_store(tmp_path, dataset, statements):
    config = config_of(tmp_path / "graph")
    for victim, (at, seconds) in zip((0, -1), _moments(statements, "load", 2), strict=True):
        _killed(config, "load", victim, at, seconds)
    _made_whole(config, "load", dataset)
    for victim, (at, seconds) in zip((-1, 0), _moments(statements, "sync", 2), strict=True):
        _killed(config, "sync", victim, at, seconds)
    _made_whole(config, "sync", Dataset.from_tables(next_night(dataset.tables)))


def test_neo4j(tmp_path, dataset, statements, neo4j_server, empty_neo4j):
    config = config_of(tmp_path, neo4j_server.config.uri, neo4j_server.config.password)
    for what, data in (("load", dataset), ("sync", Dataset.from_tables(next_night(dataset.tables)))):
        for victim, (at, seconds) in zip((neo4j_server.pid, 0), _moments(statements, what, 2), strict=True):
            _killed(config, what, victim, at, seconds)
            if victim:
                neo4j_server.start()
        _made_whole(config, what, data)
