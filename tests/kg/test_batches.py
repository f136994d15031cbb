import threading
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg.batches import ahead, create_edges, edge_batches, grouping_end, node_batches
from kg.schema import EdgeKind, NodeKind, Schema

IDS = st.sampled_from(["a", "b", "ü", ""])
EDGES = st.lists(st.tuples(IDS, IDS, st.one_of(st.none(), st.floats(0, 1)), st.integers(0, 3)), max_size=25)
COLUMNS = ["source", "target", "weight", "period"]


@settings(max_examples=40, deadline=None)
@given(EDGES, st.integers(1, 7), st.sampled_from(["source", "target"]))
def test_every_relationship_travels_once(edges, size, by):
    found, sizes = Counter(), []
    for batch in edge_batches(pd.DataFrame(edges, columns=COLUMNS), by, size):
        members = [(key, member) for key, group in batch.rows for member in group]
        assert len(members) == batch.size
        assert len({key for key, _ in batch.rows}) == len(batch.rows)
        weight = [batch.shared["weight"]] if "weight" in batch.shared else []
        whole = [(key, *((m,) if isinstance(m, str) else m)) for key, m in members]
        ends = [((key, other) if by == "source" else (other, key), own) for key, other, *own in whole]
        found.update((source, target, *weight, *own) for (source, target), own in ends)
        sizes.append(batch.size)
    assert found == Counter(edges)
    assert all(one == size for one in sizes[:-1])


@settings(max_examples=40, deadline=None)
@given(EDGES, st.integers(1, 7))
def test_without_properties_a_member_is_an_id(edges, size):
    frame = pd.DataFrame(edges, columns=COLUMNS)[["source", "target"]]
    batches = list(edge_batches(frame, "target", size))
    found = Counter((member, key) for batch in batches for key, members in batch.rows for member in members)
    assert found == Counter((edge[0], edge[1]) for edge in edges)


@settings(max_examples=40, deadline=None)
@given(EDGES, st.integers(1, 7))
def test_nodes_travel_in_order(edges, size):
    batches = list(node_batches(pd.DataFrame(edges, columns=COLUMNS), size))
    assert [row for batch in batches for row in batch.rows] == edges


@pytest.mark.parametrize("value", [1.5, None])
def test_a_property_that_all_share_travels_once(value):
    frame = pd.DataFrame({"source": ["a", "b"], "target": ["x", "x"], "weight": [value] * 2, "known_from": [3, 3]})
    (batch,) = edge_batches(frame.astype({"weight": "float64"}), "target", 5)
    assert batch.shared == {"weight": value}
    assert batch.rows == [("x", [("a", 3), ("b", 3)])]
    kind = EdgeKind("A", "LEADS", "B", "relation")
    query = create_edges(Schema((NodeKind("A", "key"), NodeKind("B", "key")), (kind,)), kind, "target", batch.shared)
    assert "{`weight`: $weight, `known_from`: member[1]}" in query


def test_groups_are_as_few_as_can_be():
    frame = pd.DataFrame({"source": ["a", "b", "c"], "target": ["x", "x", "y"]})
    assert grouping_end(frame) == "target"
    assert grouping_end(frame.rename(columns={"source": "target", "target": "source"})) == "source"


def test_batches_are_made_a_bounded_number_ahead():
    made = []
    for taken, item in enumerate(ahead((made.append(i) or i for i in range(50)), depth=3), start=1):
        assert item == taken - 1
        assert len(made) <= taken + 3
    assert made == list(range(50))


def test_a_fault_while_making_comes_through():
    def items():
        yield 1
        raise KeyError("broken")

    found = []
    with pytest.raises(KeyError, match="broken"):
        found.extend(ahead(items()))


def test_a_consumer_that_stops_leaves_no_thread():
    made = []
    stream = ahead((made.append(i) or i for i in range(1000)), depth=2)
    assert next(stream) == 0
    stream.close()
    assert len(made) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
