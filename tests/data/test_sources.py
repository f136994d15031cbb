"""What every source must deliver, and the known figures of the built-in data."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data.config import DataConfig, SyntheticConfig
from data.dataset import Dataset, fingerprint
from data.load import load, read
from data.lookup import among
from data.rejects import COLUMNS, count_rejects
from data.sources import complete_journey
from data.splits import targets
from data.validate import INTERACTIONS, MEMBERSHIPS, PRODUCTS, RELATIONS, TAXONOMY, USERS, validate

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CONFIGS = {
    "complete_journey": DataConfig(),
    "tabular": DataConfig(source="tabular", mapping=EXAMPLES / "tiny_shop" / "mapping.yaml"),
    "synthetic": DataConfig(source="synthetic", synthetic=SyntheticConfig(users=150, products=300, chunk=64)),
}


@cache
def loaded(source: str) -> Dataset:
    return load(CONFIGS[source])


class SourceContract:
    """Checks that hold whatever the source; a subclass names it."""

    source: str

    @pytest.fixture
    def dataset(self) -> Dataset:
        return loaded(self.source)

    @pytest.mark.parametrize(
        ("table", "schema"),
        [
            ("products", PRODUCTS),
            ("taxonomy", TAXONOMY),
            ("memberships", MEMBERSHIPS),
            ("interactions", INTERACTIONS),
            ("users", USERS),
            ("relations", RELATIONS),
        ],
    )
    def test_tables_fulfil_their_schemas(self, dataset, table, schema):
        frame = getattr(dataset.tables, table)
        schema.validate(frame)
        assert frame.index.equals(pd.RangeIndex(len(frame)))

    def test_validated_tables_have_nothing_more_to_reject(self, dataset):
        clean = replace(dataset.tables, rejects=dataset.tables.rejects.iloc[:0])
        assert len(validate(clean).rejects) == 0

    def test_interactions_are_sorted_by_time(self, dataset):
        assert dataset.tables.interactions["time"].is_monotonic_increasing
        assert np.all(np.diff(dataset.log.time) >= 0)

    def test_ids_are_unique(self, dataset):
        assert dataset.tables.products["product_id"].is_unique
        assert dataset.tables.users["user_id"].is_unique
        assert dataset.tables.memberships.duplicated().sum() == 0

    def test_every_user_of_the_interactions_is_a_user(self, dataset):
        assert among(dataset.tables.interactions["user_id"], dataset.tables.users["user_id"]).all()

    def test_attributes_are_columns_of_the_products(self, dataset):
        assert set(dataset.tables.attributes) <= set(dataset.tables.products.columns)

    def test_every_product_has_a_category(self, dataset):
        assert dataset.catalogue.interest.primary.min() >= 0

    def test_levels_chain(self, dataset):
        """Whoever sits at a level sits at the level above, as the parents say."""
        taxonomy = dataset.tables.taxonomy.dropna(subset=["parent_id"])
        for row in taxonomy.drop_duplicates("level").itertuples():
            child, parent = dataset.catalogue.levels[row.level], dataset.catalogue.levels[row.parent_level]
            members = child.of_product[:, [child.index.get_loc(row.node_id)]].nonzero()[0]
            above = parent.of_product[:, [parent.index.get_loc(row.parent_id)]].nonzero()[0]
            assert set(members) <= set(above)

    def test_encoding_goes_both_ways(self, dataset):
        rows, log = dataset.tables.interactions, dataset.log
        assert dataset.user_ids[log.user].tolist() == rows["user_id"].tolist()
        assert dataset.catalogue.product_ids[log.product].tolist() == rows["product_id"].tolist()
        np.testing.assert_array_equal(log.time, rows["time"])
        np.testing.assert_allclose(log.quantity, rows["quantity"], rtol=1e-6)
        assert log.basket.min() == 0
        assert (log.store >= 0).sum() == rows["store_id"].notna().sum()

    def test_a_basket_belongs_to_one_user(self, dataset):
        pairs = pd.DataFrame({"basket": dataset.log.basket, "user": dataset.log.user}).drop_duplicates()
        assert pairs["basket"].is_unique

    def test_fingerprint_is_stable_and_sensitive(self, dataset):
        tables = dataset.tables
        assert fingerprint(tables) == dataset.fingerprint
        other = tables.products.copy()
        other.loc[0, "text"] = "something else"
        assert fingerprint(replace(tables, products=other)) != dataset.fingerprint

    def test_reading_again_gives_the_same(self, dataset):
        config = replace(CONFIGS[self.source], max_users=40)
        assert fingerprint(read(config)) == fingerprint(read(config))

    def test_rejects_tell_all(self, dataset):
        rejects = dataset.tables.rejects
        assert list(rejects.columns) == COLUMNS
        assert rejects.notna().all().all()
        assert (rejects["row"] >= 1).all()
        assert count_rejects(dataset.tables)["rows"].sum() == len(rejects)


class TestTabular(SourceContract):
    source = "tabular"

    def test_figures_of_the_example(self, dataset):
        assert len(dataset.user_ids) == 80
        assert len(dataset.catalogue.product_ids) == 61
        assert {name: len(level) for name, level in dataset.catalogue.levels.items()} == {
            "aisle": 4,
            "shelf": 13,
        }
        begins = "period 0 begins on 2024-01-01, one period is one week"
        assert dataset.tables.notes == [f"{begins}, the last one is 29 and begins on 2024-07-22"]
        assert len(targets(dataset, dataset.catalogue.interest, 24, 6).users) > 20


class TestSynthetic(SourceContract):
    source = "synthetic"


class TestCompleteJourney(SourceContract):
    source = "complete_journey"

    def test_known_figures(self, dataset):
        assert len(dataset.user_ids) == 2469
        assert len(dataset.catalogue.product_ids) == 91_692
        sizes = {name: len(level) for name, level in dataset.catalogue.levels.items()}
        assert sizes == {"department": 29, "category": 303, "type": 3793}
        assert (dataset.log.time[0], dataset.log.time[-1]) == (1, 53)

    def test_known_targets(self, dataset):
        found = targets(dataset, dataset.catalogue.interest, 47, 7)
        assert len(found.users) == 2075
        assert found.hits.nnz / 2075 == pytest.approx(7.4, abs=0.05)

    def test_rows_without_a_category_are_listed(self, dataset):
        rejects = dataset.tables.rejects
        reasons = rejects[rejects["table"] == "products"]["reason"].value_counts()
        assert reasons["no category: product_category is empty"] == 540
        assert reasons["no type in its category: product_type is empty"] == 99
        lost = rejects[rejects["table"] == "interactions"]
        assert len(lost) + len(dataset.log) == 1_469_307

    def test_types_are_paths(self, dataset):
        level = dataset.catalogue.levels["type"]
        at = level.index.get_loc("FRZN ICE > ICE - CRUSHED/CUBED")
        assert level.texts[at] == "ice - crushed/cubed, frzn ice, grocery"
        product = dataset.catalogue.product_index.get_loc("25671")
        assert dataset.catalogue.product_texts[product] == "national, 22 lb"
        assert level.primary[product] == at

    def test_weeks_of_dates_agree_with_the_transactions(self):
        file = complete_journey._folder() / "transactions.parquet"
        rows = pq.read_table(file, columns=["week", "transaction_timestamp"]).to_pandas()
        rows = rows.sample(50_000, random_state=0)
        day = rows["transaction_timestamp"] - pd.Timedelta(hours=5)  # stamps are UTC, the shops are not
        assert (complete_journey.week_of(day) == rows["week"]).mean() > 0.999

    def test_coupons_are_known_from_the_week_a_campaign_starts(self, dataset):
        relations = dataset.tables.relations
        offers = relations[relations["relation"] == "OFFERS"]
        assert offers[offers["source_id"] == "18"]["time"].unique().tolist() == [45]  # 2017-10-30
        assert relations["time"].notna().all()
        assert relations.duplicated().sum() == 0
