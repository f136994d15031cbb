"""Public taxonomies in their text formats: any depth, ids and paths, and faults with file, line and value."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import DataConfig
from data.load import load
from data.sources.product_taxonomy import SHOPIFY, parse, read_taxonomy
from errors import InputError

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "product_taxonomy"
GOOGLE = """# Google_Product_Taxonomy_Version: 2021-09-21
1 - Animals & Pet Supplies
3237 - Animals & Pet Supplies > Live Animals
2 - Animals & Pet Supplies > Pet Supplies
3 - Animals & Pet Supplies > Pet Supplies > Bird Supplies
166 - Apparel & Accessories
"""
PRODUCTS = "sku,at\n1,3\n2,Animals & Pet Supplies>Live Animals\n3,2\n4,3237\n"
SALES = "who,sku,when\na,1,1\na,2,2\nb,3,3\nb,4,4\nb,5,4\n"
MAPPING = """
products: {file: products.csv, id: sku}
taxonomy: {public: {file: taxonomy.txt, product_node: at%s}}
interactions: {file: sales.csv, user: who, product: sku, time: when, time_unit: integer}
interest_level: %s
"""


def shop(folder: Path, taxonomy: str = GOOGLE, products: str = PRODUCTS, more: str = "", level: str = "level_2"):
    (folder / "taxonomy.txt").write_text(taxonomy, encoding="utf-8")
    (folder / "products.csv").write_text(products, encoding="utf-8")
    (folder / "sales.csv").write_text(SALES, encoding="utf-8")
    (folder / "mapping.yaml").write_text(MAPPING % (more, level), encoding="utf-8")
    return load(DataConfig(source="tabular", mapping=folder / "mapping.yaml"))


def lines_of(form: str, tree: dict[str, tuple[str, ...]]) -> list[str]:
    """A taxonomy as text: the inverse of what is tested."""
    separator = {"google": " - ", "shopify": " : ", "paths": ""}[form]
    return [("" if form == "paths" else node) + separator + " > ".join(path) for node, path in tree.items()]


@pytest.mark.parametrize("name", ["google", "shopify"])
def test_the_examples(name):
    dataset = load(DataConfig(source="tabular", mapping=EXAMPLES / f"{name}.yaml"))
    assert len(dataset.catalogue.product_ids) == 61
    assert len(dataset.catalogue.interest) == 13
    assert "Coffee, Drinks, Food & Drink" in dataset.catalogue.interest.texts
    assert len(dataset.tables.rejects) == 0
    taxonomy = read_taxonomy(EXAMPLES / f"{name}.txt")
    used = sum(len(level) for level in dataset.catalogue.levels.values())
    told = f"categories of {name}.txt"
    assert [note for note in dataset.tables.notes if told in note] == [
        f"products sit in {used} of the {len(taxonomy.paths)} {told}"
    ]


def test_google_with_ids(tmp_path):
    dataset = shop(tmp_path)
    levels = dataset.catalogue.levels
    assert {name: level.ids.tolist() for name, level in levels.items()} == {
        "level_1": ["1"],
        "level_2": ["2", "3237"],
        "level_3": ["3"],
    }
    assert levels["level_3"].texts == ["Bird Supplies, Pet Supplies, Animals & Pet Supplies"]
    level = dataset.catalogue.interest
    assert [level.ids[i] for i in level.primary] == ["2", "3237", "2", "3237"]
    assert dataset.tables.notes[0] == "products sit in 4 of the 5 categories of taxonomy.txt"


def test_levels_have_names_by_depth_and_what_is_deeper_counts_above(tmp_path):
    dataset = shop(tmp_path, more=", levels: [area, group]", level="group")
    assert list(dataset.catalogue.levels) == ["area", "group"]
    members = dataset.tables.memberships
    assert dict(zip(members["product_id"], members["node_id"], strict=True)) == {
        "1": "2",
        "2": "3237",
        "3": "2",
        "4": "3237",
    }


def test_unused_categories_can_be_kept(tmp_path):
    assert shop(tmp_path, more=", unused: true").catalogue.levels["level_1"].ids.tolist() == ["1", "166"]


def test_paths_without_ids(tmp_path):
    text = "\n".join(line.split(" - ", 1)[-1] for line in GOOGLE.splitlines())
    products = "sku,at\n1,Animals & Pet Supplies > Pet Supplies\n2,Animals & Pet Supplies>Live Animals\n"
    dataset = shop(tmp_path, text, products)
    assert dataset.catalogue.interest.ids.tolist() == [
        "Animals & Pet Supplies > Live Animals",
        "Animals & Pet Supplies > Pet Supplies",
    ]


def test_shopify_ids_whole_and_short(tmp_path):
    text = f"# Shopify\n\n{SHOPIFY}ap    : Animals\n{SHOPIFY}ap-1  : Animals > Live - Animals\n"
    dataset = shop(tmp_path, text, f"sku,at\n1,ap-1\n2,{SHOPIFY}ap-1\n3,Animals > Live - Animals\n")
    assert dataset.catalogue.interest.ids.tolist() == [f"{SHOPIFY}ap-1"]
    assert dataset.catalogue.interest.names == ["Live - Animals"]
    assert len(dataset.catalogue.product_ids) == 3


def test_several_categories_of_one_product(tmp_path):
    dataset = shop(tmp_path, products="sku,at\n1,3237|3\n2,3\n", more=', separator: "|"')
    assert dataset.catalogue.interest.of_product.toarray().tolist() == [[1, 1], [1, 0]]


def test_unknown_categories_are_told_with_row_and_value(tmp_path):
    rejects = shop(tmp_path, products=PRODUCTS + "5,999\n").tables.rejects
    told = rejects[["table", "row", "column", "value", "reason"]].to_numpy().tolist()
    assert ["memberships", 5, "at", "999", "taxonomy.txt has no such category"] in told
    assert ["products", 5, "product_id", "5", "in no node of the interest level 'level_2'"] in told


def test_products_above_the_interest_level_are_told(tmp_path):
    rejects = shop(tmp_path, level="level_3").tables.rejects
    assert set(rejects.loc[rejects["table"] == "products", "row"]) == {2, 3, 4}


def test_no_known_category_at_all(tmp_path):
    with pytest.raises(InputError, match=r"taxonomy.txt, column 'at' .* no product names a category of this file"):
        shop(tmp_path, products="sku,at\n1,x\n2,y\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "t.txt: no category"),
        ("# only a comment\n\n", "t.txt: no category"),
        ("1 - A\nB > C\n", r"t.txt, line 2: 'B > C' is not a category in that form\n.*'Google with ids'"),
        (f"{SHOPIFY}a : A\n2 - B\n", "line 2: '2 - B' is not a category in that form\n.*'Shopify'"),
        ("1 - A\n1 - B\n", "t.txt, line 2: '1' is there already, in line 1"),
        ("1 - A\n2 - A\n", "t.txt, line 2: 'A' is there already, in line 1"),
        ("A\nA > B\nA>B\n", "t.txt, line 3: 'A > B' is there already, in line 2"),
        ("1 - A\n2 - A > > B\n", "t.txt, line 2: a name is empty in 'A > > B'"),
        ("1 - A\n2 - A > B > C\n", "t.txt, line 2: the parent 'A > B' of 'C' has no line"),
    ],
)
def test_faults_are_told_with_line_and_value(tmp_path, text, told):
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_taxonomy(tmp_path / "t.txt")


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_taxonomy(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_bytes(b"1 - K\xe4se\n")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_taxonomy(tmp_path / "t.txt")


def test_lines_end_as_windows_or_a_byte_mark_begins(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + GOOGLE.replace("\n", "\r\n").encode())
    assert len(read_taxonomy(tmp_path / "t.txt").paths) == 5


NAMES = st.text(st.characters(codec="utf-8", exclude_characters=">#", exclude_categories=["Cs", "Cc", "Z"]), min_size=1)


@st.composite
def trees(draw):
    """Nodes of any depth with any names, and ids as long as they like."""
    paths: list[tuple[str, ...]] = []
    for _ in range(draw(st.integers(1, 12))):
        above = draw(st.sampled_from([(), *paths]))
        path = (*above, draw(NAMES))
        if path not in paths:
            paths.append(path)
    numbers = draw(st.lists(st.integers(0, 10**40), min_size=len(paths), max_size=len(paths), unique=True))
    return dict(zip(map(str, numbers), draw(st.permutations(paths)), strict=True))


@settings(max_examples=60, deadline=None)
@given(trees(), st.sampled_from(["google", "shopify", "paths"]))
def test_any_tree_comes_back(tree, form):
    """Written in each format, in any order of lines: ids, paths, parents and references are those of the tree."""
    if form == "shopify":
        tree = {SHOPIFY + node: path for node, path in tree.items()}
    elif form == "paths":
        tree = {" > ".join(path): path for path in tree.values()}
    first = lines_of(form, tree)[0]
    if form == "paths" and (first[0].isdigit() or first.startswith("gid:")):
        return  # such a name would pass for an id
    found = parse(["# a comment", "", *lines_of(form, tree)], "t.txt")
    assert found.paths == tree
    for node, path in tree.items():
        references = pd.Series([node, " > ".join(path), ">".join(path), f" {node} "])
        by_id = [tree[other] for other in found.find(references).tolist()]
        assert path in by_id
        assert found.up(node, 0) in tree
        assert found.with_ancestors([node]) == {found.ids[path[: i + 1]] for i in range(len(path))}
    depth = max(map(len, tree.values()))
    frame = found.frame([f"l{i}" for i in range(depth)], set(tree))
    assert frame["node_id"].is_unique
    for row in frame.itertuples():
        assert tree[row.node_id][-1] == row.name
        assert isinstance(row.parent_id, str) == (len(tree[row.node_id]) > 1)
        if isinstance(row.parent_id, str):
            assert tree[row.parent_id] == tree[row.node_id][:-1]
