from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields, replace
from datetime import datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from evaluation import report_charts as module
from evaluation.report import render, write_report
from evaluation.report_content import (
    Cost,
    Customer,
    DataFacts,
    LossPoint,
    Recommendation,
    ReportContent,
    Surroundings,
    TextTuning,
    ValidationPoint,
    Weight,
)
from evaluation.report_tables import group_table, level_table
from evaluation.report_words import decimal, duration, many, memory, question, signed, tuning_sentence, verdict

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr", "col"}
SECTIONS = ["predicted", "results", "training", "text", "activity", "popularity", "distance"]
SECTIONS += ["attention", "customers", "cost", "environment"]
EVIL = "<script>alert(1)</script> & \"Käse\" 'n' 茶 $x^2$ \x07\ud800"


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self.section = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words[self.section] = self.words.get(self.section, "") + data


def interval(mean, low, high):
    return {"ndcg@20": {"mean": mean, "low": low, "high": high}}


def groups(value):
    return {label: {"users": 12.0, "ndcg@20": value} for label in ("0–3", "4–10", "11+")}


def full(name="milk"):
    figures = {"recall@10": 0.2, "ndcg@10": 0.2, "recall@20": 0.4, "ndcg@20": 0.3, "coverage@20": 0.5}
    figures |= {"diversity@20": None}
    models = {"popularity": figures | {"ndcg@20": 0.26, "coverage@20": 0.9}, "crossaisle": figures, name: figures}
    return ReportContent(
        run=name,
        source=name,
        created=datetime(2026, 5, 4, 10, 20),
        facts=DataFacts(
            2469, 91692, 1461021, 303, 47, 40, 7, test_users={"category": 2075}, rejected={name: 8286, "late": 14}
        ),
        test={"category": models},
        difference={"category": {"popularity": interval(0.04, 0.03, 0.05), name: interval(0.0, -0.01, 0.01)}},
        losses=[LossPoint(p, s, {"all": 3.0 / s, name: 1.0}) for p in ("choose", "refit") for s in range(1, 400)],
        validation=[ValidationPoint("choose", 1, 0.28), ValidationPoint(name, 1, 0.3048, chosen=True)],
        text=TextTuning("lora", 0.3048, 0.3052, True, name),
        activity={"category": {"crossaisle": groups(0.3), "popularity": groups(0.2), name: groups(None)}},
        popularity={"category": {"crossaisle": groups(0.3), "popularity": groups(0.31)}},
        distance={"category": {"crossaisle": groups(0.3), "popularity": groups(0.29)}},
        attention={name: {"graph": Weight(0.4, 0.1), name: Weight(0.6, 0.1)}},
        customers=[Customer(name, [(name, 12)], [Recommendation(name, True, name)], [name, "eggs"], name)],
        costs=[Cost("data", 5.0, 2**30), Cost(name, 15.0)],
        surroundings=Surroundings({name: "2.9"}, name, 0, name, name, name),
    )


@pytest.fixture(scope="module")
def page():
    return render(full())


def test_every_tag_is_closed_and_every_id_is_the_only_one(page):
    read = Page(page)
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert Counter(ids).most_common(1)[0][1] == 1
    targets = [attrs["href"] for _, attrs in read.tags if "href" in attrs]
    assert {target[1:] for target in targets} <= set(ids)
    assert all(target.startswith("#") for target in targets)


def test_nothing_is_loaded(page):
    read = Page(page)
    assert not {"script", "link", "iframe", "img", "base"} & {tag for tag, _ in read.tags}
    assert not any(name.startswith(("src", "on", "xmlns")) for _, attrs in read.tags for name in attrs)
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_every_section_is_told(page):
    read = Page(page)
    assert [attrs["id"] for tag, attrs in read.tags if tag == "section"] == SECTIONS
    assert not any(attrs.get("class") == "absent" for _, attrs in read.tags)
    expected = {"predicted": "8,300", "results": "+.0400", "training": "ringed", "text": "kept", "activity": "4–10"}
    expected |= {"customers": "✓ place 1", "cost": "1.00 GiB", "environment": "python train.py --config config.yaml"}
    for section, words in expected.items():
        assert words in read.words[section]


