"""`python train.py` as a person runs it: the run folder, repeating, interrupting, going on, and what is refused.

One whole run on made-up data is looked at by most tests; three more repeat it: from its own ``config.yaml``, after
Ctrl-C, and after kill -9.
"""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from running import BASELINES, HORIZON, LEVELS, ROOT, SETTINGS, SIZES, TEST_CUTOFF, start, write_settings
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import cli
import train
from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.splits import blocked, targets, unseen_categories
from evaluation.ranking import rank
from evaluation.scorer import Problem
from training.loaded import load_run
from training.ranks import device_count
from training.run import levels_of
from training.saved import load_model


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def place(tmp_path_factory, finished):
    """Where the other runs of this file are made; they find the texts encoded."""
    place = tmp_path_factory.mktemp("runs")
    (place / "text").symlink_to(finished.folder.parent / "text")
    return place


@pytest.fixture(scope="session")
def metrics(finished):
    return read(finished.folder / "metrics.json")


@pytest.fixture(scope="session")
def dataset():
    return load(DataConfig(source="synthetic", synthetic=SyntheticConfig(**SIZES)))


# -- the run folder ------------------------------------------------------------------------------------------


def test_all_files_are_there(finished):
    names = {str(path.relative_to(finished.folder)) for path in finished.folder.rglob("*")}
    assert names >= {"config.yaml", "environment.json", "model.safetensors", "model.json", "checkpoints"}
    assert names >= {"metrics.json", "report.html", "rejects.csv", "logs"}
    assert names >= {f"rankings/{level}.parquet" for level in LEVELS}
    assert list(finished.folder.glob("checkpoints/*/*.ckpt"))


def test_nothing_half_written_is_left(finished):
    beside = {path.name for path in finished.folder.parent.iterdir()}
    assert not [name for name in beside if name.startswith((".run", "run.")) or "partial" in name]
    assert not [path for path in finished.folder.rglob("*") if path.name.endswith((".tmp", ".part"))]


def test_no_process_is_left(finished):
    assert "java" in finished.family
    assert len(finished.family) >= 2
    assert finished.survivors == []


def test_a_line_for_each_step(finished):
    for step in ("data", "graph", "text", "training", "final fit", "ranking", "baselines", "evaluation", "done"):
        assert any(line.startswith(step) for line in finished.said.splitlines()), step
    assert "Traceback" not in finished.said


