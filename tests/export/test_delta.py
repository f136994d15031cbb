"""Changes between two exports: applied to the old one they give the new one, bit for bit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InputError
from export.delta import digests, write_delta
from export.manifest import CARD, described, seal
from export.quantise import encoded
from export.reader import Export, apply
from export.storage import format_of
from export.table import checked, table_of

ROWS = st.dictionaries(st.text("abcé0 ", min_size=1, max_size=3), st.integers(-3, 3), max_size=8)


def write(folder, rows, storage="parquet", dtype="float32", run="a", **more):
    """An export of one table: each id with a vector that its number makes, and a figure."""
    folder.mkdir()
    numbers = np.array(list(rows.values()), dtype=np.float32)
    arrays = {"embedding": numbers[:, None] * np.float32([0.3, 1]), "popularity": numbers}
    tables = {"Thing": table_of("Thing", np.array(list(rows), dtype=str), arrays)} | more
    entries = []
    for table in tables.values():
        small = encoded(checked(table), dtype)
        entries.append(described(small, format_of(storage).write(folder, small)))
    (folder / CARD).write_text(f"{run}: {len(rows)} things")
    return seal(folder, {"kind": "export", "storage": storage, "dtype": dtype, "run": run, "tables": entries})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def change(old, new, delta):
    delta.mkdir()
    return write_delta(old, new, delta)


@given(before=ROWS, after=ROWS, kept=st.booleans())
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("storage", ["parquet", "numpy", "safetensors", "faiss"])
def test_old_and_changes_are_the_new(storage, before, after, kept, tmp_path_factory):
    base = tmp_path_factory.mktemp("delta")
    after = before | after if kept else after
    write(base / "old", before, storage)
    write(base / "new", after, storage, run="b")
    manifest = change(base / "old", base / "new", base / "delta")
    assert manifest["tables"][0]["rows"] == sum(before.get(name) != value for name, value in after.items())
    removed = json.loads((base / "delta" / "removed.json").read_text())["Thing"]
    assert removed == sorted(set(before) - set(after))
    apply(base / "old", base / "delta", base / "made")
    assert contents(base / "made") == contents(base / "new")
    shutil.rmtree(base)


@pytest.fixture
def two(tmp_path):
    """An old export, a new one and the changes between them."""
    write(tmp_path / "old", {"a": 1, "b": 2, "c": 3})
    write(tmp_path / "new", {"a": 1, "b": 5, "d": 4})
    change(tmp_path / "old", tmp_path / "new", tmp_path / "delta")
    return tmp_path


def test_only_what_changed_is_written(two):
    manifest = json.loads((two / "delta" / "manifest.json").read_text())
    assert [(entry["name"], entry["rows"]) for entry in manifest["tables"]] == [("Thing", 2)]
    assert json.loads((two / "delta" / "removed.json").read_text()) == {"Thing": ["c"]}


def test_applied_in_place(two):
    expected = contents(two / "new")
    apply(two / "old", two / "delta", two / "old", overwrite=True)
    assert contents(two / "old") == expected
    assert Export.open(two / "old").array("Thing", "popularity").tolist() == [1, 5, 4]


def test_other_columns_and_new_tables_are_written_whole(tmp_path):
    extra = table_of("Other", np.array(["x"]), {"embedding": np.ones((1, 2), dtype=np.float32)})
    write(tmp_path / "old", {"a": 1, "b": 2}, "numpy")
    write(tmp_path / "new", {"a": 1, "b": 2}, "parquet", "int8", Other=extra)
    manifest = change(tmp_path / "old", tmp_path / "new", tmp_path / "delta")
    assert [entry["rows"] for entry in manifest["tables"]] == [2, 1]
    apply(tmp_path / "old", tmp_path / "delta", tmp_path / "made")
    assert contents(tmp_path / "made") == contents(tmp_path / "new")


def test_changes_of_another_export_are_refused(two):
    write(two / "stranger", {"a": 1, "b": 3})
    with pytest.raises(InputError, match="changes of another export"):
        apply(two / "stranger", two / "delta", two / "made")
    assert not (two / "made").exists()


@pytest.mark.parametrize("wrong", ["old", "delta"])
def test_a_damaged_side_is_refused(two, wrong):
    file = two / wrong / "Thing.parquet"
    file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    before = contents(two / "old")
    with pytest.raises(InputError, match="not the one that was written"):
        apply(two / "old", two / "delta", two / "old", overwrite=True)
    assert contents(two / "old") == before


def test_an_export_is_no_delta_and_the_other_way_round(two):
    with pytest.raises(InputError, match="holds a whole export"):
        apply(two / "old", two / "new", two / "made")
    with pytest.raises(InputError, match="holds the changes"):
        Export.open(two / "delta")


def test_digests_tell_rows_apart():
    arrays = {"embedding": np.float32([[0, 1], [1, 0], [0, 1], [0, -1]]), "popularity": np.float32([1, 1, 1, 1])}
    found = digests(table_of("Thing", np.array(list("abcd")), arrays))
    assert (found == found[0]).tolist() == [True, False, True, False]
