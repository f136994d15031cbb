"""The benchmarks: their help, and a run on next to nothing."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from train import build_parser

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STEPS = [{"name": "data", "seconds": 1.5, "peak_mb": 512.0}, {"name": "training", "seconds": 2.0, "peak_mb": 2048.0}]


def module(name: str) -> ModuleType:
    """A benchmark as a module."""
    return import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("name", ["steps", "growth"])
def test_help_tells_what_it_does(name, capsys):
    benchmark = module(name)
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["--help"])
    assert ended.value.code == 0
    assert str(benchmark.__doc__).splitlines()[0] in capsys.readouterr().out


MISSING = {
    "bundles": ["run", "{}"],
    "cold_start": ["short", "{}"],
    "graph": ["--json", "{}/graph.json"],
    "growth": ["--json", "{}/growth.json"],
    "ratings": ["{}"],
    "reproduce": ["--amazon", "{}"],
    "rows": ["--folder", "{}"],
    "sampling": ["--json", "{}/sampling.json"],
    "search": ["{}", "--to", "{}"],
    "shops": ["--amazon", "{}"],
    "steps": ["--run", "{}"],
    "transfer": ["{}", "--amazon", "{}"],
}


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_what_is_missing_is_told_in_a_line(name, tmp_path, capsys):
    """A run, a folder of data or the folder of the figures; whatever is not named above takes a run or an export."""
    missing = str(tmp_path / "missing")
    given = [argument.format(missing) for argument in MISSING.get(name, ["{}"])]
    assert module(name).main(given) == 2
    said = capsys.readouterr()
    assert "error" in said.err
    assert "missing" in said.err.replace("\n", "")
    assert "Traceback" not in said.err
    assert not list(tmp_path.iterdir())


def test_bundles_of_clothing_that_are_missing(tmp_path, capsys):
    assert module("bundles").main(["data", str(tmp_path / "missing"), "--to", str(tmp_path / "texts")]) == 2
    assert "there is no item_titles.csv" in capsys.readouterr().err


def finished_run(folder: Path) -> Path:
    """What the benchmark reads of a run, on a very small synthetic shop."""
    sizes = {"products": 120, "users": 80, "categories": 12, "departments": 3, "baskets_per_user": 8}
    flags = ["--data.source=synthetic", *(f"--data.synthetic.{name}={value}" for name, value in sizes.items())]
    cutoffs = {"train_cutoffs": [19], "validation_cutoff": 26, "refit_cutoffs": [], "test_cutoff": 33, "horizon": 7}
    flags += [f"--protocol.{name}={value}" for name, value in cutoffs.items()]
    parser = build_parser()
    folder.mkdir()
    (folder / "config.yaml").write_text(parser.dump(parser.parse_args(flags), skip_validation=True), "utf-8")
    (folder / "environment.json").write_text(json.dumps({"steps": STEPS}), "utf-8")
    return folder


def test_steps_of_a_finished_run(tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert module("steps").main(["--run", str(finished_run(tmp_path / "run")), "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "training" in shown
    assert "2.00" in shown
    figures = json.loads(out.read_text("utf-8"))
    assert figures["steps"] == STEPS
    works = {rate["work"]: rate for rate in figures["rates"]}
    assert list(works)[:2] == ["graph load", "read-back"]
    assert works["evaluation, product"]["rows"] % 120 == 0
    assert all(rate["seconds"] > 0 and rate["floor_seconds"] > 0 for rate in figures["rates"])


def test_steps_without_a_run(tmp_path, capsys):
    assert module("steps").main(["--run", str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_numpy_floor_is_the_top_k():
    steps = module("steps")
    scorer = steps.Given(30)
    users = steps.np.array([3, 70, 5])
    best = steps.numpy_top(scorer, users, 4, cells=60)
    assert best.tolist() == steps.np.argsort(-scorer.scores[users % 64], axis=1)[:, :4].tolist()


def test_growth_of_a_very_small_shop(tmp_path, capsys):
    growth = module("growth")
    assert growth.main(["--one", str(tmp_path), "--sizes", "120", "--users", "80", "--categories", "16"]) == 0
    steps = json.loads((tmp_path / "steps.json").read_text("utf-8"))
    assert [step["name"] for step in steps] == [
        "write files", "read, validate", "graph load", "read-back", "texts", "evidence", "one epoch", "ranking"
    ]  # fmt: skip
    shops = [growth.Shop(120, 80, 16), growth.Shop(1200, 80, 16), growth.Shop(120, 800, 16)]
    tenfold = [step | {"seconds": step["seconds"] * 10} for step in steps]
    growth.show(shops, [steps, tenfold, steps[:1]], shops[-1])
    shown = capsys.readouterr().out
    assert "1,200 products" in shown
    assert "1.00" in shown


@pytest.mark.parametrize(
    ("costs", "sizes", "told"),
    [
        ([1.0, 10.0], [10, 100], "1.00"),
        ([1.0, 5.0, 100.0], [10, 20, 100], "2.00"),
        ([2.0, None, 2.0], [10, 100, 1000], "0.00"),
        ([1.0, None], [10, 100], "–"),
    ],
)
def test_power(costs, sizes, told):
    assert module("growth").power(costs, sizes) == told
