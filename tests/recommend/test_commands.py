"""`crossaisle recommend` as a person types it."""

from __future__ import annotations

import pandas as pd
import pytest

import cli
from recommend import Recommender


@pytest.fixture
def command(finished, recommender, monkeypatch, capsys):
    """Runs the command on the run that is loaded already; gives exit code and what was said."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("console.console.width", 200)
    monkeypatch.setattr(Recommender, "load", lambda folder, store=None: recommender)

    def run(*arguments):
        code = cli.main(["recommend", str(finished.folder), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_a_run_from_its_folder_to_a_file(finished, store, recommender, tmp_path, capsys):
    place = ["--store.uri", "embedded", "--store.home", str(store.home), "--store.heap", "256m"]
    given = ["--all", "--level", "product", "--k", "4", "--out", str(tmp_path / "lists.parquet")]
    assert cli.main(["recommend", str(finished.folder), *place, *given]) == 0
    assert "60 users, 240 rows" in capsys.readouterr().err
    found = pd.read_parquet(tmp_path / "lists.parquet")
    wanted = recommender.products(k=4)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, rtol=1e-4)


def test_a_table_in_the_terminal(command, recommender):
    user = recommender.user_ids[0]
    code, said = command("--user", user, "--k", 3, "--diversity", 0.5, "--reranker", "cap")
    assert code == 0, said
    for item in recommender.categories([user], k=3, diversity=0.5, by="cap")["item_id"]:
        assert item in said
    assert "1 user, 3 rows" in said


def test_people_of_a_run_that_knows_none(command, tmp_path):
    (tmp_path / "people.csv").write_text("user_id,age\na,30\n")
    code, said = command("--people", tmp_path / "people.csv")
    assert code == 2
    assert "nothing of users but their purchases" in said


def test_filters_and_purchases_from_files(command, recommender, tmp_path):
    catalogue = recommender.dataset.catalogue
    stock = pd.DataFrame({"product_id": [*catalogue.product_ids[::3], "unheard of"]})
    stock.to_csv(tmp_path / "stock.csv", index=False)
    bought = pd.DataFrame({"user_id": "new", "product_id": [catalogue.product_ids[0], "lost"], "time": 30})
    bought.to_csv(tmp_path / "bought.csv", index=False)
    options = ["--stock", tmp_path / "stock.csv", "--purchases", tmp_path / "bought.csv", "--price_to", 1e6]
    out = tmp_path / "lists.csv"
    code, said = command("--user", "new", "nobody", "--level", "product", "--k", 5, *options, "--out", out)
    assert code == 0, said
    assert set(pd.read_csv(out)["item_id"]) <= set(stock["product_id"])
    problems = pd.read_csv(tmp_path / "lists.problems.csv")
    assert list(problems["value"]) == ["lost", "nobody", "unheard of"]
    assert "history: 1 row: the product is not in the catalogue (lost)" in said


def test_a_history_from_a_file(command, tmp_path, recommender):
    product = recommender.dataset.catalogue.product_ids[0]
    pd.DataFrame({"user_id": ["x"], "product_id": [product], "time": [30]}).to_parquet(tmp_path / "h.parquet")
    code, said = command("--histories", tmp_path / "h.parquet", "--out", tmp_path / "lists.json")
    assert code == 0, said
    assert set(pd.read_json(tmp_path / "lists.json")["user_id"]) == {"x"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of them"),
        (("--all", "--user", "u1"), "one of them"),
        (("--all", "--out", "lists.xlsx"), "no table format '.xlsx'"),
        (("--all", "--stock", "nowhere.csv"), "no such file"),
        (("--user", "nobody"), "the run knows no user 'nobody'"),
        (("--all", "--diversity", "2"), "from 0 to 1"),
        (("--all", "--k", "many"), "--help lists all settings"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(command, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = command(*arguments)
    assert code == 2
    assert words in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_not_there(tmp_path, capsys):
    assert cli.main(["recommend", str(tmp_path / "none"), "--all"]) == 2
    assert "this is no whole run" in capsys.readouterr().err
