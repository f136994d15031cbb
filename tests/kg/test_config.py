from pathlib import Path

import pytest

from errors import InputError
from kg.config import StoreConfig

ENVIRONMENT = {
    "NEO4J_URI": "neo4j://db:7687",
    "NEO4J_USERNAME": "ann",
    "NEO4J_PASSWORD": "secret",
    "NEO4J_DATABASE": "shop",
}


def test_environment_fills_what_is_empty():
    found = StoreConfig().resolved(ENVIRONMENT)
    assert (found.uri, found.username, found.password, found.database) == tuple(ENVIRONMENT.values())
    assert not found.is_embedded


def test_what_is_set_wins_over_the_environment():
    given = StoreConfig(uri="bolt://here:1", username="bob", password="own", database="mine")
    assert given.resolved(ENVIRONMENT) == given


def test_embedded_is_the_default_and_can_be_asked_for():
    assert StoreConfig().resolved({}).is_embedded
    assert StoreConfig(uri="embedded").resolved(ENVIRONMENT).is_embedded


def test_password_is_never_printed():
    assert "secret" not in repr(StoreConfig(password="secret"))


@pytest.mark.parametrize("wrong", [{"heap": "-1g"}, {"heap": "lots"}, {"heap": "1g -Dx=y"}, {"batch_size": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        StoreConfig(home=Path("x"), **wrong)
