"""Distances in a shop that is small enough for a head, and against a walk up any shop's taxonomy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Dataset
from data.splits import Targets, targets
from data.tables import Tables
from evaluation.distance import NO_STEPS, distances, nodes_above
from evaluation.evaluate import accuracy, by_distance
from evaluation.ranking import Rankings
from evaluation.report import render
from evaluation.report_content import ReportContent
from evaluation.report_tables import group_table
from evaluation.scorer import Problem

CUTOFF, HORIZON = 10, 5
LEVELS = ("division", "department", "category", "type")


def tables_of(links, homes, purchases, levels=LEVELS, interest="category") -> Tables:
    """A shop from (level, node, parent level, parent), (product, level, node) and (user, product, time)."""
    taxonomy = pd.DataFrame(links, columns=["level", "node_id", "parent_level", "parent_id"])
    log = pd.DataFrame(purchases, columns=["user_id", "product_id", "time"])
    log = log.assign(quantity=1.0, value=1.0, basket_id=log["user_id"] + log["time"].astype(str), store_id="s")
    return Tables(
        products=pd.DataFrame({"product_id": sorted({home[0] for home in homes}), "text": ""}),
        taxonomy=taxonomy.assign(name=taxonomy["node_id"], text=""),
        memberships=pd.DataFrame(homes, columns=["product_id", "level", "node_id"]),
        interactions=log.sort_values("time", kind="stable", ignore_index=True),
        users=pd.DataFrame({"user_id": sorted({purchase[0] for purchase in purchases})}),
        relations=pd.DataFrame({"source_label": [], "weight": []}),
        levels=levels,
        interest_level=interest,
        attributes={},
        rejects=pd.DataFrame(),
        name="test",
    )


def food_and_home(purchases) -> Dataset:
    """Two divisions; tea sits in two departments, drinks and gifts. Each category has a type, each type a product.

    food: drinks (tea, coffee), bakery (bread); home: gifts (tea, candles), garden (tools).
    """
    departments = {"drinks": "food", "bakery": "food", "gifts": "home", "garden": "home"}
    categories = [("tea", "drinks"), ("tea", "gifts"), ("coffee", "drinks"), ("bread", "bakery")]
    categories += [("candles", "gifts"), ("tools", "garden")]
    links = [("division", name, None, None) for name in ("food", "home")]
    links += [("department", name, "division", above) for name, above in departments.items()]
    links += [("category", name, "department", above) for name, above in categories]
    names = sorted({name for name, _ in categories})
    links += [("type", f"{name} type", "category", name) for name in names]
    return Dataset.from_tables(tables_of(links, [(name, "type", f"{name} type") for name in names], purchases))


def found(dataset, name="category"):
    """{(user, item): distance}."""
    level = dataset.catalogue.levels.get(name)
    problem = Problem(dataset, level, CUTOFF)
    steps = sp.coo_array(distances(problem, targets(dataset, level, CUTOFF, HORIZON)))
    ids = problem.item_ids
    return {
        (str(dataset.user_ids[user]), str(ids[item])): int(step)
        for user, item, step in zip(steps.row, steps.col, steps.data, strict=True)
    }


BEFORE = [("ann", "coffee", 1), ("bob", "tools", 2), ("cat", "bread", 3), ("dan", "coffee", 4), ("dan", "candles", 5)]
AFTER = [("ann", "tea", 10), ("ann", "bread", 11), ("ann", "candles", 12), ("bob", "tea", 12), ("bob", "bread", 13)]
AFTER += [("cat", "tea", 11), ("dan", "tea", 14), ("dan", "bread", 10), ("eve", "tea", 10)]
RIGHT = {
    ("ann", "tea"): 1,  # coffee, in drinks
    ("ann", "bread"): 2,  # coffee, in food
    ("ann", "candles"): NO_STEPS,  # nothing from home
    ("bob", "tea"): 2,  # tools, in home, by way of gifts
    ("bob", "bread"): NO_STEPS,
    ("cat", "tea"): 2,  # bread, in food
    ("dan", "tea"): 1,  # coffee and candles, one in each department
    ("dan", "bread"): 2,
    ("eve", "tea"): NO_STEPS,  # nothing bought at all
}


@pytest.mark.parametrize(("level", "further"), [("category", 0), ("type", 1), ("product", 2)])
def test_by_hand_with_two_parents(level, further):
    ending = " type" if level == "type" else ""
    right = {(user, item + ending): step + further * (step != NO_STEPS) for (user, item), step in RIGHT.items()}
    assert found(food_and_home(BEFORE + AFTER), level) == right


def test_products_that_sit_higher_up_take_fewer_steps():
    """Products hang where they hang: one right in a department, one in two categories, another parent a level up."""
    links = [("department", "d", None, None), ("department", "e", None, None), ("department", "f", None, None)]
    links += [("category", "c", "department", "d"), ("category", "b", "department", "e")]
    links += [("category", "k", "department", "e"), ("type", "t", "category", "c"), ("type", "t", "department", "f")]
    homes = [("in c", "category", "c"), ("in b", "category", "b"), ("in t", "type", "t")]
    homes += [("in k, d", "category", "k"), ("in k, d", "department", "d"), ("in f", "department", "f")]
    past = [("u", "in c", 1), ("v", "in b", 1), ("w", "in f", 1)]
    rows = [*past, ("u", "in k, d", 10), ("v", "in k, d", 11), ("w", "in t", 12)]
    dataset = Dataset.from_tables(tables_of(links, homes, rows, LEVELS[1:]))
    assert found(dataset, "product") == {("u", "in k, d"): 1, ("v", "in k, d"): 2, ("w", "in t"): 2}
    assert found(dataset, "type") == {("w", "t"): 1}
    assert found(dataset) == {("u", "k"): NO_STEPS, ("v", "k"): 1, ("w", "c"): NO_STEPS}


def test_one_category_is_near_to_nothing():
    links = [("category", "c", None, None)]
    homes = [("p", "category", "c")]
    dataset = Dataset.from_tables(tables_of(links, homes, [("u", "p", 1), ("v", "p", 11)], ("category",)))
    assert found(dataset) == {("v", "c"): NO_STEPS}
    assert found(dataset, "product") == {("v", "p"): NO_STEPS}
    assert list(nodes_above(Problem(dataset, dataset.catalogue.interest, CUTOFF))) == []


@st.composite
def shops(draw):
    """Nodes on three levels with any parents above, products in one or two of them, and anybody's purchases."""
    nodes = [(level, f"{level[0]}{i}") for level in LEVELS[1:] for i in range(draw(st.integers(1, 3)))]
    links = []
    for level, node in nodes:
        above = [other for other in nodes if LEVELS.index(other[0]) < LEVELS.index(level)]
        least = 1 if level == "type" else 0
        parents = draw(st.sets(st.sampled_from(above), min_size=least, max_size=3)) if above else set()
        links += [(level, node, *parent) for parent in sorted(parents)] or [(level, node, None, None)]
    inner = [node for node in nodes if node[0] == "category"]
    homes = []
    for i in range(draw(st.integers(2, 6))):
        held = draw(st.sets(st.sampled_from(nodes), max_size=2)) | {draw(st.sampled_from(inner))}
        homes += [(f"p{i}", *node) for node in sorted(held)]
    ids = sorted({home[0] for home in homes})
    line = st.tuples(st.sampled_from(["u", "v", "w"]), st.sampled_from(ids), st.integers(1, 15))
    return links, homes, draw(st.lists(line, min_size=1, max_size=25))


