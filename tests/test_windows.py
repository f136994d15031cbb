"""`python train.py` with several windows, on a made-up shop: interrupted, gone on with, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import train
from console import console
from training.phases import Phases
from training.run import Job

SIZES = {"products": 120, "users": 40, "departments": 3, "categories": 18, "types_per_category": 2}
SETTINGS = {
    "data": {"source": "synthetic", "synthetic": SIZES | {"start_categories": 4, "later_categories": 4}},
    "protocol": {
        "train_cutoffs": [8, 16],
        "validation_cutoff": 22,
        "refit_cutoffs": [24],
        "test_cutoff": 31,
        "horizon": 6,
    },
    "copurchase": {"min_support": 2},
    "text": {"strategy": "frozen", "max_tokens": 16},
    "model": {"dim": 8},
    "optimiser": {"epochs": 1, "batch_size": 20, "threads": 1, "accelerator": "cpu"},
    "baselines": {"names": ["popularity", "ease"]},
}
LEVELS = ["category", "type", "product"]
MODELS = ["crossaisle", "popularity", "ease"]
WINDOWS = ["28", "31"]


@dataclass
class Made:
    """What the command left: its exit codes and words, interrupted and then again."""

    folder: Path
    flags: list[str]
    codes: list[int]
    said: list[str]

    def __call__(self, *more):
        """The same command with further flags; exit code and what it said."""
        with console.capture() as captured:
            code = train.main([*self.flags, *more])
        return code, captured.get().replace("\n", " ")

    @property
    def found(self):
        return json.loads((self.folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two windows, one seed; Ctrl-C comes when the second run has read its data, and the command is given again."""
    place = tmp_path_factory.mktemp("windows")
    kept = {"store": {"home": str(place / "graph"), "heap": "256m"}, "text_cache": str(place / "text")}
    (place / "settings.yaml").write_text(yaml.safe_dump(SETTINGS | kept))
    flags = ["--config", str(place / "settings.yaml"), "--out", str(place / "out")]
    one = Made(place / "out", [*flags, "--seeds=3", "--protocol.test_cutoffs", "28,31"], [], [])
    start_baselines = Job.start_baselines

    def stopped(self, dataset):
        if "28-3" in str(self.folder):
            raise KeyboardInterrupt
        return start_baselines(self, dataset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "start_baselines", stopped)
        for_both = [one()]
    assert not (one.folder / "summary.json").exists()
    one.codes, one.said = (list(part) for part in zip(*for_both, one(), strict=True))
    return one


def test_an_interrupted_command_goes_on(made):
    assert made.codes == [130, 0], made.said
    assert "the same command goes on" in made.said[0]
    assert "31, seed 3 (1 of 2)" in made.said[0], "the latest window comes first"
    assert made.said[1].count("finished already") == 1
    assert sorted(path.name for path in made.folder.iterdir() if not path.name.startswith(".")) == [
        "28-3", "31-3", "baselines", "summary.csv", "summary.html", "summary.json", "summary.md"
    ]  # fmt: skip


def test_each_run_is_whole_and_of_its_own_window(made):
    for window in WINDOWS:
        run = made.folder / f"{window}-3"
        shift = int(window) - 31
        told = yaml.safe_load((run / "config.yaml").read_text())
        assert told["protocol"] == {
            "test_cutoff": 31 + shift,
            "validation_cutoff": 22 + shift,
            "train_cutoffs": [8, 16] if not shift else [13],
            "refit_cutoffs": [24 + shift],
            "horizon": 6,
        }
        assert "seeds" not in told
        assert (run / "report.html").stat().st_size > 10_000
        assert list(json.loads((run / "metrics.json").read_text())["test"]["category"]) == MODELS
        assert not (run / "baselines").exists()


