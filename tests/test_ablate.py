"""`crossaisle ablate` as a person types it, on a made-up shop: interrupted, gone on with, and what it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from console import console
from training.phases import Phases
from training.variants import VARIANTS

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
    "optimiser": {"epochs": 1, "batch_size": 20, "threads": 1, "accelerator": "cpu"},
}
LEVELS = ["category", "type", "product"]
NAMES = ["whole", "no_text", "ids_only"]


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
            code = cli.main(["ablate", *self.flags, *more])
        return code, captured.get().replace("\n", " ")

    @property
    def found(self):
        return json.loads((self.folder / "ablation.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two variants; Ctrl-C comes in the last phase of the first one, and the command is given again."""
    place = tmp_path_factory.mktemp("ablation")
    kept = {"store": {"home": str(place / "graph"), "heap": "256m"}, "text_cache": str(place / "text")}
    (place / "settings.yaml").write_text(yaml.safe_dump(SETTINGS | kept))
    flags = ["--config", str(place / "settings.yaml"), "--to", str(place / "out"), "--seeds", "3"]
    one = Made(place / "out", [*flags, "--variants", "no_text,ids_only"], [], [])
    run = Phases.run

    def stopped(self, name, *given, **named):
        if name == "final" and "no_text" in str(self.folder):
            raise KeyboardInterrupt
        return run(self, name, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Phases, "run", stopped)
        code, said = one()
    one.codes.append(code)
    one.said.append(said)
    left = one.folder / "no_text-3.partial" / "checkpoints" / "choose" / "phase.json"
    before = left.stat().st_mtime_ns
    code, said = one()
    after = (one.folder / "no_text-3" / "checkpoints" / "choose" / "phase.json").stat().st_mtime_ns
    assert after == before, "a finished phase was trained again"
    one.codes.append(code)
    one.said.append(said)
    return one


def test_an_interrupted_command_goes_on(made):
    assert made.codes == [130, 0], made.said
    assert "the same command goes on" in made.said[0]
    assert "whole, seed 3 (1 of 3)" in made.said[1]
    assert made.said[1].count("finished already") == 1
    assert sorted(path.name for path in made.folder.glob("*-3*")) == sorted(f"{name}-3" for name in NAMES)


def test_the_graph_is_loaded_once(made):
    assert sum(said.count("unchanged in the store") for said in made.said) == 3
    assert sum(said.count("rows/s") for said in made.said) == 1


def test_the_table_holds_what_was_measured(made):
    found = made.found
    assert list(found["test"]) == LEVELS
    assert list(found["variants"]) == NAMES
    for level in LEVELS:
        users = {name: ranked_users(made.folder / f"{name}-3", level) for name in NAMES}
        assert found["users"][level] > 0
        for name in NAMES:
            there = json.loads((made.folder / f"{name}-3" / "metrics.json").read_text())["test"][level]["crossaisle"]
            for metric in ("ndcg@20", "recall@20"):
                assert found["test"][level][name][metric] == pytest.approx(there[metric], abs=1e-9)
            assert users[name] == found["users"][level]
        for name in NAMES[1:]:
            gap = found["difference"][level][name]["ndcg@20"]
            assert gap["low"] <= gap["mean"] <= gap["high"]
            expected = found["test"][level]["whole"]["ndcg@20"] - found["test"][level][name]["ndcg@20"]
            assert gap["mean"] == pytest.approx(expected, abs=1e-9)
        parts = found["by_activity"][level]["no_text"].values()
        weighed = [part["users"] * part["ndcg@20"] for part in parts if part["users"]]
        assert np.sum(weighed) / found["users"][level] == pytest.approx(found["test"][level]["no_text"]["ndcg@20"])


def ranked_users(run, level):
    """Number of users that a run ranks for."""
    return pd.read_parquet(run / "rankings" / f"{level}.parquet")["user_id"].nunique()


def test_the_document_has_a_row_for_each_variant(made):
    lines = (made.folder / "ablation.md").read_text().splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("| variant"))) :]
    assert [line.split("|")[1].strip() for line in table[2 : 2 + len(NAMES)]] == NAMES
    assert table[0].count("@20") == 2 * len(LEVELS)
    assert not list(made.folder.glob("*.part"))


def test_runs_differ_in_the_variants_settings_alone(made):
    configs = {name: yaml.safe_load((made.folder / f"{name}-3" / "config.yaml").read_text()) for name in NAMES}
    assert configs["no_text"]["model"].pop("modalities") == ["graph"]
    assert configs["ids_only"]["model"].pop("modalities") == ["id"]
    assert configs["whole"]["model"].pop("modalities") == ["graph", "text"]
    assert configs["whole"] == configs["no_text"] == configs["ids_only"]
    assert configs["whole"]["baselines"]["names"] == []


def test_finished_runs_of_other_settings_are_refused(made):
    code, said = made("--optimiser.lr", "0.1")
    assert code == 2
    assert "another optimiser.lr" in said
    assert "whole-3" in said


def test_finished_runs_are_not_trained_again(made, monkeypatch):
    monkeypatch.setattr(Phases, "run", None)
    before = made.found
    assert made("--store.heap", "300m")[0] == 0
    assert made.found == before


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--variants", "no_grahp"], list(VARIANTS)),
        (["--variants", "no_text", "--model.modalities", "[graph]"], ["no_text", "changes nothing"]),
        (["--seeds", "one"], ["--seeds", "one"]),
        (["--optimiser.lerning_rate", "3"], ["lerning_rate"]),
        (["--text.strategy", "magic"], ["text.strategy"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told(tmp_path, flags, told):
    with console.capture() as captured:
        assert cli.main(["ablate", "--to", str(tmp_path / "out"), *flags]) == 2
    assert all(word in captured.get() for word in told)
    assert "Traceback" not in captured.get()
    assert not (tmp_path / "out").exists()
