"""What a bundle holds to: any order, no repetition, categories, budget; alone as together; what is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cli
from errors import InputError
from recommend import Filters, Recommender, seasons
from recommend.bundles import Bundler


@pytest.fixture(scope="module")
def model(loaded):
    """The learnt weights, once for all tests."""
    return Recommender(loaded).bundler.model()


@pytest.fixture
def recommender(loaded, model, monkeypatch):
    learn = Bundler.model
    monkeypatch.setattr(Bundler, "model", lambda self, season=None: model if season is None else learn(self, season))
    return Recommender(loaded)


def products(recommender, *at):
    return [str(recommender.dataset.catalogue.product_ids[place]) for place in at]


def test_the_order_of_a_basket_does_not_matter(recommender):
    basket = products(recommender, 5, 100, 17)
    found = recommender.bundle(basket=basket, size=6)
    pd.testing.assert_frame_equal(found, recommender.bundle(basket=basket[::-1], size=6))
    pd.testing.assert_frame_equal(found, recommender.bundle(basket=[*basket, basket[0]], size=6))


def test_one_product_of_each_category_and_none_twice(recommender):
    found = recommender.bundle(products(recommender, 3), size=8)
    assert len(found) == 8
    assert found["item_id"].is_unique
    assert found["category"].is_unique
    by_type = recommender.bundle(products(recommender, 3), size=30, per="type")
    assert by_type["type"].is_unique
    assert not by_type["category"].is_unique
    assert recommender.bundle(products(recommender, 3), size=40, per="none")["item_id"].is_unique


def test_one_by_one_as_together(recommender):
    anchors = products(recommender, 3, 50, 200)
    together = recommender.bundle(anchors, size=5)
    parts = [recommender.bundle(anchor, size=5) for anchor in anchors]
    pd.testing.assert_frame_equal(together, pd.concat(parts, ignore_index=True))


def test_a_budget_holds_and_is_shared_out(recommender):
    anchor = products(recommender, 3)
    whole = recommender.bundle(anchor, size=5)
    budget = 0.8 * whole["price"].sum()
    found = recommender.bundle(anchor, size=5, budget=budget)
    assert found["price"].sum() <= budget < whole["price"].sum()
    assert len(found) == 5
    prices = recommender.bundler.prices
    assert found["price"].tolist() == [
        prices[recommender.dataset.catalogue.product_index.get_loc(i)] for i in found["item_id"]
    ]


def test_what_sells_together_comes_before_what_does_not(recommender):
    """Scores are log-probabilities of what could be added; without variety the best comes first."""
    found = recommender.bundle(products(recommender, 3), size=2, variety=0)
    bundler = recommender.bundler
    at = recommender.dataset.catalogue.product_index.get_loc(found["item_id"][1])
    own = recommender.dataset.catalogue.interest.primary
    one = sp.csr_array(([1.0], ([0], [3])), shape=(1, len(own)))
    scores = np.where(own != own[3], bundler.model().scores(one)[0], -np.inf)
    assert at == scores.argmax()
    assert found["score"][1] == pytest.approx(scores[at] - np.log(np.exp(scores).sum()), rel=1e-4)


def test_variety_sets_products_apart(recommender):
    vectors, index = recommender.bundler.goods.vectors, recommender.dataset.catalogue.product_index

    def likeness(variety):
        found = recommender.bundle(products(recommender, 3, 90), size=8, variety=variety)
        at = found.groupby("bundle")["item_id"].apply(lambda ids: index.get_indexer(pd.Index(ids)))
        return np.mean([(vectors[some] @ vectors[some].T).mean() for some in at])

    assert likeness(0.9) < likeness(0.0)


def test_what_is_popular_can_count_less(recommender):
    popular, index = recommender.bundler.model().evidence.popular, recommender.dataset.catalogue.product_index

    def mean(share):
        found = recommender.bundle(products(recommender, 3, 90, 200), size=6, popularity=share)
        return popular[index.get_indexer(pd.Index(found.loc[found["added"] > 0, "item_id"]))].mean()

    assert mean(0.0) < mean(1.0)


def test_filters_hold(recommender):
    stock = products(recommender, *range(0, 240, 5))
    found = recommender.bundle(products(recommender, 3), size=5, filters=Filters(stock=stock))
    assert set(found.loc[found["added"] > 0, "item_id"]) <= set(stock)


def test_a_bundle_for_a_time_of_year(recommender, monkeypatch):
    with pytest.raises(InputError, match="how many periods of the data make a year"):
        recommender.bundle(products(recommender, 3), season=5)
    monkeypatch.setitem(seasons.YEAR, "period", 100.0)
    found = recommender.bundle(products(recommender, 3), season=5)
    assert len(found) == 4
    model, held = recommender.bundler.model(5), recommender.history
    assert "season" in model.evidence.names
    assert "lately" not in model.evidence.names
    lift = model.evidence.one("season", sp.csr_array((1, len(recommender.dataset.catalogue.product_ids))))[0]
    lines = pd.DataFrame({"basket": held.basket, "product": held.product, "time": held.time}).drop_duplicates()
    near = lines[(lines["time"] >= 2) & (lines["time"] <= 8)]  # two weeks of 100 periods a year: 3.8 either way
    for product in lines["product"].unique()[:50]:
        share = ((lines["product"] == product).sum() + 0.5) / (lines["basket"].nunique() + 1)
        wanted = np.log(((near["product"] == product).sum() + 20) / (share * (near["basket"].nunique() + 1) + 20))
        assert lift[product] == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(InputError, match="nothing of the time of year of period 80"):
        recommender.bundle(products(recommender, 3), season=80)


def test_bundles_that_fail_are_told_and_the_others_built(recommender):
    found = recommender.bundle([*products(recommender, 3), "lost"], size=60)
    told = recommender.problems
    assert found["bundle"].unique().tolist() == products(recommender, 3)
    assert told["reason"].tolist() == [f"only {len(found)} of 60 products", "the product is not in the catalogue"]
    assert told["row"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"anchor": "lost"}, "the product is not in the catalogue"),
        ({"anchor": None}, "give anchors or a basket"),
        ({"basket": ["p1"]}, "give anchors or a basket"),
        ({"anchor": []}, "it begins with nothing"),
        ({"size": 1}, "size is 1"),
        ({"budget": 0}, "budget is 0"),
        ({"budget": 0.001}, "budget is 0.00"),
        ({"variety": 2}, "variety is 2"),
        ({"popularity": -1}, "popularity is -1"),
        ({"per": "shelf"}, "there is no level 'shelf'"),
        ({"filters": Filters(price_from=1e9)}, "leave no product"),
    ],
)
def test_what_cannot_be_built(recommender, given, words):
    with pytest.raises(InputError, match=words):
        recommender.bundle(**{"anchor": products(recommender, 3)} | given)


def test_a_filter_that_leaves_nothing_to_add(recommender):
    own = recommender.dataset.catalogue.interest
    only = Filters(categories=[str(own.ids[own.primary[3]])])
    with pytest.raises(InputError, match="nothing that may be added"):
        recommender.bundle(products(recommender, 3), filters=only)


def test_more_than_the_size_to_begin_with(recommender):
    with pytest.raises(InputError, match="begins with 3 products, and size is 2"):
        recommender.bundle(basket=products(recommender, 1, 2, 3), size=2)


@pytest.fixture
def command(finished, recommender, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("console.console.width", 200)
    monkeypatch.setattr(Recommender, "load", lambda folder, store=None: recommender)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main(["bundle", str(finished.folder), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_a_basket_as_a_person_types_it(command, recommender):
    basket = products(recommender, 5, 17)
    code, said = command("--basket", ", ".join(basket), "--size", 4, "--out", "set.csv")
    assert code == 0, said
    assert "1 bundle, for" in said
    wanted = recommender.bundle(basket=basket, size=4)
    pd.testing.assert_frame_equal(pd.read_csv("set.csv", dtype={"item_id": str}), wanted, check_dtype=False, rtol=1e-4)
    code, said = command("--anchor", *basket, "--budget", 30)
    assert (code, "2 bundles, for" in said) == (0, True), said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give anchors or a basket"),
        (("--anchor", "lost"), "the product is not in the catalogue"),
        (("--anchor", "p1", "--size", "1"), "size is 1"),
        (("--anchor", "p1", "--out", "set.xlsx"), "no table format '.xlsx'"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(command, arguments, words, tmp_path):
    code, said = command(*arguments)
    assert (code, words in said) == (2, True), said
    assert not list(tmp_path.iterdir())