def test_the_summary_holds_what_the_runs_tell(made):
    found = made.found
    runs = {window: json.loads((made.folder / f"{window}-3" / "metrics.json").read_text()) for window in WINDOWS}
    assert list(found["protocol"]) == WINDOWS
    for level in LEVELS:
        assert list(found["test"][level]) == MODELS
        for model in MODELS:
            for metric in ("ndcg@20", "recall@20"):
                values = [run["test"][level][model][metric] for run in runs.values()]
                of = found["test"][level][model][metric]
                assert of["mean"] == pytest.approx(np.mean(values))
                assert of["over_windows"] == pytest.approx(np.std(values, ddof=1))
                assert of["over_seeds"] is None
                assert found["by_run"][level][model][metric] == {
                    window: [pytest.approx(value)] for window, value in zip(WINDOWS, values, strict=True)
                }
        for model in MODELS[1:]:
            gap = found["difference"][level][model]["ndcg@20"]
            gaps = [run["difference"][level][model]["ndcg@20"]["mean"] for run in runs.values()]
            assert gap["mean"] == pytest.approx(np.mean(gaps))
            assert gap["low"] <= gap["mean"] <= gap["high"]
    assert sum(found["reliability"]["pairs"]) == sum(
        len(pd.read_parquet(made.folder / f"{window}-3" / "rankings" / "category.parquet")) for window in WINDOWS
    )


def test_the_summary_as_table_document_and_page(made):
    frame = pd.read_csv(made.folder / "summary.csv")
    assert len(frame) == len(LEVELS) * len(MODELS) * 2
    rows = frame.set_index(["level", "model", "metric"])
    gap = made.found["difference"]["type"]["ease"]["recall@20"]
    assert rows.loc[("type", "ease", "recall@20"), "lead_low"] == pytest.approx(gap["low"])
    assert rows.loc[("type", "crossaisle", "recall@20"), ["lead_mean", "lead_low", "lead_high"]].isna().all()
    mean = f"{made.found['test']['product']['ease']['ndcg@20']['mean']:.4f}".removeprefix("0")
    for name in ("summary.md", "summary.html"):
        text = (made.folder / name).read_text()
        assert mean in text
        assert "CrossAisle" in text
    assert text.count("<svg") == 2 * len(LEVELS)
    assert 'src="http' not in text


def test_runs_that_are_there_are_not_trained_again(made, monkeypatch):
    monkeypatch.setattr(Phases, "run", None)
    before = made.found
    assert made("--store.heap", "300m")[0] == 0
    assert made.found == before


def test_another_seed_takes_the_windows_baselines(made, monkeypatch):
    """A run that is added finds the baselines made, and none is tuned."""
    seen = {}

    def look(self, dataset):
        seen["there"] = sorted(path.name for path in (self.baselines / "category").glob("*.npz"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "start_baselines", look)
    assert made("--seeds=3,4")[0] == 130
    assert seen["there"] == ["ease.npz", "popularity.npz"]


def test_finished_runs_of_other_settings_are_refused(made):
    code, said = made("--optimiser.lr", "0.1")
    assert code == 2
    assert "another optimiser.lr" in said
    assert "31-3" in said


def test_a_run_is_no_place_for_several(made):
    code, said = made("--out", str(made.folder / "31-3"))
    assert code == 2
    assert "this is a run" in said


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--protocol.test_cutoffs", "31,28"], ["protocol.test_cutoffs", "window 28 comes after 31"]),
        (["--protocol.test_cutoffs=28,28"], ["window 28 comes twice"]),
        (["--protocol.test_cutoffs", "[]"], ["no test window"]),
        (["--protocol.test_cutoffs", "28,131"], ["window 131 lies outside the data"]),
        (["--protocol.test_cutoffs", "9,31"], ["window 9 leaves no cut-off in train_cutoffs"]),
        (["--protocol.test_cutoffs", "soon"], ["--protocol.test_cutoffs", "'soon'", "0,1,2"]),
        (["--seeds", "[]"], ["--seeds", "no seed"]),
        (["--seeds", "1,x"], ["--seeds", "'1,x'"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") and "[" not in value[0] else "",
)
def test_what_is_wrong_is_told(tmp_path, flags, told):
    settings = {name: SETTINGS[name] for name in ("data", "protocol")}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    with console.capture() as captured:
        code = train.main(["--config", str(tmp_path / "settings.yaml"), "--out", str(tmp_path / "out"), *flags])
    assert code == 2
    assert all(word in captured.get() for word in told), captured.get()
    assert not (tmp_path / "out").exists()
