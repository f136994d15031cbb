"""`benchmarks/shops.py`: its commands are commands, and the document that it writes from what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import train
from benchmarks import shops
from data.sources.mapping import read_mapping
from taxonomy.config import TaxonomyConfig

ROOT = Path(__file__).parents[1]
FILES = ["items.parquet", "related.parquet", "online_retail.parquet", "ta_feng_all_months_merged.csv"]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "files").mkdir()
    for name in FILES:
        (tmp_path / "files" / name).touch()
    return tmp_path / "files"


class Trained:
    """In place of the trainings: what a command would leave, and Ctrl-C at a given one."""

    def __init__(self, stop_at=None):
        self.commands, self.stop_at = [], stop_at

    def __call__(self, command):
        if len(self.commands) == self.stop_at:
            return 130
        self.commands.append(command[1:])
        if "taxonomy" in command:
            return 0
        to = Path(command[-1].partition("=")[2])
        to.mkdir(parents=True)
        value = {"mean": 0.2 + len(self.commands) / 100}
        found = {"test": {"category": {"crossaisle": {"ndcg@20": value, "recall@20": value}}}}
        (to / "summary.json").write_text(json.dumps(found))
        (to / "summary.md").write_text(f"# Several windows and seeds\n\n## Category\n\nof {to.name}\n")
        return 0


def run(files, *flags):
    return shops.main([f"--amazon={files}", f"--retail={files}", f"--ta_feng={files}", *flags])


def test_its_commands_are_commands(files, tmp_path):
    seen = {}
    for shop in shops.SHOPS:
        *first, last = shop.commands(files, tmp_path / "out", ())
        assert bool(first) == (shop.name == "online_retail")
        parsed = train.parse(last[1:], train.build_parser())
        seen[shop.name] = (parsed.protocol.test_cutoff, parsed.seeds, len(parsed.baselines.names))
        mapping = read_mapping(Path(parsed.data.mapping))
        assert bool(mapping.relations) == (shop.name == "amazon_beauty_related")
    assert seen == {
        "amazon_beauty": (4353, [0], 8),
        "amazon_beauty_related": (4353, [0], 1),
        "online_retail": (346, [0], 8),
        "ta_feng": (106, [0], 8),
    }
    (files / "taxonomy.csv").touch()
    assert len(shops.SHOPS[2].commands(files, tmp_path / "out", ())) == 1, "a taxonomy that is there is kept"


def test_the_derived_taxonomy_is_the_one_that_the_mapping_reads():
    table = read_mapping(ROOT / "docs" / "examples" / "online_retail.mapping.yaml").taxonomy.table
    assert (table.file, table.levels) == ("taxonomy.csv", ["group", "category"])
    assert TaxonomyConfig().groups < TaxonomyConfig().categories


def test_the_two_mappings_of_amazon_differ_in_the_edges_alone():
    one, other = (
        yaml.safe_load((ROOT / "docs" / "examples" / f"amazon_beauty{name}.mapping.yaml").read_text())
        for name in ("", "_related")
    )
    assert other.pop("relations")["file"] == "related.parquet"
    assert one == other


def test_a_whole_document(files, tmp_path, monkeypatch):
    trained = Trained()
    monkeypatch.setattr(shops, "ended", trained)
    assert run(files, "--quick", f"--out={tmp_path / 'out'}") == 0
    assert [Path(command[0]).name for command in trained.commands] == ["train.py"] * 2 + ["cli.py"] + ["train.py"] * 2
    text = (tmp_path / "out" / "shops.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [f"## {shop.title}" for shop in shops.SHOPS]
    assert text.count("### Category") == 4
    assert "| category | 0.2100 | 0.2100 | 0.2200 | 0.2200 |" in text, "without the related edges, and with them"
    assert shops.QUICK in text


def test_an_interrupted_command_leaves_what_is_known(files, tmp_path, monkeypatch):
    monkeypatch.setattr(shops, "ended", Trained(stop_at=1))
    assert run(files, f"--out={tmp_path / 'out'}") == 130
    text = (tmp_path / "out" / "shops.md").read_text()
    assert "## Amazon Beauty\n" in text
    assert "Ta-Feng" not in text
    assert shops.QUICK not in text


def test_what_is_not_there_is_told(tmp_path, capsys):
    assert shops.main(["--retail", str(tmp_path)]) == 2
    assert "there is no online_retail.parquet" in capsys.readouterr().err
    assert shops.main([]) == 2
    assert "Give some of --amazon, --retail, --ta_feng" in capsys.readouterr().err
