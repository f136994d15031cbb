"""The notebook runs, and its committed outputs are what it gives."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOK = DOCS / "explore.ipynb"


def _texts(notebook):
    """What each cell tagged ``same`` shows as text."""
    cells = [cell for cell in notebook.cells if "same" in cell.metadata.get("tags", [])]
    return {cell.id: [_text(output) for output in cell.outputs] for cell in cells}


def _text(output):
    return output.get("text") or output["data"]["text/plain"]


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(committed, tmp_path_factory):
    """The notebook run anew, on a store of its own, away from the repository."""
    environment = {name: value for name, value in os.environ.items() if name != "CROSSAISLE_GRAPH_HOME"}
    notebook = nbformat.from_dict(committed)
    folder = tmp_path_factory.mktemp("notebook")
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook


def test_it_runs_and_finds_the_same(committed, executed):
    expected = _texts(committed)
    assert len(expected) >= 10
    assert _texts(executed) == expected


def test_pictures_are_drawn(executed):
    pictures = [
        output for cell in executed.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2


def test_the_finding_is_what_the_outputs_say(committed):
    """The words of the text against the numbers of the table beside it."""
    table = next(text for texts in _texts(committed).values() for text in texts if "by chance" in text)
    produce, nutrition = (re.search(rf"{name} +(\d+) +(\d+) +(\d+) +(\S+)", table) for name in ("PRODUCE", "NUTRITION"))
    assert produce[2] == nutrition[2]
    words = " ".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    assert f"{produce[3]} of the {produce[1]} categories" in words.replace("\n", " ")
    assert int(nutrition[3]) > int(nutrition[1]) / 2
    assert max(float(produce[4]), float(nutrition[4])) < 0.001


def test_no_path_of_a_machine_is_in_it():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "/tmp/" not in text  # others are looked for in all files