def test_metrics_have_the_documented_form(metrics):
    assert list(metrics["test"]) == list(metrics["difference"]) == LEVELS
    for level in LEVELS:
        models = metrics["test"][level]
        assert list(models) == ["crossaisle", *BASELINES]
        assert set(metrics["difference"][level]) == set(BASELINES)
        for figures in models.values():
            assert figures.keys() >= {f"{m}@{k}" for m in ("recall", "ndcg", "hit_rate", "mrr") for k in (10, 20)}
            assert figures.keys() >= {"coverage@20", "diversity@20"}
            assert all(0 <= value <= 1 for value in figures.values() if value is not None)
        for name, difference in metrics["difference"][level].items():
            gap = difference["ndcg@20"]
            assert gap.keys() == {"mean", "low", "high"}
            assert gap["low"] <= gap["mean"] <= gap["high"]
            expected = models["crossaisle"]["ndcg@20"] - models[name]["ndcg@20"]
            assert gap["mean"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("part", ["by_popularity", "by_distance"])
def test_parts_of_the_targets_are_all_targets(finished, metrics, dataset, part):
    for level in LEVELS:
        wanted = targets(dataset, dataset.catalogue.levels.get(level), TEST_CUTOFF, HORIZON).hits.nnz
        assert list(metrics[part][level]) == ["crossaisle", *BASELINES]
        for groups in metrics[part][level].values():
            assert sum(group["targets"] for group in groups.values()) == wanted
    assert '<section id="distance">' in (finished.folder / "report.html").read_text(encoding="utf-8")


def test_metrics_are_plain_json(finished):
    text = (finished.folder / "metrics.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


@pytest.mark.parametrize("level", LEVELS)
def test_rankings_hold_the_top_unseen_candidates(finished, dataset, level):
    frame = pd.read_parquet(finished.folder / "rankings" / f"{level}.parquet")
    assert list(frame.columns) == ["user_id", "item_id", "rank", "score"]
    node = dataset.catalogue.levels.get(level)
    problem = Problem(dataset, node, TEST_CUTOFF)
    wanted = targets(dataset, node, TEST_CUTOFF, HORIZON)
    assert set(frame["user_id"]) == set(dataset.user_ids[wanted.users])
    assert set(frame["item_id"]) <= set(problem.item_ids)
    unseen = unseen_categories(problem.history, dataset.catalogue.interest)
    forbidden = blocked(unseen, problem.membership)
    item = pd.Index(problem.item_ids)
    for user_id, part in frame.groupby("user_id"):
        user = int(np.searchsorted(dataset.user_ids, user_id))
        items = item.get_indexer(part["item_id"])
        assert not forbidden[user][items].any()
        assert len(items) == len(set(items)) == min(100, int((~forbidden[user]).sum()))
        assert list(part["rank"]) == list(range(1, len(items) + 1))
        assert (part["score"].diff().dropna() <= 0).all()
    if level == "type":
        assert all(" > " in name for name in frame["item_id"])


@pytest.mark.parametrize("level", LEVELS)
def test_anyone_can_recompute_the_metrics(finished, metrics, dataset, level):
    """From the source's purchases and the ranking file alone, in plain Python."""
    rows = dataset.tables.interactions
    catalogue = dataset.catalogue
    category = dict(zip(catalogue.product_ids, catalogue.interest.ids[catalogue.interest.primary], strict=True))
    node = {
        "category": category,
        "type": dict(zip(catalogue.product_ids, catalogue.below.ids[catalogue.below.primary], strict=True)),
        "product": {product: product for product in catalogue.product_ids},
    }[level]
    before = rows[rows["time"] < TEST_CUTOFF]
    after = rows[(rows["time"] >= TEST_CUTOFF) & (rows["time"] < TEST_CUTOFF + HORIZON)]
    seen = before.assign(c=before["product_id"].map(category)).groupby("user_id")["c"].agg(set).to_dict()
    wanted: dict[str, set[str]] = {}
    for user, product in zip(after["user_id"], after["product_id"], strict=True):
        if category[product] not in seen.get(user, set()):
            wanted.setdefault(user, set()).add(node[product])
    frame = pd.read_parquet(finished.folder / "rankings" / f"{level}.parquet")
    lists = frame.sort_values("rank").groupby("user_id")["item_id"].agg(list).to_dict()
    assert set(lists) == set(wanted)
    for k in (10, 20):
        found = {user: [item in wanted[user] for item in items[:k]] for user, items in lists.items()}
        gain = {u: sum(hit / np.log2(i + 2) for i, hit in enumerate(f)) for u, f in found.items()}
        ideal = {u: sum(1 / np.log2(i + 2) for i in range(min(len(w), k))) for u, w in wanted.items()}
        first = {u: next((1 / (i + 1) for i, hit in enumerate(f) if hit), 0.0) for u, f in found.items()}
        expected = {
            "recall": np.mean([sum(found[u]) / len(wanted[u]) for u in wanted]),
            "ndcg": np.mean([gain[u] / ideal[u] for u in wanted]),
            "hit_rate": np.mean([any(found[u]) for u in wanted]),
            "mrr": np.mean([first[u] for u in wanted]),
        }
        for name, value in expected.items():
            assert metrics["test"][level]["crossaisle"][f"{name}@{k}"] == pytest.approx(value, abs=1e-9), (name, k)


def test_the_environment_is_told(finished, dataset):
    told = read(finished.folder / "environment.json")
    assert told["seed"] == 3
    assert told["data_fingerprint"] == dataset.fingerprint
    assert told["versions"]["torch"] == torch.__version__.split("+")[0] or told["versions"]["torch"]
    assert told["versions"].keys() >= {"torch", "torch-geometric", "transformers", "neo4j", "numpy"}
    assert told.keys() >= {"device", "git_revision", "python"}
    steps = {step["name"]: step for step in told["steps"]}
    assert steps.keys() >= {"data", "graph", "text", "training", "ranking", "baselines", "evaluation"}
    assert all(step["seconds"] >= 0 and step["peak_mb"] > 50 for step in steps.values())


def test_the_resolved_configuration_is_told(finished):
    told = yaml.safe_load((finished.folder / "config.yaml").read_text())
    for part in ("protocol", "model", "optimiser", "text"):
        for name, value in SETTINGS[part].items():
            assert told[part][name] == value, (part, name)
    assert told["optimiser"].keys() >= {"lr", "weight_decay", "warmup", "clip", "accumulate"}
    assert told["seed"] == 3
    assert not told["store"]["password"]
    assert not {"config", "out", "resume"} & told.keys()


def test_the_report_is_one_file_for_a_person(finished):
    text = (finished.folder / "report.html").read_text()
    assert len(text) > 10_000
    for word in ("crossaisle", "popularity", "lightgbm", "category", "type", "product"):
        assert word in text.lower(), word
    assert "<link" not in text
    assert 'src="http' not in text
    assert "<script src" not in text


def test_rejected_rows_are_told(finished):
    assert list(pd.read_csv(finished.folder / "rejects.csv").columns) == ["table", "row", "column", "value", "reason"]


def test_logs_for_tensorboard_and_as_csv(finished):
    logs = finished.folder / "logs"
    frame = pd.read_csv(logs / "csv" / "choose" / "metrics.csv")
    assert frame["loss/all"].notna().any()
    assert frame["validation/ndcg@20"].notna().sum() == len(
        read(finished.folder / "metrics.json")["validation"]["choose"]
    )
    events = EventAccumulator(str(logs / "tensorboard" / "choose")).Reload()
    assert {"loss/all", "loss/interest", "validation/ndcg@20"} <= set(events.Tags()["scalars"])


def test_the_model_is_read_back_without_unpickling(finished, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something is unpickled")

    with safe_open(finished.folder / "model.safetensors", "pt") as file:
        saved = {name: file.get_tensor(name) for name in list(file.keys())}
    for module, name in (("pickle", "load"), ("pickle", "loads"), ("pickle", "Unpickler"), ("torch", "load")):
        monkeypatch.setattr(f"{module}.{name}", refuse)
    model, encoder, facts = load_model(finished.folder)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state |= {f"text.{name}": value for name, value in encoder.trainable_state().items()}
    assert state.keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in state.items())
    assert facts["interest_level"] == "category"
    assert facts["protocol"]["test_cutoff"] == TEST_CUTOFF


@pytest.mark.parametrize("spoilt", ["model.json", "model.safetensors"])
def test_a_damaged_model_is_refused(finished, tmp_path, spoilt):
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((finished.folder / name).read_bytes())
    whole = (tmp_path / spoilt).read_bytes()
    for damage in (whole[: len(whole) // 2], b""):
        (tmp_path / spoilt).write_bytes(damage)
        with pytest.raises(train.InputError, match=spoilt):
            load_model(tmp_path)
    (tmp_path / spoilt).unlink()
    with pytest.raises(train.InputError, match=spoilt):
        load_model(tmp_path)


def test_a_loaded_run_ranks_as_it_was_reported(finished):
    """The run folder alone brings back model, texts and settings; its text vectors are not encoded again."""
    loaded = load_run(finished.folder)
    dataset = loaded.dataset
    for name, level in levels_of(dataset).items():
        problem = Problem(dataset, level, TEST_CUTOFF)
        found = rank(loaded.scorer.fit(problem), problem, targets(dataset, level, TEST_CUTOFF, HORIZON), seed=3)
        there = pd.read_parquet(finished.folder / f"rankings/{name}.parquet")
        here = found.to_frame(dataset.user_ids, problem.item_ids)
        assert here["item_id"].tolist() == there["item_id"].tolist()
        np.testing.assert_allclose(here["score"], there["score"], atol=1e-4)
    assert len(list((finished.folder / "text").rglob("*.safetensors"))) == 1


def test_a_run_of_other_data_is_not_loaded(finished, tmp_path):
    for name in ("config.yaml", "model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((finished.folder / name).read_bytes())
    facts = read(tmp_path / "model.json") | {"data_fingerprint": "another"}
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(train.InputError, match="data have changed"):
        load_run(tmp_path)


# -- again, interrupted, going on ----------------------------------------------------------------------------


def test_its_own_configuration_gives_the_same_metrics(finished, metrics, place):
    """Fed back in another working directory; the graph in the store is unchanged, and found so."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    program = start(elsewhere, "--config", finished.folder / "config.yaml", "--out", place / "again")
    assert program.wait() == 0, program.said
    assert "unchanged in the store" in program.said
    assert figures(place / "again") == figures(finished.folder)
    for level in LEVELS:
        one, other = (pd.read_parquet(run / f"rankings/{level}.parquet") for run in (finished.folder, place / "again"))
        pd.testing.assert_frame_equal(one, other)
    configs = [(run / "config.yaml").read_text() for run in (finished.folder, place / "again")]
    assert configs[0] == configs[1]


def figures(run):
    """All that is measured, less what a clock says; attention weights to six digits.

    A tuned language model's weights differ by 1e-8 between a run that encoded the texts and one that found their
    encodings kept, and the mean attention with them.
    """
    found = read(run / "metrics.json")
    for weights in found["attention"].values():
        for weight in weights.values():
            weight.update({name: round(value, 6) for name, value in weight.items()})
    for level in found["baselines"].values():
        for facts in level.values():
            facts.pop("seconds")
            for trial in facts["trials"]:
                trial.pop("seconds", None)
    return found


def until(there, program, seconds=120):
    deadline = time.monotonic() + seconds
    while not there():
        assert program.process.poll() is None, f"ended before it could be interrupted:\n{program.said}"
        assert time.monotonic() < deadline, program.said
        time.sleep(0.005)


SIGNALS = {"Ctrl-C": signal.SIGINT, "kill -9": signal.SIGKILL}


@pytest.fixture(scope="session")
def interrupted(place, finished):
    """Two runs side by side, ended in the midst of their training: program, exit code, what lay there, survivors."""
    names = {"Ctrl-C": "stopped", "kill -9": "killed"}
    programs = {}
    for how, name in names.items():
        settings = write_settings(place / f"{name}.yaml", place, place / f"graph-{name}")
        programs[how] = start(place, "--config", settings, "--out", place / name)
    works = {how: place / f"{name}.partial" for how, name in names.items()}
    for how, program in programs.items():
        until((works[how] / "checkpoints" / "choose" / "last.ckpt").exists, program)
        if how == "Ctrl-C":  # as a terminal does it, to all of the group
            os.killpg(program.process.pid, SIGNALS[how])
        else:
            program.process.kill()
    found = {}
    for how, program in programs.items():
        code = program.wait(60)
        left = {str(path.relative_to(works[how])) for path in works[how].rglob("*")}
        found[how] = (program, code, left, program.survivors(), works[how])
    return found


@pytest.fixture(scope="session")
def resumed(interrupted):
    """Both taken up again, side by side."""
    programs = {}
    for how, (_, _, _, _, work) in interrupted.items():
        programs[how] = start(work.parent, "--resume", work)
    return {how: (program.wait(), program) for how, program in programs.items()}


@pytest.mark.parametrize("how", SIGNALS)
def test_an_interrupted_run_leaves_a_folder_to_go_on_with(interrupted, how):
    program, code, left, _, work = interrupted[how]
    assert code == (130 if how == "Ctrl-C" else -signal.SIGKILL), program.said
    assert not work.with_name(work.name.removesuffix(".partial")).exists()
    assert "config.yaml" in left
    assert not left & {"metrics.json", "report.html", "model.safetensors"}
    assert "Traceback" not in program.said
    if how == "Ctrl-C":
        assert f"--resume {work}" in program.said.replace("\n", "")


@pytest.mark.parametrize("how", SIGNALS)
def test_an_interrupted_run_leaves_no_process(interrupted, how):
    program, _, _, survivors, _ = interrupted[how]
    assert len(program.family) >= 2
    assert survivors == []


@pytest.mark.parametrize("how", SIGNALS)
def test_a_resumed_run_is_as_an_undisturbed_one(interrupted, resumed, finished, how):
    code, program = resumed[how]
    assert code == 0, program.said
    work = interrupted[how][4]
    final = work.with_name(work.name.removesuffix(".partial"))
    assert not work.exists()
    assert figures(final) == figures(finished.folder)
    assert program.survivors() == []


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.fixture
def refused(place, tmp_path, capfd, monkeypatch, finished):
    """Runs the command line in this process; gives its message after checking that nothing else came of it."""
    for name in list(os.environ):
        if name.startswith(("NEO4J_", "CROSSAISLE")):
            monkeypatch.delenv(name)

    def run(*arguments, out=True, store="new"):
        settings = write_settings(tmp_path / "settings.yaml", place, tmp_path / store)
        before = sorted(path for path in tmp_path.rglob("*") if store not in path.parts)
        given = ["--out", str(tmp_path / "run")] if out else []
        config = ["--config", str(settings)] if out else []
        capfd.readouterr()
        code = train.main([*config, *given, *map(str, arguments)])
        said = capfd.readouterr()
        assert code == 2, said.err
        assert "Traceback" not in said.err + said.out
        assert "error" in said.err
        assert len(said.err.split("error", 1)[1].strip().splitlines()) <= 8, said.err
        assert sorted(path for path in tmp_path.rglob("*") if store not in path.parts) == before
        return said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--nonsense", "3"], "--nonsense"),
        (["--optimiser.lerning_rate", "3"], "lerning_rate"),
        (["--optimiser.epochs", "many"], "optimiser.epochs"),
        (["--model.dim", "wide"], "model.dim"),
        (["--text.strategy", "magic"], "text.strategy"),
        (["--text.sample", "0"], "text.sample"),
        (["--store.heap", "lots"], "heap"),
        (["--data.source", "magic"], "data.source"),
        (["--config", "/no/such/file.yaml"], "/no/such/file.yaml"),
        (["--config", "nopreset"], "smoke"),
        (["--data.source", "tabular"], "mapping"),
        (["--data.source", "tabular", "--data.mapping", "/no/such/mapping.yaml"], "/no/such/mapping.yaml"),
        (["--data.interest_level", "aisle"], "aisle"),
        (["--data.max_users", "0"], "data.max_users"),
        (["--protocol.horizon", "0"], "protocol.horizon"),
        (["--protocol.test_cutoff", "90"], "protocol.test_cutoff"),
        (["--protocol.train_cutoffs", "[17]"], "protocol.train_cutoffs"),
        (["--protocol.refit_cutoffs", "[26]"], "protocol.refit_cutoffs"),
        (["--protocol.validation_cutoff", "26"], "protocol.validation_cutoff"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_settings_are_refused(refused, arguments, told):
    assert told in refused(*arguments)


def test_an_unknown_key_of_a_file_is_refused(refused, tmp_path):
    (tmp_path / "mine.yaml").write_text("optimiser:\n  epoch: 3\n")
    assert "epoch" in refused("--config", tmp_path / "mine.yaml")


def test_a_broken_file_is_refused(refused, tmp_path):
    (tmp_path / "mine.yaml").write_text("optimiser: [3\n")
    refused("--config", tmp_path / "mine.yaml")


def test_an_existing_run_is_never_written_over(refused, finished):
    before = (finished.folder / "metrics.json").read_bytes()
    assert "exists already" in refused("--out", finished.folder)
    assert (finished.folder / "metrics.json").read_bytes() == before


def test_an_unfinished_run_is_never_written_over(refused, tmp_path):
    (tmp_path / "begun.partial").mkdir()
    assert "--resume" in refused("--out", tmp_path / "begun")


def test_resuming_nothing(refused, tmp_path, finished):
    assert "no unfinished run" in refused("--resume", tmp_path / "none", out=False)
    assert "finished" in refused("--resume", finished.folder, out=False)


def test_starting_from_what_is_no_run(refused, tmp_path, finished):
    assert "there is no run" in refused("--init_from", tmp_path / "none")
    assert "--model.dim 8" in refused("--init_from", finished.folder, "--model.dim", "9")


def test_resuming_with_other_settings(refused, tmp_path):
    assert "--seed" in refused("--resume", tmp_path / "none", "--seed", "4", out=False)


def test_an_unreachable_store(place, finished):
    """As a person meets it: the whole program, whose baselines have begun when the store is asked."""
    program = start(
        place,
        "--config",
        finished.folder.parent / "settings.yaml",
        "--out",
        place / "lost",
        "--store.uri",
        "bolt://127.0.0.1:1",
    )
    assert program.wait() == 2, program.said
    assert "Traceback" not in program.said
    assert program.said.count("error ") == 1
    assert "127.0.0.1:1" in program.said
    assert not [path.name for path in place.iterdir() if "lost" in path.name]
    assert program.survivors() == []


def test_help_tells_every_setting(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for name in ("--config", "--resume", "--out", "--seed", "--optimiser.lr", "--text.strategy", "--protocol.horizon"):
        assert name in told, name
    assert "peak learning rate" in told


def test_settings_from_the_environment(monkeypatch):
    monkeypatch.setenv("CROSSAISLE_OPTIMISER__EPOCHS", "17")
    assert train.parse([], train.build_parser()).optimiser.epochs == 17


@pytest.mark.parametrize("preset", ["default", "smoke", "gpu"])
def test_presets_by_name(preset):
    parsed = train.parse(["--config", preset], train.build_parser())
    given = yaml.safe_load((ROOT / "conf" / f"{preset}.yaml").read_text())
    for part, values in given.items():
        for name, value in values.items():
            found = parsed[f"{part}.{name}"]
            if isinstance(value, str | int | bool):
                assert str(found) == str(value), (part, name)


# -- several devices -------------------------------------------------------------------------------------------


def test_two_devices_train_together(place):
    """Two processes on the CPU: one report, weights that both have moved, no process left."""
    settings = write_settings(place / "two.yaml", place, place / "graph-two")
    flags = ["--optimiser.devices", 2, "--optimiser.epochs", 1, "--baselines.names", '["popularity"]']
    program = start(place, "--config", settings, "--out", place / "two", *flags)
    assert program.wait() == 0, program.said
    assert not program.survivors()
    assert "GLOBAL_RANK: 1, MEMBER: 2/2" in program.said
    assert program.said.count("report.html") == 1
    assert read(place / "two" / "metrics.json")["test"]["category"]["crossaisle"]["ndcg@20"] > 0


@pytest.mark.parametrize(
    ("devices", "on_gpu", "count"), [("auto", False, 1), ("-1", False, 1), ("2", False, 2), ("0,2", True, 2)]
)
def test_devices_are_counted(devices, on_gpu, count):
    assert device_count(devices, on_gpu) == count
