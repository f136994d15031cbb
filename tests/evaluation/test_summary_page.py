"""The summary's words, on figures made by hand."""

from __future__ import annotations

import pytest

from evaluation import summary_page

MODELS = {"crossaisle": (0.30, 0.20), "ease": (0.25, 0.22), "als": (0.24, 0.10)}


@pytest.fixture
def found():
    """Two windows: ahead in the first, behind EASE in the second; behind ALS at short histories."""
    groups = {"crossaisle": (0.1, 0.3), "ease": (0.1, 0.2), "als": (0.15, 0.1)}
    spread = {"mean": 0.25, "over_windows": 0.05, "over_seeds": None}
    gap = {"mean": 0.01, "low": -0.01, "high": 0.03}
    return {
        "protocol": {"40": {}, "47": {}},
        "users": {"category": {"40": 30, "47": 1200}},
        "items": {"category": 1500},
        "test": {
            "category": {
                name: {key: spread | {"mean": sum(of) / 2} for key in ("ndcg@20", "recall@20")}
                for name, of in MODELS.items()
            }
        },
        "by_run": {"category": {name: {"ndcg@20": {"40": [of[0]] * 2, "47": [of[1]]}} for name, of in MODELS.items()}},
        "difference": {"category": {name: {"ndcg@20": gap, "recall@20": gap} for name in ("ease", "als")}},
        "by_activity": {
            "category": {
                name: {"0–3": {"users": 4.0, "ndcg@20": of[0]}, "4–10": {"users": 0.0, "ndcg@20": None},
                       "11+": {"users": 9.0, "ndcg@20": of[1]}}
                for name, of in groups.items()
            }
        },
    }  # fmt: skip


def test_where_it_loses(found):
    assert summary_page.where_it_loses(found, "category") == (
        "Where a baseline's mean NDCG@20 is above ours: window 47, EASE .2200 against .2000; "
        "0–3 baskets (4 customers), ALS .1500 against .1000."
    )


def test_it_loses_nowhere_where_it_is_level(found):
    by = found["by_activity"]["category"]
    by["als"], by["ease"] = by["crossaisle"], by["crossaisle"]
    runs = found["by_run"]["category"]
    runs["als"], runs["ease"] = runs["crossaisle"], runs["crossaisle"]
    assert summary_page.where_it_loses(found, "category").endswith("above ours: nowhere.")


def test_a_levels_table(found):
    head, rows = summary_page.level_table(found, "category")
    assert [row[0] for row in rows] == ["CrossAisle", "EASE", "ALS"]
    assert all(len(row) == len(head) for row in rows)
    assert rows[0][1:4] == [".2500", ".0500", "–"]
    assert rows[1][-1] == "+.0100 (−.0100 to +.0300)"
    assert summary_page.headline(found, "category") == "category: 1,500 candidates; users by window: 30, 1,200"


def test_empty_groups_are_left_out(found):
    text = "\n".join(summary_page.level_blocks(found, "category"))
    assert "| model | 0–3 (4) | 11+ (9) |" in text
    assert "| EASE | .2500 | .2200 |" in text
