"""Tables in memory and on the disk: every format gives back what was written; fewer bytes cost what they may cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from errors import InputError
from export.manifest import columns_of, described
from export.quantise import decoded, encoded, from_int8, to_int8
from export.storage import FORMATS, format_of
from export.table import Table, checked, table_of

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
MATRICES = arrays.arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 9)), elements=FLOATS)


def table(rows=50, width=6, seed=0):
    rng = np.random.default_rng(seed)
    ids = np.array([f"ä {n:03d}" for n in rng.permutation(rows)])
    return table_of(
        "Thing",
        ids,
        {
            "embedding": rng.normal(size=(rows, width)).astype(np.float32),
            "retrieval": rng.normal(size=(rows, 3)).astype(np.float32),
            "retrieval_bias": rng.normal(size=rows).astype(np.float32),
            "category": rng.integers(-1, 4, rows).astype(np.int32),
            "seen": rng.integers(0, 255, (rows, 2)).astype(np.uint8),
        },
    )


@pytest.mark.parametrize("storage", FORMATS)
class TestFormat:
    @pytest.mark.parametrize("rows", [0, 1, 50])
    def test_what_is_read_is_what_was_written(self, storage, rows, tmp_path):
        written = table(rows)
        entry = described(written, format_of(storage).write(tmp_path, written))
        assert sorted(entry["files"]) == sorted(path.name for path in tmp_path.iterdir())
        read = format_of(storage).read(tmp_path, "Thing", columns_of(entry))
        assert read.ids.tolist() == sorted(written.ids.tolist())
        assert list(read.whole()) == list(written.whole())
        for name, values in written.whole().items():
            np.testing.assert_array_equal(read.whole()[name], values)

    def test_batches_are_written_one_after_the_other(self, storage, tmp_path, monkeypatch):
        monkeypatch.setattr("export.table.ROWS_AT_A_TIME", 7)
        written = table(50)
        assert len(list(written.batches())) == 8
        format_of(storage).write(tmp_path, written)
        read = format_of(storage).read(tmp_path, "Thing", written.columns)
        np.testing.assert_array_equal(read.whole()["embedding"], written.whole()["embedding"])

    def test_a_full_disk_is_no_other_error(self, storage, tmp_path, monkeypatch):
        """A device without room stands where the first large file goes."""
        names = format_of(storage).write(tmp_path, table(2000))
        large = max(names, key=lambda name: (tmp_path / name).stat().st_size)
        (tmp_path / large).unlink()
        (tmp_path / large).symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            format_of(storage).write(tmp_path, table(2000))


@pytest.mark.parametrize(("storage", "dtype"), [(s, d) for s in ("parquet", "numpy", "safetensors")
                                                for d in ("float16", "int8")])  # fmt: skip
def test_every_dtype_in_every_format(storage, dtype, tmp_path):
    plain = table()
    small = encoded(plain, dtype)
    format_of(storage).write(tmp_path, small)
    read = format_of(storage).read(tmp_path, "Thing", small.columns)
    held, column = read.whole(), small.columns[0]
    assert column.dtype == dtype == held["embedding"].dtype
    np.testing.assert_allclose(decoded(column, held), plain.whole()["embedding"], atol=0.02)
    np.testing.assert_array_equal(held["retrieval_bias"], plain.whole()["retrieval_bias"])
    np.testing.assert_array_equal(held["seen"], plain.whole()["seen"])


@given(MATRICES)
def test_int8_is_off_by_half_a_step_at_most(vectors):
    whole, scale = to_int8(vectors)
    assert whole.shape == vectors.shape
    back = from_int8(whole, scale).astype(np.float64)
    step = np.abs(vectors).max(axis=1, initial=0) / 127
    assert (np.abs(back - vectors) <= step[:, None] * (0.5 + 1e-4)).all()


@given(MATRICES)
@settings(max_examples=50)
def test_int8_of_int8_is_itself(vectors):
    whole, scale = to_int8(vectors)
    again, _ = to_int8(from_int8(whole, scale))
    np.testing.assert_array_equal(again, whole)


def test_beyond_float16_is_refused():
    given = table_of("Thing", np.array(["a", "b"]), {"embedding": np.array([[1.0], [1e6]], dtype=np.float32)})
    with pytest.raises(InputError, match="'b' is beyond"):
        encoded(given, "float16").whole()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["embedding", "retrieval_bias"])
def test_no_number_is_told_with_its_node(wrong, column):
    held = table().whole()
    held[column][17] = wrong
    node = table().ids[17]
    with pytest.raises(InputError, match=f"{column} of '{node}'"):
        checked(table_of("Thing", table().ids, held)).whole()


@pytest.mark.parametrize("ids", [["a", "a"], ["b", "a"]])
def test_ids_twice_or_out_of_order(ids):
    held = {"embedding": np.zeros((2, 1), dtype=np.float32)}
    made = table_of("Thing", np.array(["a", "b"]), held)
    with pytest.raises(InputError, match="'a' comes twice or out of order"):
        checked(Table("Thing", np.array(ids), made.columns, made.batches))
