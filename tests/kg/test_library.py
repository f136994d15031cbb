"""The named queries: their heads, their parameters, and their answers on both stores."""

import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
import taste_shop
from hypothesis import given
from hypothesis import strategies as st
from taste_shop import BUYERS, CATEGORIES, LEARNT, confidence, lift

from errors import InputError
from kg import library
from kg.answer import GraphPath
from kg.explore import Explorer
from kg.placeholders import fill, interest_label, level_labels, placeholders
from kg.schema import schema_of

GIVEN = {
    "bought-together": ["min_support=1", "min_lift=0"],
    "bought-with": ["category=Tea"],
    "bridge-categories": ["min_partners=1", "min_support=1"],
    "category-contents": ["category=Tea"],
    "category-path": ["from=Tea", "to=Käse"],
    "complements": ["category=Tea"],
    "connecting-products": ["from=Tea", "to=Lamps"],
    "department-bridges": ["min_support=1", "min_lift=0"],
    "attribute-span": ["min_products=1"],
    "learnt-against-counted": ["min_support=1"],
    "learnt-bridges": ["min_support=1"],
    "learnt-not-counted": ["min_support=1"],
    "nearest-products": ["product=p01"],
    "product-neighbourhood": ["product=p03"],
    "purchase-path": ["from=Tea", "to=Lamps"],
    "relation-reach": ["id=c1"],
    "rising-pairs": ["from_window=10", "min_support=1"],
    "where-next": ["category=Tea"],
    "why-category": ["category=Lamps", "history=Tea", "history=Käse"],
}


@pytest.fixture(scope="module")
def shop(make_dataset):
    return taste_shop.build(make_dataset)


@pytest.fixture(scope="module", params=["embedded_store", "neo4j_store"])
def explorer(request, shop, emptied):
    """The shop of plain tastes with a write-back, on each of the stores."""
    store = emptied(request.getfixturevalue(request.param))
    yield Explorer(taste_shop.open_shop(store, shop))
    emptied(store)


EMPTY = {"orphans", "products-without-category", "empty-categories", "similar-names", "duplicated-names"}
EMPTY |= {"learnt-not-counted", "vanished"}  # all that was learnt was counted as well


def ask(explorer, name, *given):
    query = library.load(name)
    return explorer.ask(query.cypher, library.bind(query, given or GIVEN.get(name, []), explorer.latest))


def rows(explorer, name, *given):
    drawn = library.load(name).drawn
    answer = ask(explorer, name, *given)
    return [
        {column: value for column, value in zip(answer.columns, row, strict=True) if column not in drawn}
        for row in answer.rows
    ]


def test_there_are_enough_and_all_are_documented():
    assert len(library.names()) >= 18
    for name in library.names():
        query = library.load(name)
        assert query.documented
        assert len(query.reading) > 30
        assert query.answers.endswith(".")
        assert set(query.drawn) <= set(query.columns)


@pytest.mark.parametrize("name", library.names())
def test_every_query_runs_and_its_columns_are_known(explorer, name):
    answer = ask(explorer, name)
    assert answer.columns in (library.load(name).columns, ())
    assert answer.columns or not answer.rows
    assert bool(answer.rows) is (name not in EMPTY)
    for row in answer.rows:
        drawn = [value for column, value in zip(answer.columns, row, strict=True) if column == "path"]
        assert all(isinstance(path, GraphPath) for path in drawn if not isinstance(path, list))


def test_contents_are_those_of_the_tables(explorer):
    found = rows(explorer, "category-contents")
    assert [(row["level"], row["id"], row["products"]) for row in found] == [("Type", f"Tea > {i}", 2) for i in (0, 1)]
    below = rows(explorer, "category-contents", "category=Food")
    assert {(row["name"], row["products"]) for row in below} == {("Tea", 4), ("Käse", 4), ("Coffee", 4)}
    assert {row["id"] for row in rows(explorer, "category-contents", "category=Tea > 1")} == {"p02", "p03"}


