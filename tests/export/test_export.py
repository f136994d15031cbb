"""A finished run, exported: the numbers are the model's, and what is wrong is told before anything is half-written."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from running import SETTINGS

import cli
from data.splits import unseen_categories
from errors import InputError
from evaluation.scorer import Problem
from evidence.popularity import buyers
from export.manifest import sha256
from export.reader import Export, apply
from export.tower import TowerConfig
from training.learnt import node_vectors

SMALL = {"tower": TowerConfig(rank=0)}
NODES = {"Category", "Type", "Product", "Department", "Brand"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def purchases(run, **changes):
    """The run's purchases before its cut-off, as a file of histories has them."""
    frame = run.dataset.tables.interactions
    return frame[frame["time"] < run.scorer.cutoff.time].assign(**changes)


class TestWhole:
    def test_every_node_has_its_vectors(self, whole, run):
        expected = node_vectors(run.scorer.module, run.scorer.cutoff)
        assert set(whole.tables) == set(expected) | {"User"}
        for label, parts in expected.items():
            assert whole.ids(label).tolist() == sorted(run.scorer.cutoff.graph.ids[label].tolist())
            frame = whole.frame(label).set_index("id").loc[run.scorer.cutoff.graph.ids[label]]
            for name, vectors in parts.items():
                np.testing.assert_allclose(np.stack(frame[name]), vectors, atol=1e-6)

    def test_users_vectors_and_what_they_bought_from(self, whole, run):
        assert whole.ids("User").tolist() == run.dataset.user_ids.tolist()
        rows = np.arange(len(run.dataset.user_ids))
        _, vectors = run.scorer.parts(run.scorer.cutoff.history, rows)
        np.testing.assert_allclose(whole.array("User"), vectors.numpy(), atol=1e-4)
        interest = run.dataset.catalogue.interest
        seen = np.unpackbits(whole.array("User", "seen"), axis=1, count=len(interest)).astype(bool)
        np.testing.assert_array_equal(seen, ~unseen_categories(run.scorer.cutoff.history, interest))

    @pytest.mark.parametrize("label", ["Category", "Type", "Product"])
    def test_the_dot_product_ranks_as_the_model_does(self, whole, run, label):
        levels = {"Category": run.dataset.catalogue.interest, "Type": run.dataset.catalogue.below, "Product": None}
        problem = Problem(run.dataset, levels[label], run.scorer.cutoff.time)
        history = run.scorer.cutoff.history
        users = np.unique(history.user).astype(np.int64)
        full = run.scorer.fit(problem).score(history.of_users(users), users)
        mine = whole.array("User", f"retrieval_{label.lower()}")[users] @ whole.array(label, "retrieval").T
        mine += whole.array(label, "retrieval_bias")
        correlations = [
            np.corrcoef(own[known], scores[known])[0, 1]
            for own, scores, known in zip(mine, full, np.isfinite(full), strict=True)
        ]
        popular = [
            np.corrcoef(whole.array(label, "popularity")[known], scores[known])[0, 1]
            for scores, known in zip(full, np.isfinite(full), strict=True)
        ]
        assert np.mean(correlations) > 0.98 > np.mean(popular)
        assert whole.manifest["retrieval"][label]["overlap"] > 0.7

    def test_the_figures_of_products(self, whole, run):
        catalogue = run.dataset.catalogue
        np.testing.assert_array_equal(whole.array("Product", "category"), catalogue.interest.primary)
        problem = Problem(run.dataset, None, run.scorer.cutoff.time)
        expected = buyers(problem.history, problem.of_product, problem.cutoff)
        np.testing.assert_array_equal(whole.array("Product", "popularity"), expected)

    def test_the_manifest_tells_where_it_comes_from(self, whole, run, finished):
        told = whole.manifest
        assert told["data_fingerprint"] == run.dataset.fingerprint
        assert told["model"] == {"sha256": sha256(finished.folder / "model.safetensors"), "width": 8}
        assert told["window"]["cut_off"] == SETTINGS["protocol"]["test_cutoff"] > told["window"]["last"]
        files = {path.name for path in whole.folder.iterdir()} - {"manifest.json"}
        assert set(told["files"]) == files
        named = {column["name"] for table in told["tables"] for column in table["columns"]}
        assert set(told["columns"]) == named

    def test_the_card_is_one(self, whole, finished):
        card = ModelCard.load(whole.folder / "README.md")
        assert card.data.library_name == "crossaisle"
        metrics = json.loads((finished.folder / "metrics.json").read_text())
        for level, models in metrics["test"].items():
            assert f"| {level} | {models['crossaisle']['ndcg@20']:.4f} |" in card.text
        assert f"{whole.manifest['retrieval']['Product']['overlap']:.3f}" in card.text