def test_drawings_say_what_they_show_and_take_the_page_colours(page):
    drawings = [attrs for tag, attrs in Page(page).tags if tag == "svg"]
    assert len(drawings) == 8
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 20 for attrs in drawings)
    assert "popularity +.0400 NDCG@20 (95% interval +.0300 to +.0500)" in drawings[0]["aria-label"]
    assert not re.search(r"(fill|stroke): #(?!ffffff)", page)


def test_an_empty_content_says_so_in_every_section():
    read = Page(render(ReportContent("bare")))
    assert [tag for tag, attrs in read.tags if attrs.get("class") == "absent"] == ["p"] * (len(SECTIONS) + 1)
    assert "svg" not in {tag for tag, _ in read.tags}


@pytest.mark.parametrize("part", [field.name for field in fields(ReportContent) if field.name != "run"])
def test_any_single_part_may_be_missing(part, monkeypatch):
    monkeypatch.setattr(module, "draw", lambda *_: "")
    blank = getattr(ReportContent("bare"), part)
    assert Page(render(replace(full(), **{part: blank}))).open == []


def test_rows_that_were_not_counted_are_not_called_none():
    facts = DataFacts(1, 1, 1, 1, 47, 40, 7)
    assert "were not counted" in render(ReportContent("bare", facts=facts))
    assert "No row of the data was left out" in render(ReportContent("bare", facts=replace(facts, rejected={})))


@pytest.mark.parametrize(("last", "told"), [(None, False), (53, False), (60, False), (51, True)])
def test_targets_cut_short_by_the_end_of_the_data_are_told(last, told):
    facts = DataFacts(1, 1, 1, 1, test_cutoff=47, validation_cutoff=40, horizon=7, last_period=last)
    page = " ".join(render(ReportContent("bare", facts=facts)).split())
    assert ("The data ends with week 51, before the test targets’ last week, 53" in page) == told


def test_the_run_that_it_started_from_is_told_where_there_is_one(page):
    assert "Started from" in page
    assert "Started from" not in render(replace(full(), surroundings=Surroundings()))


def test_names_are_escaped():
    text = render(full(EVIL))
    read = Page(text)
    assert "script" not in {tag for tag, _ in read.tags}
    assert "<script>alert(1)</script> & \"Käse\" 'n' 茶 $x^2$ \ufffd\ufffd" in read.words["customers"]
    assert "\x07" not in text
    text.encode("utf-8")


def test_same_content_same_page(page):
    assert render(full()) == page


def test_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(ReportContent("first"), path)
    monkeypatch.setattr("files.os.replace", fail)
    with pytest.raises(OSError, match="disk"):
        write_report(ReportContent("second"), path)
    assert "first" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def fail(*_):
    raise OSError("disk full")


def test_verdict_ahead_names_the_closest():
    found = verdict("category", {"ease": interval(0.02, 0.01, 0.03), "lightgbm": interval(0.0074, 0.0041, 0.0107)})
    assert found.standing == "ahead"
    assert found.sentence == (
        "At the category level CrossAisle is ahead of every baseline; "
        "the closest is LightGBM: +.0074 NDCG@20 (95% interval +.0041 to +.0107)."
    )


def test_verdict_open_where_an_interval_touches_0():
    found = verdict("type", {"ease": interval(0.003, 0.0, 0.006), "als": interval(0.01, 0.005, 0.015)})
    assert found.standing == "open"
    assert found.sentence == (
        "At the type level CrossAisle is not shown to be ahead of EASE: +.0030 NDCG@20 "
        "(95% interval +.0000 to +.0060). It is ahead of ALS."
    )


