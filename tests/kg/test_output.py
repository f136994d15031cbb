"""Answers as tables and files."""

import datetime
import io
import json
import math

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from errors import InputError
from kg.answer import Answer, GraphEdge, GraphNode, GraphPath
from kg.output import notice, plain, short, table, without, write

TEA = GraphNode("1", ("Category",), {"name": "Tea", "embedding": [0.5, 1.0]})
MILK = GraphNode("2", ("Category",), {"node_id": "Milk"})
EDGE = GraphEdge("9", "BOUGHT_WITH", "2", "1", {"lift": 1.5})
PATH = GraphPath((TEA, MILK), (EDGE,))
ANSWER = Answer(
    ("name", "number", "mixed", "list", "node", "path", "day", "nothing"),
    [
        ("Größe, \"☀\"\n", 2, 1, ["a", "b"], TEA, PATH, datetime.date(2026, 1, 2), None),
        (None, 2.5, "x", ["c"], MILK, PATH, None, None),
    ],
    truncated=True,
    seconds=0.25,
)  # fmt: skip

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS | st.dates() | st.binary() | st.builds(lambda name: GraphNode("1", ("A",), {"name": name}), SCALARS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_csv_holds_nested_values_as_json(tmp_path):
    write(ANSWER, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert list(frame.columns) == list(ANSWER.columns)
    assert frame["name"].tolist() == ['Größe, "☀"\n', ""]
    assert json.loads(frame["node"][0]) == plain(TEA)
    assert json.loads(frame["list"][0]) == ["a", "b"]
    assert frame["day"].tolist() == ["2026-01-02", ""]


def test_json_is_a_list_of_rows(tmp_path):
    write(ANSWER, tmp_path / "a.json")
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [list(row) for row in rows] == [list(ANSWER.columns)] * 2
    assert rows[0]["path"]["edges"] == [
        {"id": "9", "type": "BOUGHT_WITH", "source": "2", "target": "1", "properties": {"lift": 1.5}}
    ]
    assert (rows[1]["number"], rows[1]["mixed"], rows[1]["nothing"]) == (2.5, "x", None)


def test_parquet_keeps_types_where_it_can(tmp_path):
    write(ANSWER, tmp_path / "a.parquet")
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["number"] for row in rows] == [2.0, 2.5]
    assert [row["mixed"] for row in rows] == ["1", "x"]
    assert [row["list"] for row in rows] == [["a", "b"], ["c"]]
    assert [row["day"] for row in rows] == [datetime.date(2026, 1, 2), None]
    assert json.loads(rows[0]["node"]) == plain(TEA)


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_an_answer_without_rows_has_its_columns(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    write(Answer(("a", "b"), []), path)
    found = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[suffix](path)
    assert len(found) == 0
    assert list(found.columns) == ([] if suffix == "json" else ["a", "b"])


@example(values=[[{}]])
@example(values=[{}, None])
@given(values=st.lists(VALUES, min_size=1, max_size=4))
def test_whatever_comes_can_be_written(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("out")
    answer = Answer(("v",), [(value,) for value in values])
    for suffix in ("csv", "json", "parquet"):
        write(answer, folder / f"a.{suffix}")
    rows = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert [row["v"] for row in rows] == plain(values)
    assert pq.read_table(folder / "a.parquet").num_rows == len(values)


@given(st.lists(st.floats() | st.integers(-(2**53), 2**53) | st.none(), max_size=5))
def test_numbers_survive_parquet(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("out") / "a.parquet"
    write(Answer(("v",), [(value,) for value in values]), path)
    found = pq.read_table(path)["v"].to_pylist()
    assert all(_same(a, b) for a, b in zip(values, found, strict=True))


def _same(one, other):
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def test_the_suffix_is_checked(tmp_path):
    with pytest.raises(InputError, match=r"no table format '\.xlsx'[\s\S]*\.csv, \.json, \.parquet"):
        write(ANSWER, tmp_path / "a.xlsx")


def test_nothing_half_written(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write(Answer(("a",), [("fine",), ("\ud800",)]), path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match=r"a\.csv: cannot write it"):
        write(ANSWER, tmp_path / "a.csv")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write it"):
        write(ANSWER, tmp_path / "file" / "a.csv")


def test_short_forms():
    assert short(TEA) == "(:Category Tea)"
    assert short(PATH) == "(Tea)<-[:BOUGHT_WITH]-(Milk)"
    assert short(EDGE) == "[:BOUGHT_WITH]"
    assert short([0.123456, None, "x"]) == "0.1235, , x"
    assert short(list(range(9))).endswith("5, …")
    assert short("y" * 200) == "y" * 59 + "…"
    assert short(12345678.9) == "12345679"
    assert short(GraphNode("1", ("A", "B"))) == "(:A:B A:B)"


def test_the_table_shows_markup_as_it_is():
    shown = io.StringIO()
    Console(file=shown, width=100).print(table(Answer(("a", "n"), [("[red]x[/red]", 1.5)])))
    assert "[red]x[/red]" in shown.getvalue()


def test_the_notice_says_what_was_cut():
    assert notice(ANSWER).startswith("2 rows in 0.25 s; there are more")
    assert notice(Answer(("a",), [(1,)])) == "1 row in 0.00 s"


def test_columns_for_pictures_are_left_out():
    left = without(ANSWER, ["path", "node"])
    assert left.columns == ("name", "number", "mixed", "list", "day", "nothing")
    assert left.rows[1] == (None, 2.5, "x", ["c"], None, None)
    assert left.truncated