class TestSettings:
    @pytest.mark.parametrize("format", ["numpy", "safetensors", "faiss"])
    def test_every_format_holds_the_same(self, write, whole, tmp_path, format):
        write(tmp_path / "export", format=format, users="none", **SMALL)
        found = Export.open(tmp_path / "export")
        assert set(found.tables) == NODES
        for label in ("Category", "Type", "Product"):
            np.testing.assert_array_equal(found.array(label), whole.array(label))
        with pytest.raises(InputError, match="no column 'embedding_text'"):
            found.array("Product", "embedding_text")

    @pytest.mark.parametrize("dtype", ["float16", "int8"])
    def test_fewer_bytes(self, write, whole, tmp_path, dtype):
        write(tmp_path / "export", dtype=dtype, users="none", **SMALL)
        found = Export.open(tmp_path / "export")
        np.testing.assert_allclose(found.array("Product"), whole.array("Product"), atol=0.02)
        assert list(found.frame("Product")) == ["id", "embedding", "popularity", "category"]

    def test_users_of_a_file(self, write, whole, run, tmp_path):
        wanted = run.dataset.user_ids[[7, 3, 11]]
        (tmp_path / "users.txt").write_text("\n".join(wanted) + "\n")
        pd.DataFrame({"user_id": wanted}).to_parquet(tmp_path / "users.parquet")
        for name in ("users.txt", "users.parquet"):
            write(tmp_path / "export", overwrite=True, users=str(tmp_path / name), **SMALL)
            found = Export.open(tmp_path / "export")
            assert found.ids("User").tolist() == sorted(wanted)
            np.testing.assert_allclose(found.array("User"), whole.array("User")[[3, 7, 11]], atol=1e-4)

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_histories_are_people(self, write, whole, run, tmp_path, suffix):
        """The run's own purchases under other names give the same vectors; unknown stores are unknown ones."""
        frame = purchases(run)
        path = tmp_path / f"bought.{suffix}"
        renamed = frame.assign(user_id="new " + frame["user_id"])
        renamed.to_csv(path, index=False) if suffix == "csv" else renamed.to_parquet(path)
        write(tmp_path / "export", histories=path, **SMALL)
        found = Export.open(tmp_path / "export").frame("User").set_index("id")
        known = whole.frame("User").set_index("id").loc[found.index.str.removeprefix("new ")]
        np.testing.assert_allclose(np.stack(found["embedding"]), np.stack(known["embedding"]), atol=1e-4)
        np.testing.assert_array_equal(np.stack(found["seen"]), np.stack(known["seen"]))