def test_verdict_behind_names_all_that_are_better_and_the_rest():
    found = verdict(
        "product",
        {"als": interval(-0.004, -0.007, -0.001), "ease": interval(-0.0002, -0.001, 0.001)}
        | {"popularity": interval(0.01, 0.005, 0.015), "item_cosine": interval(0.02, 0.005, 0.03)},
    )
    assert found.standing == "behind"
    assert found.sentence == (
        "At the product level CrossAisle is behind ALS by .0040 NDCG@20 (95% interval .0010 to .0070). "
        "It is not shown to be ahead of EASE. It is ahead of popularity and item cosine."
    )


def test_verdict_never_claims_what_has_no_interval():
    nan = float("nan")
    assert verdict("type", {"als": interval(0.1, nan, nan)}).standing == "unmeasured"
    assert verdict("type", {}, ["crossaisle", "als"]).standing == "unmeasured"
    partly = verdict("type", {name: interval(0.1, 0.05, 0.2) for name in "ab"}, ["crossaisle", "a", "b", "als"])
    assert "ahead of every compared baseline" in partly.sentence
    assert partly.sentence.endswith("Not compared by an interval: ALS.")


def test_the_model_comes_first_and_the_best_accuracy_is_marked():
    table = level_table("category", full())
    assert [row.name for row in table["rows"]] == ["crossaisle", "milk", "popularity"]
    assert table["columns"] == ["ndcg@20", "recall@20", "ndcg@10", "recall@10", "coverage@20", "diversity@20"]
    assert [row.best for row in table["rows"]] == [{0}, {0}, set()]


def test_groups_mark_the_best_model_of_each_group():
    table = group_table({"als": groups(0.4) | {"0–3": {"users": 3.0, "ndcg@20": 0.1}}, "crossaisle": groups(0.3)})
    assert table["models"] == ["crossaisle", "als"]
    assert [(row.name, row.best) for row in table["rows"]] == [("0–3", {0}), ("4–10", {1}), ("11+", {1})]
    assert table["rows"][1].note == "12 customers"


def test_curves_are_thinned_to_means():
    found = module._thin(np.arange(1200.0))
    assert found.tolist() == (np.arange(120) * 10 + 4.5).tolist()
    assert module._thin(np.arange(3.0)).tolist() == [0, 1, 2]


def test_question_follows_the_facts():
    facts = DataFacts(1, 1, 1, 1, test_cutoff=47, validation_cutoff=40, horizon=7)
    assert question(facts) == (
        "Which categories that a customer has not bought from before week 47 do they buy from in weeks 47–53?"
    )
    assert question(replace(facts, horizon=1, period="day", interest="aisle")).endswith("day 47?")
    assert question(None) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ""),
        (TextTuning("frozen"), "no fine-tuning was asked for"),
        (TextTuning("lora", 0.3, 0.31, True), "(lora) were kept: validation NDCG@20 .3100 tuned against .3000 frozen"),
        (TextTuning("lora", 0.31, 0.3), "were dropped and the frozen model was used"),
        (TextTuning("top", None, None, True), "validation was not measured"),
    ],
)
def test_tuning_is_told(text, words):
    assert words in tuning_sentence(text)


def test_numbers_are_shown_for_reading():
    assert [decimal(v) for v in (0.3055, 1.0, -0.5, None, float("nan"))] == [".3055", "1.0000", "−.5000", "–", "–"]
    assert [signed(v) for v in (0.0074, -0.0012, None)] == ["+.0074", "−.0012", "–"]
    assert [duration(v) for v in (0.44, 38.2, 425, 3725, None)] == ["0.4 s", "38 s", "7 min 05 s", "1 h 02 min", "–"]
    ticks = [module._tick(v, plus=True) for v in (0.02, -0.00005, 1e-17, 1.0, 12.5)]
    assert ticks == ["+.02", "−.00005", "0", "+1", "+12.5"]
    assert memory(2.5 * 2**30) == "2.50 GiB"
    assert [many(word) for word in ("category", "day", "type")] == ["categories", "days", "types"]
