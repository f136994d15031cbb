"""A made-up shop of 80 users, and the same shop with another future."""

from __future__ import annotations

import pytest

from data.config import DataConfig, SyntheticConfig
from data.load import load
from tests.futures import another_future, with_tables, without_future

SMALL = {"departments": 3, "categories": 12, "types_per_category": 2, "start_categories": 3, "later_categories": 2}


def shop_of(**sizes):
    settings = {"products": 60, "users": 80, "periods": 24, "stores": 3, "brands": 4, **SMALL, **sizes}
    return load(DataConfig(source="synthetic", synthetic=SyntheticConfig(**settings)))


@pytest.fixture(scope="session")
def make_shop():
    return shop_of


@pytest.fixture(scope="session")
def shop():
    return shop_of()


@pytest.fixture(scope="session")
def futures():
    """Ways to change what comes after a cut-off: (dataset, cutoff) → Dataset."""
    return {"drawn anew": another_future, "gone": without_future}


@pytest.fixture(scope="session")
def changed():
    """Factory: (dataset, **changes to its tables) → Dataset."""
    return with_tables