def test_new_purchases_change_their_users_alone(write, run, tmp_path):
    frame = purchases(run)
    users = run.dataset.user_ids
    frame = frame[frame["user_id"].isin(users[:20])]
    frame.to_parquet(tmp_path / "old.parquet")
    bought = frame.iloc[[-1]].assign(user_id=users[4], basket_id="another")
    later = pd.concat([frame[frame["user_id"] != users[9]], bought])
    later.to_parquet(tmp_path / "new.parquet")
    write(tmp_path / "a", histories=tmp_path / "old.parquet", **SMALL)
    write(tmp_path / "b", histories=tmp_path / "new.parquet", **SMALL)
    manifest = write(
        tmp_path / "delta", changed_since=tmp_path / "a" / "manifest.json", histories=tmp_path / "new.parquet", **SMALL
    )
    rows = {entry["name"]: entry["rows"] for entry in manifest["tables"]}
    assert rows.pop("User") < 20
    assert set(rows.values()) == {0}
    assert json.loads((tmp_path / "delta" / "removed.json").read_text())["User"] == [users[9]]
    apply(tmp_path / "a", tmp_path / "delta", tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a", "b", "c", "delta"]


class TestRefused:
    @pytest.fixture
    def target(self, whole, tmp_path):
        """An export that must stay as it is."""
        shutil.copytree(whole.folder, tmp_path / "target")
        yield tmp_path / "target"
        assert contents(tmp_path / "target") == contents(whole.folder)
        assert {path.name for path in tmp_path.iterdir()} <= {"target", "file"}

    def test_a_target_that_is_there(self, write, target):
        with pytest.raises(InputError, match="--overwrite"):
            write(target)

    def test_a_number_that_is_none(self, write, target, run, monkeypatch):
        vectors = node_vectors(run.scorer.module, run.scorer.cutoff)
        vectors["Type"]["embedding"][5] = np.nan
        monkeypatch.setattr("export.sources.inner_vectors", lambda module, cutoff: vectors)
        node = run.scorer.cutoff.graph.ids["Type"][5]
        with pytest.raises(InputError, match=f"Type: embedding of '{node}'"):
            write(target, overwrite=True, **SMALL)

    def test_a_full_disk(self, target, finished, run, monkeypatch, capsys):
        """The folder in which it is made has a device without room where the products go."""
        begin = Path.mkdir

        def mkdir(path, *arguments, **named):
            begin(path, *arguments, **named)
            if path.name == "target.partial":
                (path / "Product.parquet").symlink_to("/dev/full")

        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr("export.commands.load_run", lambda folder, store: run)
        given = [str(finished.folder), "--to", str(target), "--overwrite", "--users", "none", "--tower.rank", "0"]
        assert cli.main(["export", *given]) == 2
        assert "No space left" in capsys.readouterr().err

    def test_a_missing_library(self, target, finished, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "faiss", None)
        assert cli.main(["export", str(finished.folder), "--to", str(target), "--overwrite", "--format", "faiss"]) == 2
        assert "pip install 'crossaisle[faiss]'" in capsys.readouterr().err

    def test_an_unfinished_run(self, target, finished, capsys):
        part = target.parent / "file"
        part.mkdir()
        for name in ("model.json", "model.safetensors"):
            shutil.copy(finished.folder / name, part / name)
        assert cli.main(["export", str(part), "--to", str(target), "--overwrite"]) == 2
        assert "no finished run" in capsys.readouterr().err
        assert cli.main(["export", f"{part}.partial", "--to", str(target), "--overwrite"]) == 2
        assert "--resume" in capsys.readouterr().err

    def test_a_folder_of_something_else(self, write, tmp_path):
        (tmp_path / "thesis.txt").write_text("ten years of work")
        with pytest.raises(InputError, match="no export"):
            write(tmp_path, overwrite=True)
        assert (tmp_path / "thesis.txt").exists()

    def test_changes_since_something_else(self, write, target):
        with pytest.raises(InputError, match="no export is here"):
            write(target, overwrite=True, changed_since=target.parent / "manifest.json")


PEOPLE = {
    "a stranger": ("users", "user_id\nnobody\n", "'nobody'"),
    "nobody": ("users", "user_id\n", "names no user"),
    "twice": ("users", "user_id\n{user}\n{user}\n", "comes twice"),
    "no column": ("users", "name\n{user}\n", "no column 'user_id'"),
    "a column missing": ("histories", "user_id,time\nu,3\n", "'product_id': no such column"),
    "no purchases": ("histories", "user_id,product_id,time\n", "no rows"),
    "an unknown product": ("histories", "user_id,product_id,time\nu,hoverboard,3\n", "'hoverboard'"),
    "the future": ("histories", "user_id,product_id,time\nu,{product},31\n", "period 31 or later"),
    "no period": ("histories", "user_id,product_id,time\nu,{product},soon\n", "soon"),
    "no user": ("histories", "user_id,product_id,time\n,{product},3\n", "is no text"),
    "no product": ("histories", "user_id,product_id,time\nu,{product},3\nu,,3\n", "product_id nan is no text"),
    "several": ("histories", "user_id,product_id,time\nu,x,3\nu,y,3\nu,z,3\n", r"'x' is wrong: .* \(2 more rows"),
    "a return": ("histories", "user_id,product_id,time,quantity\nu,{product},3,-1\n", "a return"),
}


@pytest.mark.parametrize("case", PEOPLE)
def test_wrong_people_are_told(write, run, tmp_path, case):
    option, text, told = PEOPLE[case]
    path = tmp_path / "people.csv"
    path.write_text(text.format(user=run.dataset.user_ids[0], product=run.dataset.catalogue.product_ids[0]))
    with pytest.raises(InputError, match=told) as error:
        write(tmp_path / "export", **{option: path if option == "histories" else str(path)}, **SMALL)
    assert "people.csv" in str(error.value)
    assert not (tmp_path / "export").exists()


def test_ids_that_are_no_text(write, run, tmp_path):
    frame = pd.DataFrame({"user_id": [1, 2], "product_id": run.dataset.catalogue.product_ids[:2], "time": [3, 4]})
    frame.to_parquet(tmp_path / "people.parquet")
    for option in ({"users": str(tmp_path / "people.parquet")}, {"histories": tmp_path / "people.parquet"}):
        with pytest.raises(InputError, match="1 is no text"):
            write(tmp_path / "export", **option, **SMALL)


DAMAGES = {
    "a changed byte": ("Product.parquet", lambda held: held[:99] + bytes([held[99] ^ 1]) + held[100:], "not the one"),
    "a shorter file": ("User.parquet", lambda held: held[:-1], "not the one"),
    "a changed figure": ("manifest.json", lambda held: held.replace(b'"float32"', b'"float16"', 1), "was changed"),
    "half a manifest": ("manifest.json", lambda held: held[: len(held) // 2], "no manifest"),
    "another program's": ("manifest.json", lambda held: b'{"name": "app", "icons": []}', "no manifest"),
    "another version": ("manifest.json", lambda held: held.replace(b'"format": 1,', b'"format": 9,', 1), "format 9"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_not_read(whole, tmp_path, damage):
    name, harm, told = DAMAGES[damage]
    shutil.copytree(whole.folder, tmp_path / "copy")
    (tmp_path / "copy" / name).write_bytes(harm((whole.folder / name).read_bytes()))
    with pytest.raises(InputError, match=told):
        Export.open(tmp_path / "copy")


def test_a_missing_file(whole, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "copy")
    (tmp_path / "copy" / "Type.parquet").unlink()
    with pytest.raises(InputError, match="missing"):
        Export.open(tmp_path / "copy")
    with pytest.raises(InputError, match="cannot be read"):
        Export.open(tmp_path / "copy", check=False).array("Type")


def test_the_command(finished, store, tmp_path, capsys):
    """As a person types it."""
    given = [str(finished.folder), "--to", str(tmp_path / "export"), "--store.home", str(store.home)]
    given += ["--store.heap", "256m", "--users", "none", "--tower.rank", "4", "--dtype", "float16"]
    assert cli.main(["export", *given]) == 0, capsys.readouterr().err
    said = capsys.readouterr().err
    assert "in 5 tables" in said
    assert "Product: retrieval by dot product finds" in said
    found = Export.open(tmp_path / "export")
    assert found.array("Product", "retrieval").shape[1] == 4
    assert cli.main(["export", *given]) == 2
    assert "exists already" in capsys.readouterr().err
