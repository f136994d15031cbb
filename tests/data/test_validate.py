"""Bad rows are taken out, counted and told; what cannot be mended is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.rejects import Rejects, count_rejects, write_rejects
from data.sources.triples import RELATION_COLUMNS
from data.validate import refuse_cycle, validate
from errors import InputError


def told(tables, table):
    rows = validate(tables).rejects
    rows = rows[rows["table"] == table]
    return list(rows[["row", "column", "value", "reason"]].itertuples(index=False, name=None))


def spoil(frame, row, **values):
    frame = frame.copy()
    for column, value in values.items():
        frame.loc[row, column] = value
    return frame


def test_a_sound_shop_is_kept_whole(shop):
    valid = validate(shop)
    assert len(valid.rejects) == 0
    assert valid.users["user_id"].tolist() == ["u1", "u2", "u3"]
    assert valid.users["age"].isna().tolist() == [False, True, True]
    assert valid.interactions["time"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("values", "column", "value", "reason"),
    [
        ({"user_id": None}, "user_id", "", "user_id is empty"),
        ({"user_id": "  "}, "user_id", "  ", "user_id is empty"),
        ({"product_id": None}, "product_id", "", "product_id is empty"),
        ({"product_id": "p9"}, "product_id", "p9", "the product is not in the products"),
        ({"quantity": -1.0}, "quantity", "-1.0", "quantity is a return: quantity below 0"),
        ({"quantity": np.nan}, "quantity", "", "quantity is empty"),
        ({"quantity": np.inf}, "quantity", "inf", "quantity is not a finite number"),
        ({"value": -np.inf}, "value", "-inf", "value is a refund: value below 0"),
        ({"value": np.nan}, "value", "", "value is empty"),
        ({"time": 2**40}, "time", str(2**40), "time is outside the range of periods"),
        ({"basket_id": None}, "basket_id", "", "basket_id is empty"),
    ],
)
def test_bad_interactions(shop, values, column, value, reason):
    shop = replace(shop, interactions=spoil(shop.interactions, 1, **values))
    assert told(shop, "interactions") == [(2, column, value, reason)]
    assert len(validate(shop).interactions) == 4


def test_a_row_with_two_faults_is_told_once(shop):
    shop = replace(shop, interactions=spoil(shop.interactions, 1, user_id=None, quantity=-1.0))
    assert len(told(shop, "interactions")) == 1


def test_quantity_zero_is_kept(shop):
    assert 0.0 in validate(shop).interactions["quantity"].tolist()


def test_of_duplicate_products_the_first_is_kept(shop):
    shop = replace(shop, products=spoil(shop.products, 2, product_id="p1", text="again"))
    valid = validate(shop)
    assert valid.products["text"].tolist() == ["one", "two", "four"]
    reason = "product_id is duplicate: the first row with it is kept"
    assert told(shop, "products") == [(3, "product_id", "p1", reason)]


def test_products_without_a_category_go_with_their_interactions(shop):
    shop = replace(shop, memberships=shop.memberships.iloc[1:])
    reason = "in no node of the interest level 'category'"
    assert told(shop, "products") == [(1, "product_id", "p1", reason)]
    why = f"the product was rejected: {reason}"
    assert told(shop, "interactions") == [(1, "product_id", "p1", why), (4, "product_id", "p1", why)]


def test_products_above_the_interest_level_have_no_category(shop):
    shop = replace(shop, memberships=spoil(shop.memberships, 0, level="department", node_id="d1"))
    assert [row[2] for row in told(shop, "products")] == ["p1"]


def test_memberships_to_unknown_nodes(shop):
    extra = pd.DataFrame({"product_id": ["p1"], "level": ["category"], "node_id": ["c9"]}, index=[4])
    shop = replace(shop, memberships=pd.concat([shop.memberships, extra]))
    assert told(shop, "memberships") == [(5, "node_id", "c9", "the node is not in the taxonomy")]


def test_unknown_parents_take_what_hangs_below_with_them(shop):
    shop = replace(shop, taxonomy=shop.taxonomy[shop.taxonomy["node_id"] != "d2"])
    reason = "the parent is not in the taxonomy"
    assert told(shop, "taxonomy") == [(5, "parent_id", "d2", reason), (6, "parent_id", "d2", reason)]
    assert validate(shop).products["product_id"].tolist() == ["p1", "p2"]


def test_a_parent_must_stand_at_a_higher_level(shop):
    shop = replace(shop, taxonomy=spoil(shop.taxonomy, 4, parent_level="category", parent_id="c1"))
    assert told(shop, "taxonomy") == [(5, "parent_id", "c1", "the parent's level is not above the node's")]


def test_a_cycle_is_refused_and_named(shop):
    taxonomy = spoil(shop.taxonomy, 0, parent_level="category", parent_id="c2")
    with pytest.raises(InputError, match=r"taxonomy: a cycle: .*'d1'.*'c2'|'c2'.*'d1'"):
        validate(replace(shop, taxonomy=taxonomy))


def test_a_node_above_itself_is_a_cycle():
    with pytest.raises(InputError, match="a cycle: 'x' -> 'x'"):
        refuse_cycle([(("l", "x"), ("l", "x"))])


def test_duplicate_and_empty_users(shop):
    users = pd.DataFrame({"user_id": ["u1", "u1", None], "age": ["1", "2", "3"]}).astype("str")
    assert [(row[0], row[3]) for row in told(replace(shop, users=users), "users")] == [
        (2, "user_id is duplicate: the first row with it is kept"),
        (3, "user_id is empty"),
    ]


def test_bad_relations(shop):
    rows = [
        ("Coupon", "k", "APPLIES_TO", "Product", "p1", 1.0, 3),
        ("Coupon", "k", "APPLIES_TO", "Product", "p9", 1.0, None),
        ("Coupon", "k", "applies to", "Product", "p1", 1.0, None),
        ("a label", "k", "APPLIES_TO", "Product", "p1", 1.0, None),
        ("Coupon", "k", "APPLIES_TO", "Product", "p1", np.nan, None),
    ]
    relations = pd.DataFrame(rows, columns=RELATION_COLUMNS).astype({"time": "Int64"})
    shop = replace(shop, relations=relations)
    assert sorted(row[:2] for row in told(shop, "relations")) == [
        (2, "target_id"),
        (3, "relation"),
        (4, "source_label"),
        (5, "weight"),
    ]
    assert validate(shop).relations["time"].tolist() == [3]


@pytest.mark.parametrize("table", ["products", "taxonomy", "memberships", "interactions"])
def test_an_empty_table_is_refused(shop, table):
    with pytest.raises(InputError, match="no valid row"):
        validate(replace(shop, **{table: getattr(shop, table).iloc[:0]}))


def test_an_emptied_table_tells_why(shop):
    shop = replace(shop, interactions=shop.interactions.assign(quantity=-1.0))
    with pytest.raises(InputError, match="5 rows of interactions: quantity is a return"):
        validate(shop)


def test_a_wrong_dtype_is_no_row_error(shop):
    with pytest.raises(InputError, match="interactions, column time"):
        validate(replace(shop, interactions=shop.interactions.astype({"time": "float64"})))


def test_rejects_are_written_whole(shop, tmp_path):
    valid = validate(replace(shop, interactions=spoil(shop.interactions, 1, quantity=-1.0)))
    file = tmp_path / "run" / "rejects.csv"
    write_rejects(valid, file)
    assert file.read_text().splitlines() == [
        "table,row,column,value,reason",
        "interactions,2,quantity,-1.0,quantity is a return: quantity below 0",
    ]
    assert [path.name for path in file.parent.iterdir()] == ["rejects.csv"]


def test_rejects_are_counted(shop):
    valid = validate(replace(shop, interactions=shop.interactions.assign(quantity=[-1.0, -1.0, 1, 1, np.inf])))
    assert count_rejects(valid)["rows"].tolist() == [2, 1]


def test_no_rejects_are_an_empty_table():
    frame = Rejects().frame()
    assert len(frame) == 0
    assert frame["row"].dtype == "int64"
