"""The README's commands: they parse, the one for one's own data runs, and what it shows is what is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import train

ROOT = Path(__file__).parents[1]
TITLES = ("architecture", "data", "export", "knowledge-graph", "recommend", "shops", "tuning")
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in TITLES)]
README = PAGES[0].read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "tiny_shop"


def blocks(language: str, text: str = README) -> list[str]:
    """The contents of a page's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """The README's calls of train.py, without python itself."""
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    calls = [shlex.split(line, comments=True) for line in lines if "python train.py" in line]
    return [call[call.index("train.py") :] for call in calls]


def own_data() -> list[str]:
    """The one that trains on the tiny shop."""
    (found,) = [call for call in commands() if "tiny_shop" in " ".join(call)]
    return found


@pytest.mark.parametrize("call", [call for call in commands() if "--resume" not in call], ids=" ".join)
def test_every_command_parses(call):
    arguments = [argument for argument in call[1:] if argument != "--print_config"]
    train.parse(arguments, train.build_parser())


def test_own_data(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / EXAMPLE.relative_to(ROOT))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEO4J_", "CROSSAISLE_"))}
    command = [sys.executable, str(ROOT / "train.py"), *own_data()[1:]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "tiny_shop"
    figures = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert list(figures["test"]) == ["shelf", "product"]
    assert {"crossaisle", "popularity", "lightgbm"} <= set(figures["test"]["shelf"])
    products = pd.read_csv(EXAMPLE / "products.csv", dtype=str)
    ranked = pd.read_parquet(run / "rankings" / "product.parquet")
    assert set(ranked["item_id"]) <= set(products["sku"])
    told = set(re.findall(r"^\| `([\w./]+)`", README, flags=re.MULTILINE))
    missing = [name for name in told if not (run / name).exists() and "LEVEL" not in name]
    assert not missing, "the README's table of the run folder names what is not there"


def test_the_mapping_shown_is_the_examples():
    shown = next(yaml.safe_load(block) for block in blocks("yaml") if "tiny_shop" in block)
    assert shown == yaml.safe_load((EXAMPLE / "mapping.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_the_tests_that_are_named_are_there():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = set(re.findall(r"`(test_\w+)`", "".join(page.read_text(encoding="utf-8") for page in PAGES)))
    assert not {name for name in named if f"def {name}(" not in tests}