def walked(tables: Tables, level: str, user: str, item: str) -> int:
    """The definition in plain Python: a step up at a time, looking whether anything below was bought."""
    links, homes = tables.taxonomy, tables.memberships
    up: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for row in links.dropna(subset=["parent_id"]).itertuples():
        up.setdefault((row.level, row.node_id), set()).add((row.parent_level, row.parent_id))
    for row in homes.itertuples():
        up.setdefault(("product", row.product_id), set()).add((row.level, row.node_id))
    log = tables.interactions
    past = log[(log["user_id"] == user) & (log["time"] < CUTOFF)]
    known: set[tuple[str, str]] = set()
    new = {("product", product) for product in past["product_id"]}
    while new:
        new = set().union(*(up.get(node, set()) for node in new)) - known
        known |= new
    front, step = up.get((level, item), set()), 1
    while front:
        if front & known:
            return step
        front, step = set().union(*(up.get(node, set()) for node in front)), step + 1
    return NO_STEPS


@settings(max_examples=80, deadline=None)
@given(shops())
def test_as_a_walk_up_the_taxonomy(shop):
    dataset = Dataset.from_tables(tables_of(*shop, LEVELS[1:]))
    for level in ("category", "type", "product"):
        for (user, item), step in found(dataset, level).items():
            assert step == walked(dataset.tables, level, user, item), (level, user, item)


