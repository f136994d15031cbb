"""`crossaisle tune` as a person types it, on a made-up shop: interrupted, gone on with, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

import cli
from console import console
from encoders.text import TextEncoder
from train import build_parser, parse
from training.config import from_parsed
from training.phases import Phases

SIZES = {"products": 120, "users": 40, "departments": 3, "categories": 18, "types_per_category": 2}
SETTINGS = {
    "data": {"source": "synthetic", "synthetic": SIZES | {"start_categories": 4, "later_categories": 4}},
    "protocol": {
        "train_cutoffs": [16],
        "validation_cutoff": 22,
        "refit_cutoffs": [24],
        "test_cutoff": 31,
        "horizon": 6,
    },
    "copurchase": {"min_support": 2},
    "text": {"strategy": "frozen", "max_tokens": 16},
    "model": {"dim": 8},
    "optimiser": {"epochs": 2, "batch_size": 20, "threads": 1, "accelerator": "cpu"},
}
SPACE = {
    "optimiser.lr": {"low": 1e-3, "high": 3e-2, "log": True},
    "model.head.hidden": {"choices": [[16, 8], [64, 32]]},
}


@dataclass
class Made:
    """What the command left: its exit codes and words, interrupted and then again, and what was trained."""

    folder: Path
    flags: list[str]
    codes: list[int]
    said: list[str]
    trained: list[str]
    encoded: int = 0

    def __call__(self, *more):
        """The same command with further flags; exit code and what it said."""
        with console.capture() as captured:
            code = cli.main(["tune", *self.flags, *more])
        return code, captured.get().replace("\n", " ")

    @property
    def found(self):
        return json.loads((self.folder / "study.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three trials in two windows; Ctrl-C comes in the second trial, before its second window."""
    place = tmp_path_factory.mktemp("study")
    kept = {"store": {"home": str(place / "graph"), "heap": "256m"}, "text_cache": ""}
    (place / "settings.yaml").write_text(yaml.safe_dump(SETTINGS | kept))
    (place / "space.yaml").write_text(yaml.safe_dump(SPACE))
    flags = ["--config", str(place / "settings.yaml"), "--to", str(place / "out"), "--trials", "3"]
    one = Made(place / "out", [*flags, "--space", str(place / "space.yaml")], [], [], [])
    fit, encode = Phases._fit, TextEncoder.encode

    def counted(self, module, times, folder, name, stop_after):
        if one.trained.count("1/16") and not one.codes:
            raise KeyboardInterrupt
        fit(self, module, times, folder, name, stop_after)
        one.trained.append("/".join(self.folder.parts[-2:]))

    def counted_texts(self, *given, **named):
        one.encoded += 1
        return encode(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Phases, "_fit", counted)
        patch.setattr(TextEncoder, "encode", counted_texts)
        for _ in range(2):
            code, said = one()
            one.codes.append(code)
            one.said.append(said)
    return one


def test_an_interrupted_study_goes_on_within_its_trial(made):
    assert made.codes == [130, 0], made.said
    assert "the same command goes on" in made.said[0]
    assert made.trained == ["0/16", "0/22", "1/16", "1/22", "2/16", "2/22"]


def test_a_trial_costs_training_alone(made):
    """Graph and texts are made once in a call, however many trials it has."""
    assert made.encoded == 2
    assert ["unchanged in the store" in said for said in made.said] == [False, True]
    assert [said.count("graph ") for said in made.said] == [1, 1]


def test_what_is_told_is_what_was_found(made):
    found = made.found
    assert found["windows"] == {"16": [10], "22": [16]}
    assert found["test_cutoff"] == 31
    assert [one["state"] for one in found["trials"]] == ["complete"] * 3
    assert found["given"] == 0
    assert found["trials"][0]["settings"] == {"optimiser.lr": 3e-3, "model.head.hidden": [64, 32]}
    figures = [one["value"] for one in found["trials"]]
    assert found["trials"][found["best"]]["value"] == max(figures)
    assert len(set(figures)) > 1
    rows = pd.read_csv(made.folder / "trials.csv")
    assert rows["value"].tolist() == pytest.approx(figures)
    assert rows["optimiser.lr"].tolist() == pytest.approx([one["settings"]["optimiser.lr"] for one in found["trials"]])


def test_the_best_settings_are_taken_by_train(made):
    best = made.found["trials"][made.found["best"]]["settings"]
    parser = build_parser()
    config = from_parsed(parser, parse(["--config", str(made.folder / "best.yaml")], parser))
    assert config.optimiser.lr == pytest.approx(best["optimiser.lr"])
    assert list(config.model.head.hidden) == best["model.head.hidden"]
    assert config.model.dim == 8
    assert config.model.rerank.candidates == 300, "a trial leaves re-ranking out, its settings do not"
    assert (config.protocol.test_cutoff, config.protocol.validation_cutoff) == (31, 22)


def test_the_page_shows_the_trials(made):
    page = (made.folder / "study.html").read_text()
    assert page.count("<svg") == 1
    assert "Trials: 3 whole" in page
    assert "nothing from 31 on" in page
    assert sorted(path.name for path in made.folder.iterdir() if not path.name.startswith(".")) == sorted(
        ["best.yaml", "study.html", "study.journal", "study.json", "study.md", "study.yaml", "trials", "trials.csv"]
    )
    assert not list((made.folder / "trials").iterdir()), "weights of trials are of no further use"


def test_a_finished_study_trains_nothing(made, monkeypatch):
    monkeypatch.setattr(Phases, "_fit", None)
    before = made.found
    assert made("--store.heap", "300m")[0] == 0
    assert made.found == before


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--optimiser.weight_decay", "0.3"], "this study has another optimiser.weight_decay"),
        (["--validation_cutoffs", "22"], "this study has another windows"),
        (["--data.synthetic.seed", "5"], "this study has another data.synthetic.seed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_study_of_other_settings_is_refused(made, flags, told):
    code, said = made(*flags)
    assert (code, told in said) == (2, True), said


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--trials", "0"], ["--trials", "0 trials are none"]),
        (["--space", "gone.yaml"], ["gone.yaml", "no such file"]),
        (["--validation_cutoffs", "22,28"], ["28 is after the protocol's validation cut-off"]),
        (["--validation_cutoffs", "x"], ["--validation_cutoffs", "x"]),
        (["--optimiser.lerning_rate", "3"], ["lerning_rate"]),
        (["--space", "SPACE"], ["--space, model.fusion.kind", "'magic' is no value"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told(tmp_path, flags, told):
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    (tmp_path / "space.yaml").write_text("model.fusion.kind: {choices: [attention, magic]}")
    flags = [str(tmp_path / "space.yaml") if flag == "SPACE" else flag for flag in flags]
    with console.capture() as captured:
        code = cli.main(["tune", "--config", str(tmp_path / "settings.yaml"), "--to", str(tmp_path / "out"), *flags])
    said = captured.get().replace("\n", " ")
    assert code == 2, said
    assert all(word in said for word in told), said
    assert not (tmp_path / "out").exists()