def test_the_path_in_the_taxonomy(explorer):
    (path,) = rows(explorer, "category-path")
    assert path == {"steps": 2, "names": ["Tea", "Food", "Käse"], "levels": ["Category", "Department", "Category"]}
    assert rows(explorer, "category-path", "from=Tea", "to=Lamps") == []
    assert rows(explorer, "category-path", "from=Tea", "to=Tea") == []


def test_partners_are_those_counted(explorer):
    found = {row["category"]: row for row in rows(explorer, "bought-with")}
    assert set(found) == {"Käse", "Coffee", "Lamps", "Candles"}
    for name, row in found.items():
        assert row["lift"] == pytest.approx(lift("Tea", name))
        assert row["confidence"] == pytest.approx(confidence("Tea", name))
        assert row["support"] == pytest.approx(confidence("Tea", name) * BUYERS["Tea"])


def test_an_earlier_window_knows_less(explorer):
    early = {row["category"]: row["support"] for row in rows(explorer, "bought-with", "category=Tea", "window_end=10")}
    assert early["Coffee"] == 4
    rising = {frozenset((row["category"], row["with"])): row["change"] for row in rows(explorer, "rising-pairs")}
    assert max(rising, key=lambda pair: rising[pair]) == {"Tea", "Coffee"}
    assert [row["window_end"] for row in rows(explorer, "windows")] == [10, 15]


def test_a_pair_is_told_once_with_its_lift(explorer):
    found = rows(explorer, "bought-together")
    pairs = [{row["category"], row["with"]} for row in found]
    assert sorted(map(sorted, pairs)) == sorted(sorted(pair) for pair in combinations(CATEGORIES, 2))
    assert [row["lift"] for row in found] == pytest.approx([lift(*pair) for pair in pairs])
    assert pairs[0] == {"Lamps", "Candles"}
    assert rows(explorer, "bought-together", "min_support=17") == []


def test_bridges_join_different_departments(explorer):
    found = {(row["department"], row["other"]): row for row in rows(explorer, "department-bridges")}
    assert {pair: row["links"] for pair, row in found.items()} == {("Food", "Home"): 6, ("Food", "Gifts"): 3}
    best = found["Food", "Gifts"]
    assert (best["category"], best["with"], best["lift"]) == ("Tea", "Candles", pytest.approx(1.5))
    doors = {row["category"]: row for row in rows(explorer, "bridge-categories")}
    assert {name: row["outside"] for name, row in doors.items()} == {
        "Tea": 0.5, "Käse": 0.5, "Coffee": 0.5, "Lamps": 0.75, "Candles": 0.75,
    }  # fmt: skip
    assert sorted(doors["Candles"]["in"]) == ["Gifts", "Home"]


def test_likeness_near_and_far(explorer):
    """Tea has the partners Candles and Lamps; Lamps has Candles and Tea: Candles in common."""
    found = {row["category"]: row for row in rows(explorer, "complements")}
    assert set(found) == {"Lamps", "Candles"}
    strong, weak = math.log(2.25), math.log(1.5)
    expected = strong * weak / (math.hypot(weak, weak) * math.hypot(strong, weak))
    assert found["Lamps"]["alike"] == pytest.approx(expected)
    assert found["Lamps"]["lift"] == pytest.approx(1.5)
    assert found["Candles"]["in"] == ["Gifts", "Home"]
    assert rows(explorer, "complements", "category=Tea", "far=false") == []
    assert [row["category"] for row in rows(explorer, "complements", "category=Lamps", "far=false")] == ["Candles"]


def test_what_spans_departments(explorer, shop):
    products = shop.tables.products
    found = {row["name"]: row for row in rows(explorer, "attribute-span")}
    assert {name: row["products"] for name, row in found.items()} == dict(products["brand"].value_counts())
    assert {row["departments"] for row in found.values()} == {3}
    assert rows(explorer, "attribute-span", "attribute=Colour") == []


