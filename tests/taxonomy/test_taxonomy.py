"""A derived taxonomy: what is alike sits together, purchases move nothing, names are distinct, faults are told."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from console import console
from data.config import DataConfig
from data.load import load
from taxonomy.clusters import two_levels
from taxonomy.naming import typical_words

THINGS = {
    "mug": ["coffee mug", "tea mug", "ceramic mug", "travel mug", "enamel mug"],
    "cushion": ["cushion cover", "velvet cushion", "sofa cushion", "floor cushion", "linen cushion"],
    "candle": ["scented candle", "birthday candle", "wax candle", "pillar candle", "vanilla candle"],
}
TEXTS = [f"{text} {colour}" for of in THINGS.values() for text, colour in product(of, ("red", "blue"))]
MAPPING = {
    "products": {"file": "sales.csv", "id": "sku", "text": "title", "repeated": True},
    "taxonomy": {"table": {"file": "taxonomy.csv", "product": "product_id", "levels": ["group", "category"]}},
    "interactions": {"file": "sales.csv", "user": "who", "product": "sku", "time": "day", "time_unit": "integer"},
}


def log(seed=0, users=5):
    """A log of sales: every product at least once, in an order and to users drawn by the seed."""
    rng = np.random.default_rng(seed)
    sold = np.concatenate([rng.permutation(len(TEXTS)), rng.integers(0, len(TEXTS), 40)])
    rows = {"sku": [f"p{n:02d}" for n in sold], "title": [TEXTS[n].upper() for n in sold]}
    return pd.DataFrame(rows | {"who": rng.integers(0, users, len(sold)), "day": rng.integers(0, 50, len(sold))})


def shop(folder, sales):
    folder.mkdir()
    sales.to_csv(folder / "sales.csv", index=False)
    (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    return folder / "mapping.yaml"


def derived(mapping, *flags):
    """The command's exit code and words."""
    flags = ["--groups", "2", "--categories", "3", "--text_cache", "", *flags]
    with console.capture() as captured:
        code = cli.main(["taxonomy", "--mapping", str(mapping), *flags])
    return code, captured.get().replace("\n", " ")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    mapping = shop(tmp_path_factory.mktemp("taxonomy") / "one", log())
    code, said = derived(mapping)
    assert code == 0, said
    assert "30 products in 3 categories of 2 groups" in said
    return mapping


def test_what_is_alike_sits_together(made):
    found = pd.read_csv(made.parent / "taxonomy.csv")
    assert list(found.columns) == ["product_id", "group", "category"]
    kinds = [next(kind for kind in THINGS if kind in TEXTS[int(sku[1:])]) for sku in found["product_id"]]
    pairs = set(zip(kinds, found["category"], strict=True))
    assert len(pairs) == 3, pairs
    assert all(kind in name.split(", ") for kind, name in pairs), "each is called by its most typical words"
    assert found.groupby("category")["group"].nunique().eq(1).all()


def test_the_mapping_reads_what_was_written(made):
    dataset = load(DataConfig(source="tabular", mapping=made))
    assert {name: len(level) for name, level in dataset.catalogue.levels.items()} == {"group": 2, "category": 3}
    assert len(dataset.catalogue.product_ids) == 30
    assert not len(dataset.tables.rejects)


def test_purchases_move_nothing(made, tmp_path):
    """Another order of the file, other users, times and numbers of purchases: the same taxonomy, byte for byte."""
    other = shop(tmp_path / "other", log(seed=1, users=50))
    assert derived(other)[0] == 0
    assert (other.parent / "taxonomy.csv").read_bytes() == (made.parent / "taxonomy.csv").read_bytes()


def test_products_without_a_text_have_no_category(tmp_path):
    sales = log()
    sales.loc[sales["sku"] == "p03", "title"] = " "
    mapping = shop(tmp_path / "blank", sales)
    code, said = derived(mapping, "--to", str(tmp_path / "nodes.parquet"))
    assert code == 0, said
    assert "1 products without a text are left out" in said
    assert "p03" not in pd.read_parquet(tmp_path / "nodes.parquet")["product_id"].tolist()


def test_a_file_that_is_there_is_kept(made):
    before = (made.parent / "taxonomy.csv").stat().st_mtime_ns
    code, said = derived(made)
    assert (code, "exists already" in said) == (2, True)
    assert (made.parent / "taxonomy.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--categories", "1"], "1 is too few"),
        (["--groups", "4"], "4 groups of 3 categories"),
        (["--to", "nowhere/taxonomy.csv"], "no such folder"),
        (["--root", "nowhere"], "no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told(made, flags, told):
    code, said = derived(made, "--overwrite", *flags)
    assert (code, told in said) == (2, True), said


def test_a_mapping_without_a_place_or_texts_is_told(tmp_path):
    mapping = shop(tmp_path / "shop", log().assign(title="mug"))
    code, said = derived(mapping)
    assert (code, "1 distinct texts leave nothing to group" in said) == (2, True), said
    mapping.write_text(yaml.safe_dump(MAPPING | {"taxonomy": {"levels": ["title"]}}))
    code, said = derived(mapping)
    assert (code, "names no file" in said) == (2, True), said


# -- clusters and names --------------------------------------------------------------------------------------


def vectors(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_small_clusters_go_to_the_nearest():
    where = vectors(0, 1, 2, 90, 91, 92, 60)
    category, group = two_levels(where, np.array([3, 3, 3, 2, 2, 2, 1]), 1, 3, smallest=2, seed=0)
    assert category.tolist() == [0, 0, 0, 1, 1, 1, 1], "the lonely one went along with what is 30 degrees away"
    assert group.tolist() == [0, 0]


def test_the_largest_stays_when_all_are_too_small():
    category, _ = two_levels(vectors(0, 90), np.array([2, 1]), 1, 2, smallest=10, seed=0)
    assert category.tolist() == [0, 0]


def test_no_more_clusters_than_distinct_vectors():
    category, group = two_levels(vectors(0, 0, 90), np.array([1, 1, 1]), 5, 10, smallest=1, seed=0)
    assert sorted(set(category)) == [0, 1]
    assert category[0] == category[1]
    assert sorted(set(group)) == [0, 1]


def test_names_are_the_words_of_a_cluster_and_distinct():
    texts = ["red mug", "mug mug tea", "red lamp", "lamp lamp desk", "mug"]
    assert typical_words(texts, np.array([0, 0, 1, 1, 2]), 1) == ["mug", "lamp", "mug 2"]
    assert typical_words(texts, np.array([0, 0, 1, 1, 1]), 2) == ["mug, tea", "lamp, desk"]
    assert typical_words(["a1", "77"], np.array([0, 1]), 2) == ["unnamed", "unnamed 2"]


def test_a_further_word_tells_two_of_a_name_apart():
    texts = ["mug mug tea", "mug mug coffee"]
    assert typical_words(texts, np.array([0, 1]), 1) in (["mug", "mug, coffee"], ["tea", "coffee"])
