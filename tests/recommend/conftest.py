"""The whole tiny run, loaded once for all tests of the folder, with a graph store of its own."""

from __future__ import annotations

import pytest

from kg.config import StoreConfig
from recommend import Recommender
from training.loaded import load_chosen, load_run


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return StoreConfig(uri="embedded", home=tmp_path_factory.mktemp("recommend") / "graph", heap="256m")


@pytest.fixture(scope="session")
def loaded(finished, store):
    return load_run(finished.folder, store)


@pytest.fixture
def recommender(loaded):
    """A recommender of its own for each test, since `update` changes it."""
    return Recommender(loaded)


@pytest.fixture(scope="session")
def chosen(finished, store):
    """The run as validation chose it, at the validation cut-off."""
    return load_chosen(finished.folder, store)