def test_what_connects_two_categories(explorer, shop):
    brand_of = dict(shop.tables.products.dropna()[["product_id", "brand"]].itertuples(index=False))
    of = {name: Counter(brand_of[p] for p in brand_of if CATEGORIES[int(p[1:]) // 4] == name) for name in CATEGORIES}
    found = {row["name"]: row for row in rows(explorer, "connecting-products") if row["by"] == "Brand"}
    assert set(found) == set(of["Tea"]) & set(of["Lamps"])
    for name, row in found.items():
        assert (row["products_from"], row["products_to"]) == (of["Tea"][name], of["Lamps"][name])
        assert {brand_of[p] for p in row["some_from"] + row["some_to"]} == {name}
    assert rows(explorer, "connecting-products", "from=Tea", "to=Lamps", "max_products=1") == []


def test_what_a_coupon_and_its_campaign_touch(explorer):
    coupon = {row["category"]: row for row in rows(explorer, "relation-reach")}
    assert {name: (row["products"], row["share"]) for name, row in coupon.items()} == {
        "Tea": (1, 0.25),
        "Käse": (1, 0.25),
    }
    (campaign,) = rows(explorer, "relation-reach", "id=Été ☀", "label=Campaign")
    assert (campaign["category"], campaign["products"], campaign["through"]) == ("Tea", 1, 1)
    assert rows(explorer, "relation-reach", "id=Été ☀", "label=Coupon") == []


def test_the_likeliest_way(explorer):
    found = rows(explorer, "purchase-path", "from=Käse", "to=Lamps", "limit=1000")
    for row in found:
        assert row["chance"] == pytest.approx(math.prod(confidence(*step) for step in pairwise(row["names"])))
    assert [row["chance"] for row in found] == sorted((row["chance"] for row in found), reverse=True)
    assert {len(row["names"]) for row in found} == {2, 3, 4}


def test_why_a_category(explorer):
    answer = ask(explorer, "why-category")
    for names, weight, chance, lifts, path in answer.rows:
        assert names[-1] == "Lamps"
        assert names[0] in ("Tea", "Käse")
        assert lifts == pytest.approx([lift(*step) for step in pairwise(names)])
        confidences = [edge.properties["confidence"] for edge in path.edges]
        assert chance == pytest.approx(np.prod(confidences))
        logs = [c * math.log1p(lift) for c, lift in zip(confidences, lifts, strict=True)]
        assert weight == pytest.approx(np.prod(logs))
        assert {edge.properties["window_end"] for edge in path.edges} == {15}
        assert all(edge.source == a.id for edge, (a, _) in zip(path.edges, pairwise(path.nodes), strict=True))
    weights = [row[1] for row in answer.rows]
    assert weights == sorted(weights, reverse=True)
    assert answer.rows[0][0] == ["Tea", "Candles", "Lamps"]


def test_the_neighbourhood_of_a_product(explorer):
    found = {(row["label"], row["by"]) for row in rows(explorer, "product-neighbourhood")}
    assert {("Type", "IN_TYPE"), ("Category", "IN_CATEGORY"), ("Coupon", "APPLIES_TO")} <= found


def test_what_was_learnt(explorer):
    assert [row["category"] for row in rows(explorer, "where-next")] == ["Lamps", "Käse"]
    assert rows(explorer, "where-next", "category=Tea", "run=another") == []
    bridges = {(row["category"], row["leads_to"]): row["lift"] for row in rows(explorer, "learnt-bridges")}
    assert bridges == {("Tea", "Lamps"): 3.0, ("Lamps", "Tea"): 0.5}
    found = rows(explorer, "learnt-against-counted")
    expected = {(one, other): learnt / lift(one, other) for one, other, _, learnt, _ in LEARNT}
    assert {(row["category"], row["leads_to"]): row["ratio"] for row in found} == pytest.approx(expected)
    assert {found[0]["category"], found[0]["leads_to"]} == {"Tea", "Käse"}


def test_learnt_interest_without_a_count(explorer):
    """In a window of which no purchases were counted, all that was learnt is new."""
    assert rows(explorer, "learnt-not-counted", "min_support=1", "min_lift=0") == []
    found = rows(explorer, "learnt-not-counted", "min_support=1", "min_lift=0", "window_end=1")
    assert [(row["category"], row["leads_to"], row["lift"]) for row in found] == [
        ("Tea", "Lamps", 3.0), ("Tea", "Käse", 1.5), ("Lamps", "Tea", 0.5),
    ]  # fmt: skip


def test_nearest_products_are_elsewhere_and_near(explorer):
    found = rows(explorer, "nearest-products", "product=p01", "limit=100")
    assert [row["product"] for row in found] == [f"p{i}" for i in range(12, 19)]
    for row in found:
        assert row["cosine"] == pytest.approx(math.cos((int(row["product"][1:]) - 1) / 7))
        assert "Food" not in row["departments"]


def test_quality_finds_what_is_planted(explorer):
    store = explorer.reader.store
    store.write("CREATE (:CrossAisleRun {name: 'one'})")
    store.write("CREATE (:Product {product_id: 'lost'}) CREATE (:Brand {node_id: 'nobody', name: 'nobody'})")
    store.write("CREATE (:Type {node_id: 'again', name: 'Tea > 1'}) CREATE (:Category {node_id: 'TEAS', name: 'TEAS'})")
    store.write("MATCH (n:Product {product_id: 'lost'}) SET n.ended = date('2026-01-02')")
    try:
        assert [(row["id"], row["ended"]) for row in rows(explorer, "vanished")] == [("lost", "2026-01-02")]
        assert {row["label"]: row["nodes"] for row in rows(explorer, "orphans")} == {
            "Product": 1, "Brand": 1, "Type": 1, "Category": 1,
        }  # fmt: skip
        assert [row["product"] for row in rows(explorer, "products-without-category")] == ["lost"]
        assert [(row["name"], row["nodes"]) for row in rows(explorer, "duplicated-names")] == [("Tea > 1", 2)]
        assert {row["id"] for row in rows(explorer, "empty-categories")} == {"again", "TEAS"}
        assert [sorted(row["names"]) for row in rows(explorer, "similar-names")] == [["TEAS", "Tea"]]
    finally:
        store.write("MATCH (n) WHERE coalesce(n.product_id, n.node_id) IN ['lost', 'nobody', 'again', 'TEAS'] DELETE n")
        store.write("MATCH (n:CrossAisleRun) DELETE n")
    assert rows(explorer, "orphans") == []


def test_values_stay_values(explorer):
    for name, parameter in (("bought-with", "category"), ("category-contents", "category"), ("relation-reach", "id")):
        assert rows(explorer, name, f"{parameter}=Tea'}}) DETACH DELETE n //") == []


def test_other_shops_have_their_own_names(make_dataset):
    schema = schema_of(make_dataset(attributes={"brand": "Maker"}))
    assert placeholders(schema) == {
        "Product": ["Product"],
        "Category": ["Category"],
        "Above": ["Department"],
        "Below": ["Type"],
        "Level": ["Department", "Category", "Type"],
        "Attribute": ["Maker"],
        "Related": ["Campaign", "Coupon"],
        "TAXONOMY": ["IN_TYPE", "IN_DEPARTMENT", "IN_CATEGORY"],
        "ATTRIBUTE": ["HAS_BRAND"],
        "RELATION": ["APPLIES_TO", "PART_OF"],
        "LINK": ["HAS_BRAND", "APPLIES_TO", "PART_OF"],
    }
    assert (interest_label(schema), level_labels(schema)) == ("Category", ["Department", "Category", "Type"])
    assert fill("(n:$$Level)-[:$$ATTRIBUTE]-($x)", schema) == "(n:`Department`|`Category`|`Type`)-[:`HAS_BRAND`]-($x)"


def test_a_shop_without_attributes_is_told(make_dataset):
    schema = schema_of(make_dataset(attributes={}))
    with pytest.raises(InputError, match="this graph has no attributes of products, for which "):
        fill(library.load("attribute-span").cypher, schema)
    with pytest.raises(InputError, match=r"unknown placeholder \$\$Nothing"):
        fill("MATCH (n:$$Nothing)", schema)


HEAD = """// What it is.
//
// Parameters:
//   name (text, required): what
//   many (texts, default ["a"]): a list
//     told over two lines
//   number (number, default 1.5): a number
//   whole (integer, default 3): a whole number
//   yes (boolean, default true): a truth value
//   nothing (text, default none): may be null
//   window_end (integer, default latest window): a cut-off
//
// Reading: like this.
MATCH (n) WHERE n.a IN [$name, $many, $number, $whole, $yes, $nothing, $window_end]
RETURN n.a AS a, size(f(n, 1)) AS b"""


def test_defaults_and_types():
    query = library.parse("x", HEAD)
    assert query.columns == ("a", "b")
    assert query.parameters[1].meaning == "a list told over two lines"
    assert library.bind(query, ["name=a=b"], 7) == {
        "name": "a=b", "many": ["a"], "number": 1.5, "whole": 3, "yes": True, "nothing": None, "window_end": 7,
    }  # fmt: skip
    changed = library.bind(query, ["name=", 'many=["x, y", "z"]', "many=w", "yes=FALSE", "whole=-2", "number=2"])
    assert changed["many"] == ["x, y", "z", "w"]
    assert (changed["name"], changed["yes"], changed["whole"], changed["number"]) == ("", False, -2, 2.0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "needs a value for name[\\s\\S]*--param name=VALUE"),
        (["nme=1"], "no parameter 'nme'[\\s\\S]*Did you mean name"),
        (["name"], "is not NAME=VALUE"),
        (["na me=1"], "is not NAME=VALUE"),
        (["name=a", "name=b"], "2 values for one text"),
        (["name=a", "whole=1.5"], "'1.5' is no integer"),
        (["name=a", f"whole={2**63}"], "is no integer"),
        (["name=a", "number=nan"], "'nan' is no number"),
        (["name=a", "yes=perhaps"], "'perhaps' is no boolean"),
        (["name=a", "many=[1]"], "no text"),
        (["name=a", "many=[oops"], "no JSON list"),
    ],
)
def test_wrong_values_are_told(given, told):
    with pytest.raises(InputError, match=told):
        library.bind(library.parse("x", HEAD), given)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("// Reading: like this.\n", ""), "how to read it"),
        (("// What it is.\n", ""), "what the query answers"),
        (("(text, required)", "(string, required)"), "TYPE one of"),
        (("(text, required)", "(text)"), "NAME \\(TYPE, required\\)"),
        (("default 3", "default three"), "'three' is no integer"),
        (("$nothing, ", ""), "only the head or only the query has: nothing"),
        (("// Reading:", "// Writing:\n// Reading:"), "unknown section 'Writing:'"),
        (("// Reading:", "// Parameters:\n// Reading:"), "Parameters twice"),
    ],
)
def test_malformed_heads_are_told(change, told):
    with pytest.raises(InputError, match=told):
        library.parse("x", HEAD.replace(*change))


