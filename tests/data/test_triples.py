"""Triples of one's own: N-Triples and tables, in several files; what is left out is told, what is wrong is placed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pyoxigraph as rdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.config import DataConfig
from data.load import load
from data.sources.mapping import TriplesMapping
from data.sources.triples import RELATION_COLUMNS, canonical, files, read_triples, relation_of, snake, upper_snake
from errors import InputError

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_graph" / "mapping.yaml"
SKU, THING, SAYS = "https://shop.example/sku/", "https://shop.example/sku/thing/", "https://words.example/ns#madeOf"
SECTION = TriplesMapping("x.nt", {SKU: "Product", THING: "Thing"}, {}, {SAYS: "Material"})


def write(folder: Path, text: str | bytes, name: str = "x.nt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def kept(frame: pd.DataFrame) -> list[list[str]]:
    return frame[RELATION_COLUMNS[:5]].to_numpy().tolist()


def test_the_example():
    tables = load(DataConfig(source="tabular", mapping=EXAMPLE)).tables
    facts = tables.relations
    counts = facts.groupby(["source_label", "relation", "target_label"]).size().to_dict()
    assert counts == {
        ("Product", "GOES_WITH", "Product"): 5,
        ("Product", "PART_OF", "Theme"): 2,
        ("Product", "PAIRED_ON_PAPER", "Product"): 3,
        ("Product", "HAS_INGREDIENT", "Ingredient"): 17,
        ("Product", "COMES_FROM", "Country"): 6,
        ("Product", "IS_RELATED_TO", "Product"): 1,
    }
    weekly = facts[facts["relation"] == "GOES_WITH"]
    assert (weekly["weight"].tolist(), weekly["time"].tolist()) == ([3, 5, 4, 5, 2], [0, 0, 5, 5, 9])
    assert set(facts.loc[facts["relation"] == "COMES_FROM", "target_id"]) == {"Italy", "France", "South Africa"}
    (told,) = [note for note in tables.notes if note.startswith("facts.nt")]
    assert told == (
        "facts.nt: 24 triples kept; left out: 1 with a literal of no label, 1 whose object is under no prefix of nodes"
    )
    assert len(tables.rejects) == 0


def test_nodes_are_named_by_their_longest_prefix(tmp_path):
    path = write(tmp_path, f"<{SKU}a%20b> <http://x.example/goesWith> <{THING}Käse> .\n")
    frame, told = read_triples(path, SECTION)
    assert kept(frame) == [["Product", "a b", "GOES_WITH", "Thing", "Käse"]]
    assert frame["weight"].tolist() == [1.0]
    assert frame["time"].isna().all()
    assert told == "x.nt: 1 triples kept"


def test_literals_become_nodes_where_a_label_says_so(tmp_path):
    text = f'<{SKU}1> <{SAYS}> "oak"@en .\n<{SKU}1> <http://x.example/price> "3"^^<http://x.example/int> .\n'
    frame, told = read_triples(write(tmp_path, text), SECTION)
    assert kept(frame) == [["Product", "1", "MADE_OF", "Material", "oak"]]
    assert told == "x.nt: 1 triples kept; left out: 1 with a literal of no label"


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    lines = [f"<{SKU}1> <http://x.example/p> <{SKU}2> ."]
    lines += ["<http://no.example/1> <http://x.example/p> <http://no.example/2> ."] * 3
    lines += [f"<{SKU}1> <http://x.example/p> _:blank .", f"<{SKU}> <http://x.example/p> <{SKU}1> ."]
    _, told = read_triples(write(tmp_path, "\n".join(lines) + "\n"), SECTION)
    assert told == (
        "x.nt: 1 triples kept; left out: 4 whose subject is under no prefix of nodes, "
        "1 whose object is under no prefix of nodes"
    )


def test_gzip_and_patterns(tmp_path):
    line = f"<{SKU}1> <http://x.example/p> <{SKU}2> .\n"
    write(tmp_path, gzip.compress(line.encode()), "b.nt.gz")
    write(tmp_path, line, "a.nt")
    assert files(tmp_path, "*.nt*") == ["a.nt", "b.nt.gz"]
    assert files(tmp_path, "a.nt") == ["a.nt"]
    read = [kept(read_triples(tmp_path / name, SECTION)[0]) for name in files(tmp_path, "*.nt*")]
    assert read[0] == read[1] != []
    write(tmp_path, line, "odd[1].nt")
    assert files(tmp_path, "odd[1].nt") == ["odd[1].nt"]
    with pytest.raises(InputError, match=r"\*\.ttl: no file matches"):
        files(tmp_path, "*.ttl")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "x.nt: no triples"),
        (b"# nothing\n", "x.nt: no triples"),
        (f"<{SKU}1> <http://x.example/p> <{SKU}2> .\nnonsense\n".encode(), r"x.nt, line 2: not a triple: .*subject"),
        (f"<{SKU}1> <http://x.example/p> <{SKU}2>\n".encode(), r"x.nt, line \d: not a triple: .*dot"),
        (b"<relative> <http://x.example/p> <http://x.example/o> .\n", "line 1: not a triple: .*IRI"),
        (b'<http://x.example/s> <http://x.example/p> "\xff" .\n', "line 1: not a triple: .*UTF-8"),
        (
            b"<http://no.example/1> <http://x.example/p> <http://no.example/2> .\n",
            r"no triple could be kept: 1 whose subject is under no prefix.* such as <http://no\.example/1>.*\n.*prefixes",
        ),
    ],
)
def test_faults_are_told_with_their_line(tmp_path, content, told):
    with pytest.raises(InputError, match=told):
        read_triples(write(tmp_path, content), SECTION)


def test_a_file_that_is_missing_or_no_gzip(tmp_path):
    with pytest.raises(InputError, match=r"x\.nt: no such file"):
        read_triples(tmp_path / "x.nt", SECTION)
    with pytest.raises(InputError, match="cannot be read: Not a gzipped file"):
        read_triples(write(tmp_path, "plain", "x.nt.gz"), SECTION)


def test_names_of_relations():
    assert relation_of("http://schema.org/isRelatedTo") == "IS_RELATED_TO"
    assert relation_of("http://www.w3.org/2002/07/owl#sameAs") == "SAME_AS"
    assert relation_of("urn:x/goes%20with/") == "GOES_WITH"
    assert snake(" also-bought, often ") == "ALSO_BOUGHT_OFTEN"
    assert upper_snake(pd.Series(["also bought", None])).tolist()[0] == "ALSO_BOUGHT"


ids = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ids, st.sampled_from(["a", "likes", "goesWith"]), ids), min_size=1, max_size=6))
def test_any_ids_come_back(tmp_path, facts):
    """Written by an RDF library, percent-encoded as IRIs ask: every id is read as it was, however odd or long."""
    from urllib.parse import quote

    triples = [
        rdf.Triple(
            rdf.NamedNode("http://s.example/p/" + quote(s, safe="")),
            rdf.NamedNode(f"http://s.example/v/{p}"),
            rdf.NamedNode("http://s.example/t/" + quote(t, safe="")),
        )
        for s, p, t in facts
    ]
    path = write(tmp_path, rdf.serialize(triples, format=rdf.RdfFormat.N_TRIPLES))
    section = TriplesMapping("x.nt", {"http://s.example/p/": "Product", "http://s.example/t/": "Thing"})
    names = {"a": "A", "likes": "LIKES", "goesWith": "GOES_WITH"}
    frame, _ = read_triples(path, section)
    assert kept(frame) == [["Product", s, names[p], "Thing", t] for s, p, t in facts]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5))
def test_any_literal_comes_back(tmp_path, texts):
    triples = [rdf.Triple(rdf.NamedNode(SKU + "1"), rdf.NamedNode(SAYS), rdf.Literal(text)) for text in texts]
    path = write(tmp_path, rdf.serialize(triples, format=rdf.RdfFormat.N_TRIPLES))
    expected = [text.strip() for text in texts if text.strip()]
    if expected:
        assert [row[4] for row in kept(read_triples(path, SECTION)[0])] == expected
    else:
        with pytest.raises(InputError, match="literal of no label"):
            read_triples(path, SECTION)


def test_canonical_keeps_weights_and_times():
    row = {"source_label": "A", "source_id": 1, "relation": "R", "target_label": "B", "target_id": 2}
    frame = canonical(pd.DataFrame([row | {"weight": 2, "time": 5}]))
    assert frame.to_numpy().tolist() == [["A", "1", "R", "B", "2", 2.0, 5]]
