"""`benchmarks/reproduce.py`: its commands, and the document that it writes from what is there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import train
from evaluation import summary_page

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reproduce.py"
GAP = {"mean": 0.02, "low": 0.01, "high": 0.03}
PROTOCOL = {"test_cutoff": 47, "validation_cutoff": 40, "train_cutoffs": [33], "refit_cutoffs": [40], "horizon": 7}


def figure(mean):
    return {"mean": mean, "over_windows": None, "over_seeds": 0.004}


def summary(mean):
    """Contents of a small ``summary.json``."""
    metrics = ("ndcg@20", "recall@20")
    models = {"crossaisle": mean, "ease": mean - 0.02, "als": mean - 0.03, "popularity": mean - 0.1}
    baskets = {"0–3": 5, "4–10": 9, "11–30": 0}
    return {
        "source": "a_shop",
        "time_unit": "week",
        "seeds": [0, 1],
        "protocol": {"47": PROTOCOL},
        "users": {"category": {"47": 14}},
        "items": {"category": 30},
        "test": {"category": {name: dict.fromkeys(metrics, figure(value)) for name, value in models.items()}},
        "by_run": {"category": {name: {"ndcg@20": {"47": [value] * 2}} for name, value in models.items()}},
        "difference": {"category": {name: dict.fromkeys(metrics, GAP) for name in list(models)[1:]}},
        "by_activity": {
            "category": {
                name: {label: {"users": n, "ndcg@20": value if n else None} for label, n in baskets.items()}
                for name, value in models.items()
            }
        },
        "reliability": {"told": [0.01, 0.02], "found": [0.012, 0.018], "pairs": [10, 10], "ece": 0.002},
    }


@pytest.fixture(scope="module")
def reproduce():
    spec = importlib.util.spec_from_file_location("benchmark_reproduce", SCRIPT)
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


class Trained:
    """In place of the trainings: what a command would leave, and Ctrl-C at a given one."""

    def __init__(self, stop_at=None):
        self.commands, self.stop_at = [], stop_at

    def __call__(self, command):
        if len(self.commands) == self.stop_at:
            return 130
        self.commands.append(command)
        to = Path(command[-1].partition("=")[2])
        run = to / f"run-{len(self.commands)}"
        run.mkdir(parents=True)
        steps = [{"name": "training", "seconds": 61.0, "peak_mb": 2048.0}]
        (run / "environment.json").write_text(json.dumps({"steps": steps, "cores": 2, "git_revision": "abc"}))
        if "ablate" in command:
            (to / "ablation.md").write_text("# Ablation\n\n| whole |\n\n## The variants\n")
            return 0
        found = summary(0.3 + len(self.commands) / 100)
        (to / "summary.json").write_text(json.dumps(found))
        (to / "summary.md").write_text(summary_page.markdown(found))
        return 0


@pytest.fixture
def amazon(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "items.parquet").touch()
    return tmp_path / "files"


def test_its_commands_are_commands(reproduce, amazon):
    plan = reproduce.plan_of(reproduce.build_arguments().parse_args(["--amazon", str(amazon)]))
    commands = plan.commands()
    seen = []
    for command in commands:
        if command[0] == "train.py":
            parsed = train.parse(command[1:], train.build_parser())
            seen.append((Path(parsed.out).name, parsed.protocol.test_cutoffs, parsed.seeds))
    assert seen == [
        ("complete_journey", [47], [0]),
        ("amazon_beauty", None, [0]),
        ("complete_journey", [47], [0, 1, 2]),
        ("complete_journey", [33, 40, 47], [0, 1, 2]),
    ]
    assert [command[1] for command in commands if command[0] == "cli.py"] == ["ablate"]


def test_a_whole_document(reproduce, amazon, tmp_path, monkeypatch):
    trained = Trained()
    monkeypatch.setattr(reproduce, "_ended", trained)
    out, docs = tmp_path / "out", tmp_path / "docs"
    assert reproduce.main(["--quick", "--amazon", str(amazon), "--out", str(out), "--docs", str(docs)]) == 0
    assert len(trained.commands) == 3, "a command that would do nothing new is left out"
    text = (docs / "results.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Complete Journey",
        "## What each part is worth: Complete Journey",
        "## Amazon Beauty",
        "## What the runs cost",
    ]
    assert reproduce.QUICK in text
    assert reproduce.MISSING not in text
    assert "| CrossAisle | .3100 | – | .0040 |" in text
    assert "| CrossAisle | .3200 | – | .0040 |" in text
    assert "### The variants" in text
    assert "| complete_journey/run-1 | 1 min 01 s | 2.00 GiB | 2 |" in text
    assert str(tmp_path) not in text, "no path of this machine"
    pictures = [line.rpartition("(")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) == 4
    assert all((docs / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert "(CrossAisle, EASE, ALS)" in text, "ours and the two best baselines"


def test_an_interrupted_command_leaves_what_is_known(reproduce, tmp_path, monkeypatch):
    out, docs = tmp_path / "out", tmp_path / "docs"
    plan = reproduce.plan_of(reproduce.build_arguments().parse_args(["--out", str(out), "--docs", str(docs)]))
    monkeypatch.setattr(reproduce, "_ended", Trained(stop_at=1))
    assert reproduce.reproduce(plan) == 130
    text = (docs / "results.md").read_text()
    assert "| CrossAisle | .3100 |" in text
    assert reproduce.MISSING in text
    assert reproduce.QUICK not in text


def test_files_that_are_not_there_are_told(reproduce, tmp_path, capsys):
    assert reproduce.main(["--amazon", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "items.parquet" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_tells_what_it_does(reproduce, capsys):
    with pytest.raises(SystemExit) as ended:
        reproduce.main(["--help"])
    assert ended.value.code == 0
    assert "docs/results.md" in capsys.readouterr().out
