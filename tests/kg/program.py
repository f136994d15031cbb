"""A program for the kill tests: opens the store in the folder of its first argument, loads, says when.

Runs with the project and this folder on ``PYTHONPATH``.
"""

import sys
import time
from pathlib import Path

from conftest import build_tables

from data.dataset import Dataset
from kg.config import CoPurchaseConfig, StoreConfig
from kg.load import load_graph
from kg.store import GraphStore

config = StoreConfig(uri="embedded", home=Path(sys.argv[1]), heap="256m", batch_size=5, retry_time=1)
with GraphStore.open(config) as store:
    print("open", store.server.pid, store.server._guard.pid, flush=True)
    if sys.argv[2] == "load":
        load_graph(store, Dataset.from_tables(build_tables()), [10, 15], CoPurchaseConfig(min_support=2))
        print("loaded", flush=True)
    time.sleep(120)
