"""`benchmarks/peers/compare.py` on the tiny run, with a made-up peer in place of other libraries."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers import compare
from data.splits import targets
from evaluation.baselines import Popularity
from evaluation.evaluate import evaluate
from evaluation.ranking import rank

PLACE = Path(__file__).parents[2] / "benchmarks" / "peers"

# Popularity, with a number of epochs that makes it worse but for the second; it counts how often it was run.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
given, out, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
pairs = np.load(given / "pairs.npz", allow_pickle=False)
counts = np.bincount(pairs["item"], minlength=int(pairs["n_items"])).astype(np.float32)
with open(Path(__file__).parent / "calls.txt", "a") as calls:
    calls.write(f"{given.name} {settings['epochs']}\\n")
if settings["model"] == "broken":
    sys.exit("it broke")
for epoch in settings["epochs"]:
    row = counts if epoch == 2 else -counts
    np.save(out / f"scores-{epoch}.npy", np.tile(row, (int(pairs["n_users"]), 1)))
(out / "cost.json").write_text(json.dumps({"seconds": 1.5, "peak_mb": 512.0}))
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The benchmark with two peers, one of which fails; the interpreter is ours."""
    (tmp_path / "run_made_up.py").write_text(SCRIPT)
    peers = {name: compare.Peer("made_up", ({"model": name, "epochs": [1, 2, 3]},)) for name in ("popular", "broken")}
    monkeypatch.setattr(compare, "HERE", tmp_path)
    monkeypatch.setattr(compare, "PEERS", peers)
    monkeypatch.setattr(compare, "environment", lambda library, folder, python: Path(sys.executable))
    return compare


def test_peers_are_chosen_on_validation_and_measured_as_ours_are(bench, finished, loaded, tmp_path, capsys):
    flags = [str(finished.folder), "--to", str(tmp_path / "to")]
    assert bench.main([*flags, "--peers", "popular"]) == 0
    protocol, level = loaded.config.protocol, loaded.dataset.catalogue.interest
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    assert calls == [f"{protocol.validation_cutoff} [1, 2, 3]", f"{protocol.test_cutoff} [2]"]
    facts = json.loads((tmp_path / "to" / "peers" / "popular" / "facts.json").read_text())
    assert facts["settings"]["epochs"] == [2]
    figures = {one["settings"]["epochs"][0]: one["ndcg@20"] for one in facts["trials"]}
    assert figures[2] > figures[1] == figures[3]
    split = bench.split_of(finished.folder, tmp_path / "to", None)
    problem, wanted = split.problem(protocol.test_cutoff), split.targets(protocol.test_cutoff)
    popular = rank(Popularity().fit(problem), problem, wanted, seed=loaded.config.seed)
    expected = evaluate(popular, targets(loaded.dataset, level, protocol.test_cutoff, protocol.horizon)).summary
    _, rows = bench.table(finished.folder, split, ["popular"])
    ours = json.loads((finished.folder / "metrics.json").read_text())["test"]["category"]["crossaisle"]
    assert rows[0][3:5] == [f"{ours[name]:.4f}" for name in ("ndcg@20", "recall@20")]
    assert rows[1][1:5] == [f"{expected[name]:.4f}" for name in ("ndcg@10", "recall@10", "ndcg@20", "recall@20")]
    assert rows[1][-3:] == ["1.5 s", "0.50 GiB", "epochs [2]"]
    assert "| popular (made_up) |" in (tmp_path / "to" / "peers.md").read_text()
    capsys.readouterr()


def test_a_peer_is_given_the_history_and_nothing_else(bench, finished, loaded, tmp_path):
    split = bench.split_of(finished.folder, tmp_path / "to", None)
    cutoff = loaded.config.protocol.test_cutoff
    with np.load(split.given(cutoff) / "pairs.npz", allow_pickle=False) as pairs:
        user, item = pairs["user"], pairs["item"]
    bought = loaded.dataset.log.before(cutoff).counts(loaded.dataset.catalogue.interest.of_product).toarray() > 0
    seen = np.zeros_like(bought)
    seen[user, item] = True
    assert (seen == bought).all()
    assert len(user) == bought.sum(), "each pair once"


def test_a_finished_peer_is_not_run_again_and_a_broken_one_is_told(bench, finished, tmp_path, capsys):
    flags = [str(finished.folder), "--to", str(tmp_path / "to"), "--peers", "popular,broken"]
    assert bench.main(flags) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "broken: ended with an error: it broke" in said
    assert (tmp_path / "to" / "peers" / "popular" / "facts.json").exists(), "the others go on"
    before = (tmp_path / "calls.txt").read_text().splitlines()
    assert bench.main(flags) == 1
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == len(before) + 1, "the broken one alone is tried"


def test_what_is_wrong_is_told(bench, finished, tmp_path, capsys):
    assert bench.main([str(finished.folder), "--to", str(tmp_path / "to"), "--peers", "GPT"]) == 2
    assert "there is no peer 'GPT'" in capsys.readouterr().err
    assert bench.main([str(tmp_path), "--to", str(tmp_path / "to"), "--peers", "popular"]) == 2
    assert "config.yaml" in capsys.readouterr().err
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "made_from.json").write_text('{"cutoffs": []}')
    assert bench.main([str(finished.folder), "--to", str(tmp_path / "to"), "--peers", "popular"]) == 2
    assert "peers of another split" in capsys.readouterr().err


def test_triples_go_one_way_and_number_the_categories_first(bench):
    edges = {
        ("Category", "IN_DEPARTMENT", "Department"): torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]).to_sparse_csr(),
        ("Department", "rev_IN_DEPARTMENT", "Category"): torch.ones(3, 2).to_sparse_csr(),
        ("Category", "BOUGHT_WITH", "Category"): torch.eye(3).to_sparse_csr(),
    }
    found = bench.triples(edges, {"Category": 0, "Department": 3})
    listed = set(zip(found["head"].tolist(), found["relation"].tolist(), found["tail"].tolist(), strict=True))
    assert listed == {(0, 0, 0), (1, 0, 1), (2, 0, 2), (1, 1, 3), (2, 1, 3), (0, 1, 4)}


def test_every_peer_has_its_script_and_pins():
    assert {"LightGCN", "KGAT", "CKE", "ImplicitMF"} <= set(compare.PEERS)
    for peer in compare.PEERS.values():
        assert (PLACE / f"run_{peer.library}.py").is_file()
        pins = (PLACE / f"{peer.library}.txt").read_text().splitlines()
        assert any(line.startswith(f"{peer.library}==") for line in pins)
        assert len({one["model"] for one in peer.trials}) == 1
