"""The scorer as a program: it answers as the model does, for any number of users and purchases."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch

import cli
from benchmarks import latency
from data.log import Log
from errors import InputError
from export.config import ExportConfig
from export.program import ONNX, TORCH, InterestScorer, asked, inputs, need_onnx, parity, session, write_programs
from export.reader import Export, apply
from export.tower import TowerConfig

SMALL = {"tower": TowerConfig(rank=0), "users": "none"}


@pytest.fixture(scope="module")
def programs(run, tmp_path_factory):
    """Both programs, by name, and their folder."""
    folder = tmp_path_factory.mktemp("programs")
    write_programs(run, ["torch", "onnx"], folder)
    exported, onnx = torch.export.load(folder / TORCH).module(), session(folder / ONNX, 1)
    answers = {
        "torch": lambda given: [one.detach().numpy() for one in exported(*given.values())],
        "onnx": lambda given: asked(onnx, given),
    }
    return folder, answers


def people(run, rows, most=None):
    """Inputs of users, with their first so many purchases only; row −1 is a stranger without any."""
    history = run.scorer.cutoff.history.of_users(np.maximum(rows, 0))
    kept = (rows >= 0)[history.user] & (np.arange(len(history)) < (most or len(history)))
    names = [name for name in Log.__dataclass_fields__ if name != "n_users"]
    history = Log(**{name: getattr(history, name)[kept] for name in names}, n_users=len(rows))
    return history, inputs(run.scorer.cutoff, history, rows)


CASES = {
    "one": ([3], None),
    "some": ([1, 2, 30], None),
    "all": (range(60), None),
    "short": ([4, 5], 1),
    "none": ([-1], None),
}


@pytest.mark.parametrize("kind", ["torch", "onnx"])
@pytest.mark.parametrize("case", CASES)
def test_the_answers_are_the_models(run, programs, kind, case):
    """Both against the eager program, and that against the scores that rankings are made of."""
    rows, most = np.array(CASES[case][0]), CASES[case][1]
    history, given = people(run, rows, most)
    answers = programs[1][kind](given)
    assert parity(InterestScorer(run), given, answers) <= 1e-4
    full = run.scorer.at_interest().score(history, rows)
    np.testing.assert_allclose(answers[0], full, atol=1e-4)
    np.testing.assert_allclose(answers[1], run.scorer.parts(history, rows)[1].numpy(), atol=1e-4)


def test_what_is_told(run, programs):
    told = json.loads((programs[0] / "scorer.json").read_text())
    given = people(run, np.arange(2))[1]
    assert told["categories"] == run.dataset.catalogue.interest.ids.tolist()
    for name, features in told["features"].items():
        assert len(features) == given[name].shape[-1]


def test_parity_sees_differences(run):
    scorer = InterestScorer(run)
    given = people(run, np.arange(3))[1]
    with torch.inference_mode():
        answers = [one.numpy().copy() for one in scorer(*given.values())]
    assert parity(scorer, given, answers) == 0
    answers[1][0, 0] += 0.5
    assert parity(scorer, given, answers) == pytest.approx(0.5, abs=1e-5)
    answers[0][0] = -np.inf
    assert parity(scorer, given, answers) == np.inf


def test_a_program_that_differs_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr("export.program.write_onnx", lambda program, path: None)
    monkeypatch.setattr("export.program.session", lambda path: None)
    monkeypatch.setattr("export.program.asked", lambda of, given: [np.zeros((8, 24), np.float32)] * 2)
    with pytest.raises(InputError, match="ONNX answers otherwise"):
        write_programs(run, ["onnx"], tmp_path)


def test_in_an_export_and_its_changes(write, tmp_path):
    """Programs are files like others: checked, and brought along with changes."""
    write(tmp_path / "old", **SMALL)
    write(tmp_path / "changes", changed_since=tmp_path / "old" / "manifest.json", scorer=["torch"], **SMALL)
    apply(tmp_path / "old", tmp_path / "changes", tmp_path / "made")
    assert {TORCH, "scorer.json"} < set(Export.open(tmp_path / "made").manifest["files"])
    (tmp_path / "made" / TORCH).write_bytes(b"another")
    with pytest.raises(InputError, match="not the one that was written"):
        Export.open(tmp_path / "made")


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_without_onnx_nothing_is_loaded(name, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("export.program.find_spec", lambda wanted: None if wanted == name else sys)
    with pytest.raises(InputError, match=f"^onnx: {name} is not installed"):
        need_onnx()
    assert cli.main(["export", str(finished.folder), "--to", str(tmp_path / "export"), "--scorer+=onnx"]) == 2
    assert "pip install 'crossaisle[onnx]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_programs_need_a_name():
    assert ExportConfig().scorer == []


def test_latency(run, programs, monkeypatch):
    """The benchmark on two batches."""
    monkeypatch.setattr(
        latency, "write_programs", lambda run, kinds, to: shutil.copytree(programs[0], to, dirs_exist_ok=True)
    )
    rows = list(latency.rows(run, [1, 3], 1, 3))
    assert [row[:2] for row in rows[:3]] == [["1", "eager"], ["1", "torch.export"], ["1", "ONNX Runtime"]]
    assert all(float(row[5]) <= 1e-4 for row in rows)
    assert all(float(row[2]) > 0 for row in rows)
