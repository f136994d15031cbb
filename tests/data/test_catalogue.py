"""The catalogue's integers against the taxonomy as networkx sees it."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import Catalogue, Level, ancestors, encode_catalogue
from data.dataset import Dataset
from data.lookup import among, positions
from data.validate import validate


def test_a_category_in_two_departments(shop):
    catalogue = encode_catalogue(validate(shop))
    assert catalogue.interest.of_product.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert catalogue.levels["department"].of_product.toarray().tolist() == [[1, 0], [1, 1], [0, 1], [0, 1]]
    assert catalogue.levels["department"].primary.tolist() == [0, 0, 1, 1]


def test_neighbouring_levels(shop):
    catalogue = encode_catalogue(validate(shop))
    assert catalogue.below is None
    assert catalogue.above is catalogue.levels["department"]
    links = catalogue.links(catalogue.interest, catalogue.above)
    assert links.toarray().tolist() == [[1, 0], [1, 1], [0, 2]]


def test_attributes_and_texts(shop):
    catalogue = encode_catalogue(validate(shop))
    values, codes = catalogue.attributes["brand"]
    assert values.tolist() == ["x", "y"]
    assert codes.tolist() == [0, 1, -1, 0]
    assert catalogue.product_texts == ["one", "two", "", "four"]
    assert catalogue.interest.texts == ["c1, d1", "c2, d1", "c3, d2"]


def test_the_order_of_the_source_does_not_matter(shop):
    turned = replace(shop, products=shop.products.iloc[::-1], memberships=shop.memberships.iloc[::-1])
    one, two = Dataset.from_tables(validate(shop)), Dataset.from_tables(validate(turned))
    assert one.catalogue.product_ids.tolist() == two.catalogue.product_ids.tolist()
    assert (one.catalogue.interest.of_product != two.catalogue.interest.of_product).nnz == 0
    np.testing.assert_array_equal(one.log.product, two.log.product)


@st.composite
def taxonomies(draw):
    """Nodes on four levels, each with any parents on higher levels; products anywhere."""
    nodes = [(f"l{i}", f"n{i}{j}") for i in range(4) for j in range(draw(st.integers(1, 3)))]
    rows = []
    for level, node in nodes:
        above = [n for n in nodes if n[0] < level]
        parents = draw(st.sets(st.sampled_from(above), max_size=3)) if above else set()
        rows += [(level, node, parent[0], parent[1]) for parent in sorted(parents)] or [(level, node, None, None)]
    members = draw(st.sets(st.tuples(st.integers(0, 4), st.sampled_from(nodes)), min_size=1))
    return rows, sorted(members)


@settings(max_examples=12, deadline=None)
@given(taxonomies())
def test_ancestors_are_those_of_networkx(drawn):
    rows, members = drawn
    taxonomy = pd.DataFrame(rows, columns=["level", "node_id", "parent_level", "parent_id"]).astype("str")
    memberships = pd.DataFrame([(f"p{p}", *n) for p, n in members], columns=["product_id", "level", "node_id"])
    graph = nx.DiGraph()
    graph.add_nodes_from((level, node) for level, node, _, _ in rows)
    graph.add_edges_from(((level, node), (up, parent)) for level, node, up, parent in rows if parent)
    for level in ("l0", "l1", "l2", "l3"):
        expected = {
            (f"p{p}", node)
            for p, start in members
            for at, node in nx.descendants(graph, start) | {start}
            if at == level
        }
        found = ancestors(taxonomy, memberships.astype("str"), level)
        assert set(found.itertuples(index=False, name=None)) == expected
        assert len(found) == len(expected)


def test_positions():
    ids = np.array(["a", "b", "c"])
    assert positions(pd.Series(["c", "x", None, "a"], dtype="str"), ids).tolist() == [2, -1, -1, 0]
    assert among(pd.Series(["c", "x"], dtype="str"), pd.Series(["c"], dtype="str")).tolist() == [True, False]
    assert positions(pd.Series([], dtype="str"), ids).tolist() == []


@pytest.mark.parametrize("dtype", ["str", object])
def test_positions_of_any_kind_of_text(dtype):
    assert positions(pd.Series(["b"], dtype=dtype), np.array(["a", "b"], dtype=object)).tolist() == [1]


def test_a_node_sits_under_the_one_it_shares_most_products_with():
    """And one without products under none, not under the first."""
    products = np.array(["a", "b", "c", "d"])
    below = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    above = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.float32)
    levels = {
        name: Level(name, np.array(list("xyz")[: of.shape[1]]), ["", "", ""], ["", "", ""], sp.csr_array(of))
        for name, of in (("category", above), ("type", below))
    }
    catalogue = Catalogue(products, [""] * 4, levels, "category", {})
    assert catalogue.first_above(levels["type"], levels["category"]).tolist() == [1, 0, -1]
    assert catalogue.first_above(None, levels["category"]).tolist() == [0, 1, 1, 0]
