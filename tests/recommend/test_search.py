"""What a search holds to: lists without repetition, filters, queries alone and together, users, what is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cli
from errors import InputError
from recommend import Filters, Recommender, query_commands
from recommend.search import Blend, widened
from training.queries import Tuned

PLAIN = {"interest": 0, "graph": 0, "own": 0, "diversity": 0}


def named(recommender, at=0):
    """A category, and words that name it."""
    level = recommender.dataset.catalogue.interest
    return str(level.ids[at]), level.names[at]


def test_who_asks_by_name_finds_the_category(recommender):
    category, words = named(recommender)
    found = recommender.search(words, k=3, **PLAIN)
    assert set(found["category"]) == {category}
    assert list(found["rank"]) == [1, 2, 3]
    assert (np.diff(found["score"]) <= 0).all()


def test_a_list_never_repeats_and_spreads_over_categories(recommender):
    _, words = named(recommender)
    found = recommender.search(words, k=12)
    assert found["item_id"].is_unique
    assert found["category"].nunique() > recommender.search(words, k=12, diversity=0)["category"].nunique()


def test_one_by_one_as_together(recommender):
    texts = [named(recommender, at)[1] for at in (3, 1, 7)]
    user = recommender.user_ids[4]
    together = recommender.search(texts, user, k=5)
    assert list(together["query"].drop_duplicates()) == texts
    for text in texts:
        alone = recommender.search(text, user, k=5)
        part = together[together["query"] == text].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone, rtol=1e-4)


def test_the_interest_of_a_user_moves_the_list(recommender):
    _, words = named(recommender)
    one, other = (recommender.search(words, user, k=20, interest=1.0) for user in recommender.user_ids[:2])
    assert list(one["item_id"]) != list(other["item_id"])
    without = [recommender.search(words, user, k=20, interest=0) for user in recommender.user_ids[:2]]
    assert list(without[0]["item_id"]) == list(without[1]["item_id"])


def test_without_a_user_what_is_popular_counts(recommender):
    _, words = named(recommender)
    rows = pd.DataFrame({"user_id": ["new"], "product_id": [None], "time": [30]})
    recommender.update(rows)
    stranger = recommender.search(words, "new", k=8)
    pd.testing.assert_frame_equal(recommender.search(words, k=8), stranger, rtol=1e-4)


def test_filters_hold(recommender):
    category, words = named(recommender)
    catalogue = recommender.dataset.catalogue
    stock = [str(name) for name in catalogue.product_ids[::3]]
    found = recommender.search(words, k=6, filters=Filters(stock=[*stock, "lost"], forbidden=[category]))
    assert set(found["item_id"]) <= set(stock)
    assert category not in set(found["category"])
    assert "lost" in set(recommender.problems["value"])


def test_only_categories_never_bought_from(recommender):
    has = (recommender.history.counts(recommender.dataset.catalogue.interest.of_product) > 0).toarray()
    bought = int(np.flatnonzero(has[0])[0])
    category, words = named(recommender, bought)
    user = recommender.user_ids[0]
    assert category in set(recommender.search(words, user, k=4)["category"])
    assert category not in set(recommender.search(words, user, k=4, filters=Filters())["category"])


def test_links_carry_likeness_to_what_is_bought_together():
    links = sp.csr_array(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32))
    likeness, of_item = np.array([0.8, 0.2, 0.1, 0.5], dtype=np.float32), np.array([0, 1, 2, -1])
    found = widened(likeness, of_item, links, 0.5)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.1, 0.5])
    np.testing.assert_allclose(widened(likeness, of_item, links, 0), likeness)


def test_what_is_amiss_with_a_query_is_told(recommender):
    count = len(recommender.dataset.catalogue.product_ids)
    found = recommender.search(["wine " * 2000, "海滩度假"], k=count + 5, diversity=0)
    told = recommender.problems
    assert found.groupby("query").size().max() <= count
    assert f"only the first {recommender.run.config.text.max_tokens} tokens are read" in set(told["reason"])
    assert told["reason"].str.contains(f"of {count + 5} candidates").sum() == 2
    assert told["reason"].str.contains("nothing is near it").any()
    assert told["value"].str.len().max() <= 60


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"query": "  "}, "the query is empty"),
        ({"query": []}, "the query is empty"),
        ({"user": "nobody"}, "the run knows no user 'nobody'"),
        ({"k": 0}, "k is 0"),
        ({"interest": -1}, "interest is -1"),
        ({"graph": 1.5}, "graph is 1.5"),
        ({"own": 2}, "own is 2"),
        ({"by": "best"}, "mmr, dpp, calibrated, cap"),
        ({"filters": Filters(price_from=1e9)}, "leave no product"),
        ({"queries": "nowhere"}, "no whole tuning of queries"),
    ],
)
def test_what_cannot_be_answered(recommender, given, words):
    with pytest.raises(InputError, match=words):
        recommender.search(**{"query": "wine"} | given)


def test_a_filter_that_leaves_a_user_nothing(recommender):
    has = (recommender.history.counts(recommender.dataset.catalogue.interest.of_product) > 0).toarray()
    category, words = named(recommender, int(np.flatnonzero(has[0])[0]))
    with pytest.raises(InputError, match="no product passes the filters"):
        recommender.search(words, recommender.user_ids[0], filters=Filters(categories=[category]))


def test_weights_that_are_none():
    with pytest.raises(InputError, match="interest is nan"):
        Blend(interest=float("nan"))


@pytest.fixture
def command(finished, recommender, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("console.console.width", 200)
    monkeypatch.setattr(Recommender, "load", lambda folder, store=None: recommender)
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        code = cli.main([name, *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_tuned_queries_are_searched_by(command, finished, recommender, tmp_path):
    catalogue = recommender.dataset.catalogue
    products = pd.DataFrame({"product_id": catalogue.product_ids, "text": catalogue.product_texts})
    products["category"] = catalogue.interest.ids[catalogue.interest.primary]
    products.to_csv("products.csv", index=False)
    rows = [(f"zorp{at % 12}", name, at % 12) for at, name in enumerate(catalogue.product_ids[:48])]
    pd.DataFrame(rows, columns=["query", "product_id", "query_id"]).to_csv("pairs.csv", index=False)
    options = ["--products", "products.csv", "--to", "tuned", "--text.strategy", "top", "--epochs", 1]
    code, said = command("tune-queries", "pairs.csv", *options)
    assert code == 0, said
    assert "8 queries for train, 2 queries for validation, 2 queries for test" in said
    assert pd.read_csv("tuned/categories.csv")["category"].iloc[-1] == "all (macro)"
    code, said = command("tune-queries", "pairs.csv", *options)
    assert (code, "it is there already" in said) == (2, True)
    code, said = command("search", finished.folder, "zorp1", "--queries", "tuned", "--k", 4, "--out", "found.csv")
    assert code == 0, said
    assert len(pd.read_csv("found.csv")) == 4
    assert (tmp_path / "tuned" / "texts").is_dir()


def test_tuned_queries_are_there_whole_or_not_at_all(monkeypatch, tmp_path, capsys):
    """A disk that fills up before the last file leaves no folder that looks finished."""

    def full(*_):
        raise InputError("cannot write it: No space left on device", where="categories.csv", remedy="Name another.")

    report = pd.DataFrame({"category": ["tea", "all"], "queries": [1, 2]})
    fakes = {
        "tune": lambda *_: Tuned(None, [0.1], 0, 1.0),
        "TextEncoder": lambda _: None,
        "judged": lambda *_: query_commands.Judged({"ndcg@10": 0.1}, report),
        "save_queries": lambda folder, *_: (folder / "queries.json").write_text("{}"),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(query_commands, name, fake)
    monkeypatch.setattr(query_commands.output, "save", full)
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"product_id": list("abcdef"), "text": list("uvwxyz")}).to_csv("products.csv", index=False)
    pd.DataFrame({"query": list("123456"), "product_id": list("abcdef")}).to_csv("pairs.csv", index=False)
    assert cli.main(["tune-queries", "pairs.csv", "--products", "products.csv", "--to", "tuned"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"products.csv", "pairs.csv"}


def test_a_table_in_the_terminal(command, finished, recommender):
    category, words = named(recommender)
    code, said = command("search", finished.folder, words, "--user", recommender.user_ids[0], "--k", 3)
    assert code == 0, said
    assert category in said
    assert "3 products in" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((" ",), "the query is empty"),
        (("wine", "--queries", "nowhere"), "no folder of tuned queries"),
        (("wine", "--out", "found.xlsx"), "no table format '.xlsx'"),
        (("wine", "--graph", "2"), "graph is 2"),
        (("wine", "--user", "nobody"), "the run knows no user 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(command, finished, arguments, words, tmp_path):
    code, said = command("search", finished.folder, *arguments)
    assert (code, words in said) == (2, True), said
    assert not list(tmp_path.iterdir())
