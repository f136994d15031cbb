"""benchmarks/ratings.py on a wheel with a few made-up ratings."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from benchmarks import ratings as bench


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("wheel") / "recbole.whl"
    pairs = rng.permutation(40 * 60)[:1500]
    rows = [f"{p // 60}\t{p % 60}\t{rng.integers(1, 6)}\t{t}" for t, p in enumerate(pairs)]
    films = [f"{film}\tfilm {film}\t1999\t{'Drama Comedy' if film % 2 else 'Horror'}" for film in range(60)]
    with zipfile.ZipFile(path, "w") as archive:
        head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
        archive.writestr(f"{bench.FOLDER}.inter", "\n".join([head, *rows]))
        head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
        archive.writestr(f"{bench.FOLDER}.item", "\n".join([head, *films]))
    return path


def test_parts_do_not_overlap_and_time_goes_on(wheel):
    ratings, moments, genres = bench.read(wheel)
    assert genres.shape == (60, 3)
    of_pair = {(u, i): t for u, i, t in zip(ratings.user, ratings.item, moments, strict=True)}
    for by in ("random", "time"):
        parts = [set(zip(part.user, part.item, strict=True)) for part in bench.split(ratings, moments, by, 0)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 1500
    latest = [max(of_pair[pair] for pair in part) for part in parts]
    assert latest == sorted(latest)


def test_biases_are_the_ridge_solution(wheel):
    ratings, *_ = bench.read(wheel)
    overall, of_user, of_item = bench.biases(ratings, 5.0)
    left = ratings.rating - overall - of_user[ratings.user] - of_item[ratings.item]
    np.testing.assert_allclose(np.bincount(ratings.item, left, ratings.n_items), 5 * of_item, atol=1e-6)


def test_every_model_is_told(wheel, capsys):
    assert bench.main([str(wheel), "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("item's mean", "biases", "SVD", "head"))


def test_what_is_no_wheel_is_told(tmp_path, capsys):
    (tmp_path / "a.whl").write_text("nothing")
    assert bench.main([str(tmp_path / "a.whl")]) == 2
    assert "there is no MovieLens-100k in it" in capsys.readouterr().err