def test_names_are_suggested():
    with pytest.raises(InputError, match=r"no named query 'bougth-with'[\s\S]*Did you mean bought-with"):
        library.resolve("bougth-with")
    with pytest.raises(InputError, match="kg queries"):
        library.load("zzzzzzzz")
    assert library.resolve(" bought-with ").documented


def test_plain_cypher_has_free_parameters():
    query = library.resolve("// a note\nMATCH (n) WHERE n.x = $x RETURN n")
    assert not query.documented
    assert query.cypher.startswith("// a note")
    given = ["x=1", "y=abc", 'z=["a", 1]', 'w="47"', "v=a", "v=b", "u=NaN"]
    bound = library.bind(query, given)
    assert bound == {"x": 1, "y": "abc", "z": ["a", 1], "w": "47", "v": ["a", "b"], "u": "NaN"}


def test_a_description_says_all():
    query = library.load("bought-with")
    told = library.describe(query)
    assert query.reading in told
    assert "category (text, required)" in told
    assert library.usage(query).startswith("category=, ")


@given(
    st.lists(st.text(), max_size=4), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
def test_any_value_survives(texts, whole, number):
    import json

    query = library.parse("x", HEAD)
    found = library.bind(query, ["name=", f"many={json.dumps(texts)}", f"whole={whole}", f"number={number!r}"])
    assert (found["many"], found["whole"], found["number"]) == (texts, whole, number)
