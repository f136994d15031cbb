"""Tuning for queries: made-up words that mean products, learnt and read back; pairs that cannot be used."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from data.rejects import Rejects
from encoders.text_config import TextConfig
from errors import InputError
from training.queries import FACTS, WEIGHTS, load_queries, save_queries, tune
from training.query_config import QueryConfig
from training.query_pairs import Queries, Shelf, read_queries, read_shelf, split

THINGS = ["red shoes", "beach towel", "winter coat", "tea pot"]
SHELF = Shelf.of(
    [f"p{i:02}" for i in range(24)], [f"{THINGS[i % 4]} {i}" for i in range(24)], [[THINGS[i % 4]] for i in range(24)]
)
RELEVANT = sp.csr_array((np.arange(24)[None, :] % 4 == np.arange(4)[:, None]).astype(np.float32))
ASKED = Queries([f"zorp{i} blim" for i in range(4)], RELEVANT)


@pytest.fixture(scope="module", params=["top", "lora"])
def tuned(request):
    config = QueryConfig(TextConfig(strategy=request.param), epochs=2, batch_size=2, per_query=6)
    return config, tune(config, SHELF, ASKED, ASKED)


def test_what_words_mean_is_learnt(tuned):
    _, found = tuned
    assert found.kept > 0
    assert found.epochs[found.kept] == max(found.epochs) > found.epochs[0]


def test_a_saved_tuning_is_the_same_and_holds_no_code(tuned, tmp_path):
    config, found = tuned
    save_queries(tmp_path / "queries", config, found, {})
    encoder, temperature = load_queries(tmp_path / "queries")
    assert {path.suffix for path in (tmp_path / "queries").iterdir()} == {".json", ".safetensors"}
    assert temperature == config.temperature
    torch.testing.assert_close(encoder.encode(ASKED.texts, False), found.encoder.encode(ASKED.texts, False))


def test_the_frozen_model_is_not_tuned():
    found = tune(QueryConfig(TextConfig(strategy="frozen"), epochs=2), SHELF, ASKED, ASKED)
    assert (len(found.epochs), found.kept) == (1, 0)


def test_a_tuning_of_another_model_or_half_copied_is_refused(tmp_path):
    config = QueryConfig(TextConfig(strategy="top"), epochs=0)
    save_queries(tmp_path / "whole", config, tune(config, SHELF, ASKED, ASKED), {})
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    (tmp_path / "half" / WEIGHTS).unlink()
    with pytest.raises(InputError, match="the weights cannot be read"):
        load_queries(tmp_path / "half")
    facts = json.loads((tmp_path / "whole" / FACTS).read_text())
    (tmp_path / "whole" / FACTS).write_text(json.dumps(facts | {"text_fingerprint": "of another"}))
    with pytest.raises(InputError, match="not the one that was tuned"):
        load_queries(tmp_path / "whole")
    with pytest.raises(InputError, match="no whole tuning of queries"):
        load_queries(tmp_path)


def test_queries_of_the_same_words_are_one():
    asked = Queries(["Red  Shoes", "hats", "red shoes"], sp.csr_array(np.eye(3, 24, dtype=np.float32)))
    merged = asked.merged()
    assert merged.texts == ["Red  Shoes", "hats"]
    assert sorted(merged.relevant[[0]].indices) == [0, 2]


def test_the_same_words_stand_on_one_side_of_a_split():
    asked = Queries(
        [f"{'Q' if i % 2 else 'q'}  {i // 2}" for i in range(24)], sp.csr_array(np.eye(24, dtype=np.float32))
    )
    for part in split(asked, (0.25, 0.25), together=asked.words()).values():
        numbers = [text.split()[1] for text in part.texts]
        assert all(numbers.count(number) == 2 for number in numbers)


def test_a_split_shares_out_all_queries_and_is_repeated_by_its_seed():
    asked = Queries([f"q{i}" for i in range(24)], sp.csr_array(np.eye(24, dtype=np.float32)))
    parts = split(asked, (0.25, 0.25), seed=3)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [12, 6, 6]
    assert sorted(text for part in parts.values() for text in part.texts) == sorted(asked.texts)
    assert split(asked, (0.25, 0.25), seed=3)["test"].texts == parts["test"].texts
    assert parts["test"].relevant.indices.tolist() == [int(text[1:]) for text in parts["test"].texts]
    pairs = split(asked, (0.25, 0.25), together=np.arange(24) // 2)
    for part in pairs.values():
        numbers = {int(text[1:]) for text in part.texts}
        assert numbers == {number ^ 1 for number in numbers}
    with pytest.raises(InputError, match="too few to split"):
        split(asked.some(np.array([0, 1])))


def test_pairs_from_files(tmp_path):
    pd.DataFrame({"product_id": ["a", "b"], "text": ["one", None], "category": ["x|y", None]}).to_csv(
        tmp_path / "products.csv", index=False
    )
    shelf = read_shelf(tmp_path / "products.csv")
    assert (shelf.texts, shelf.categories) == (["one", ""], ["x", "y"])
    rows = [("1", "warm", "a"), ("1", "warm", "b"), ("2", "warm", "b"), ("3", " ", "a"), ("4", "cold", "lost")]
    rows.append((None, "warm", "a"))
    pd.DataFrame(rows, columns=["query_id", "query", "product_id"]).to_parquet(tmp_path / "pairs.parquet")
    problems = Rejects()
    asked = read_queries(tmp_path / "pairs.parquet", shelf, problems)
    assert asked.texts == ["warm", "warm"]
    assert asked.relevant.toarray().tolist() == [[1, 1], [0, 1]]
    reasons = list(problems.frame()["reason"])
    assert reasons == ["query_id is empty", "the query is empty", "the products' file lacks the product"]


@pytest.mark.parametrize(
    ("products", "pairs", "words"),
    [
        ("product_id,text\na,x\na,y\n", "query,product_id\nq,a\n", "product 'a' is there twice"),
        ("product_id,title\na,x\n", "query,product_id\nq,a\n", "no such column"),
        ("product_id,text\na,x\n", "query,product_id\nq,b\n", "no row can be used"),
        ("product_id,text\na,x\n", None, "no such file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, products, pairs, words):
    (tmp_path / "products.csv").write_text(products)
    if pairs:
        (tmp_path / "pairs.csv").write_text(pairs)
    with pytest.raises(InputError, match=words):
        read_queries(tmp_path / "pairs.csv", read_shelf(tmp_path / "products.csv"), Rejects())


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"batch_size": 1}, {"temperature": 0}, {"per_query": 0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        QueryConfig(**wrong)
