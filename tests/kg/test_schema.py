import pytest

from errors import InputError
from kg.schema import Schema, label_of, quote, relationship_of, schema_of

INJECTIONS = [
    "a`b",
    "Product) DETACH DELETE (n",
    "x\\u0060y",
    "Größe Klasse",
    "a-b",
    "1st",
    "",
    "_x",
    "a\nb",
    "`",
    "n:Product",
    "a" * 61,
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_names_that_are_no_identifiers_are_refused(name):
    for use in (quote, label_of, relationship_of):
        with pytest.raises(InputError, match="cannot name something"):
            use(name)


@pytest.mark.parametrize(
    ("name", "label", "relationship"),
    [
        ("type", "Type", "TYPE"),
        ("product_type", "ProductType", "PRODUCT_TYPE"),
        ("SUB_TYPE", "SubType", "SUB_TYPE"),
        ("appliesTo", "AppliesTo", "APPLIES_TO"),
        ("größe", "Größe", "GRÖSSE"),
    ],
)
def test_names(name, label, relationship):
    assert (label_of(name), relationship_of(name)) == (label, relationship)
    assert label_of(label) == label


def test_schema_of_the_tiny_shop(dataset):
    schema = schema_of(dataset)
    assert {kind.label: kind.key for kind in schema.nodes} == {
        "Product": "product_id",
        **dict.fromkeys(["Department", "Category", "Type", "Brand", "Campaign", "Coupon"], "node_id"),
    }
    assert {kind.triple for kind in schema.edges} == {
        ("Product", "IN_TYPE", "Type"),
        ("Type", "IN_CATEGORY", "Category"),
        ("Category", "IN_DEPARTMENT", "Department"),
        ("Product", "HAS_BRAND", "Brand"),
        ("Coupon", "APPLIES_TO", "Product"),
        ("Coupon", "PART_OF", "Campaign"),
        ("Category", "BOUGHT_WITH", "Category"),
        ("Type", "BOUGHT_WITH", "Type"),
    }
    assert Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize("label", ["Category", "Product", "CrossAisleGraph"])
def test_one_label_cannot_mean_two_things(make_dataset, label):
    with pytest.raises(InputError, match=f"two meanings: {label}"):
        schema_of(make_dataset(attributes={"brand": label}))


@pytest.mark.parametrize("name", ["a`b", "x) DETACH DELETE (y"])
@pytest.mark.parametrize("column", ["relation", "source_label", "target_label"])
def test_injection_through_the_relations_table(dataset, make_dataset, column, name):
    relations = dataset.tables.relations.assign(**{column: name})
    with pytest.raises(InputError, match="cannot name something"):
        schema_of(make_dataset(relations=relations))


def test_a_relation_cannot_pass_for_a_co_purchase(dataset, make_dataset):
    ends = {"source_label": "Category", "target_label": "category"}
    relations = dataset.tables.relations.assign(relation="bought_with", **ends)
    with pytest.raises(InputError, match="Category:BOUGHT_WITH:Category"):
        schema_of(make_dataset(relations=relations))