@settings(max_examples=40, deadline=None)
@given(shops(), st.randoms(use_true_random=False))
def test_the_future_moves_no_distance(shop, random):
    """Everything after the cut-off goes to others: a target that is one in both futures lies as far."""
    links, homes, rows = shop
    products = sorted({home[0] for home in homes})
    past = [row for row in rows if row[2] < CUTOFF] + [(user, products[0], 40) for user in "uvw"]
    here = [row for row in rows if row[2] >= CUTOFF]
    there = [(random.choice("uvw"), random.choice(products), time) for _, _, time in here] + here[::2]
    one, two = (Dataset.from_tables(tables_of(links, homes, past + after, LEVELS[1:])) for after in (here, there))
    for level in ("category", "type", "product"):
        first, second = found(one, level), found(two, level)
        assert all(first[pair] == second[pair] for pair in first.keys() & second.keys())


@settings(max_examples=40, deadline=None)
@given(shops())
def test_the_groups_hold_every_target_once(shop):
    dataset = Dataset.from_tables(tables_of(*shop, LEVELS[1:]))
    for name in ("category", "type", "product"):
        level = dataset.catalogue.levels.get(name)
        problem, wanted = Problem(dataset, level, CUTOFF), targets(dataset, level, CUTOFF, HORIZON)
        users = wanted.users
        items = np.tile(np.arange(len(problem), dtype=np.int32), (len(users), 1))
        rankings = Rankings(users, items, np.zeros(items.shape, dtype=np.float32), len(problem))
        groups = by_distance(rankings, distances(problem, wanted))
        assert sum(figures["targets"] or 0 for figures in groups.values()) == wanted.hits.nnz
        assert all(figures["users"] for figures in groups.values())


def ranked(lists, n_items) -> Rankings:
    items = np.asarray(lists, dtype=np.int32)
    return Rankings(np.arange(1, 1 + len(items)), items, np.zeros(items.shape, dtype=np.float32), n_items)


def test_only_a_groups_targets_count_among_all_candidates():
    steps = sp.csr_array(np.array([[3, 3, 3], [1, 0, 2], [0, NO_STEPS, 1]]))
    before = steps.toarray()
    groups = by_distance(ranked([[0, 1, 2], [1, 2, 0]], 3), steps, ks=(1, 2))
    assert list(groups) == ["1", "2", "none"]
    assert [(g["targets"], g["users"]) for g in groups.values()] == [(2, 2), (1, 1), (1, 1)]
    assert (groups["1"]["recall@1"], groups["1"]["recall@2"]) == (0.5, 1)
    assert groups["1"]["ndcg@2"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert (groups["2"]["recall@2"], groups["none"]["recall@1"]) == (0, 1)
    np.testing.assert_array_equal(steps.toarray(), before)
    json.dumps(groups, allow_nan=False)


def test_one_distance_for_all_is_the_whole():
    hits = sp.csr_array(np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float32))
    rankings = ranked([[0, 1, 2], [2, 1, 0]], 3)
    groups = by_distance(rankings, sp.csr_array(hits.astype(np.int64) * 2), ks=(2,))
    whole = accuracy(rankings, sp.csr_array(hits[rankings.users]), (2,))
    assert groups["2"] == {"targets": 3, "users": 2} | {name: values.mean() for name, values in whole.items()}


def test_targets_may_hold_zeros():
    dataset = food_and_home(BEFORE + AFTER)
    level = dataset.catalogue.interest
    wanted = targets(dataset, level, CUTOFF, HORIZON)
    loose = wanted.hits.copy()
    loose.data[0] = 0
    steps = distances(Problem(dataset, level, CUTOFF), Targets(wanted.unseen, loose))
    assert steps.nnz == wanted.hits.nnz - 1


def test_the_report_shows_it():
    groups = {"1": {"targets": 4.0, "users": 3.0, "ndcg@20": 0.31}, "none": {"targets": 2.0, "users": 2.0}}
    content = ReportContent("run", distance={"category": {"crossaisle": groups, "ease": groups}})
    assert [row.name for row in group_table(content.distance["category"])["rows"]] == ["1", "none"]
    page = render(content)
    section = page.split('<section id="distance">')[1].split("</section>")[0]
    for words in ("sibling (same parent)", "<svg", '<th scope="row">none<small>2 targets, 2 customers', ".3100"):
        assert words in section
    assert "<svg" not in render(replace(content, distance={}))
