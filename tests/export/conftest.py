"""One finished run, loaded and exported once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from export.commands import export
from export.config import ExportConfig
from export.reader import Export
from kg.config import StoreConfig
from training.loaded import load_run

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> StoreConfig:
    """A store of our own for the run's graph."""
    return StoreConfig(home=tmp_path_factory.mktemp("export") / "graph", heap="256m")


@pytest.fixture(scope="session")
def run(finished, store):
    return load_run(finished.folder, store)


@pytest.fixture(scope="session")
def write(finished, store, run, tmp_path_factory):
    """Exports the run as the command does, without loading it anew each time."""

    def make(to, overwrite=False, changed_since=None, **settings):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("export.commands.load_run", lambda folder, store: run)
            return export(finished.folder, to, ExportConfig(**settings), overwrite, changed_since, store)

    return make


@pytest.fixture(scope="session")
def whole(write, tmp_path_factory) -> Export:
    """Everything, as Parquet; to be read only."""
    folder = tmp_path_factory.mktemp("whole") / "export"
    write(folder, parts=["graph", "text"])
    return Export.open(folder)
