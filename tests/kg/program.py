"""A program for the kill tests: opens a store, loads or updates, says when; on demand it kills itself or the server.

Arguments: home folder; what to do (``open``, ``load``, ``sync``); then, all optional, address and password of a Neo4j
(``embedded``), the number of a statement in which to kill, seconds into it, the process to kill (0: itself, −1: the
embedded server). Runs with the project and this folder on ``PYTHONPATH``.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from conftest import build_tables
from nights import next_night

from data.dataset import Dataset
from kg.config import CoPurchaseConfig, StoreConfig
from kg.load import load_graph
from kg.store import GraphStore
from kg.sync import sync_graph

DEFAULTS = ["embedded", "", "0", "0", "0"]
CONFIG = CoPurchaseConfig(min_support=2)
WINDOWS = [10, 15]


def config_of(home, uri="embedded", password=""):
    """Small batches, so that there are many statements to be killed in."""
    return StoreConfig(uri=uri, password=password, home=home, heap="256m", batch_size=5, retry_time=1)


def count_statements(store, at=0, kill=None):
    """Count the changing statements from now on, and call ``kill`` in the one with the number ``at``."""
    seen = []

    def counting(run):
        def counted(query, **params):
            seen.append(query)
            if len(seen) == at:
                kill()
            return run(query, **params)

        return counted

    store.write, store.schema_command = counting(store.write), counting(store.schema_command)
    return seen


def work(store, what):
    """Load the tiny shop, or bring its graph in step with the next day's."""
    if what == "load":
        return load_graph(store, Dataset.from_tables(build_tables()), WINDOWS, CONFIG)
    return sync_graph(store, Dataset.from_tables(next_night(build_tables())), WINDOWS, CONFIG)


def main(home, what, uri, password, at, seconds, victim):
    """Do it."""
    with GraphStore.open(config_of(Path(home), uri, password)) as store:
        numbers = (store.server.pid, store.server._guard.pid) if store.server else (0, 0)
        pid = {0: os.getpid(), -1: numbers[0]}.get(int(victim), int(victim))
        count_statements(store, int(at), threading.Timer(float(seconds), os.kill, (pid, signal.SIGKILL)).start)
        print("open", *numbers, flush=True)
        if what != "open":
            work(store, what)
            print("done", flush=True)
        time.sleep(120)


if __name__ == "__main__":
    main(*sys.argv[1:], *DEFAULTS[len(sys.argv) - 3 :])
