"""What every graph store must do; a test class for a store inherits this and gives a ``store`` fixture."""

import pytest
from neo4j.exceptions import ClientError, TransientError


class StoreContract:
    """The fixture ``store`` yields an open ``GraphStore`` without a single node."""

    def test_values_come_back_as_they_went(self, store):
        values = {
            "whole": 2**62,
            "negative": -(2**63),
            "real": 0.1,
            "yes": True,
            "text": "Größe ☀ 𝛼 `'\"\\u0060",
            "list": [1, 2, 3],
            "texts": ["a", "ü"],
            "empty": "",
        }
        store.write("CREATE (n:Thing) SET n = $values", values=values)
        found = store.read("MATCH (n:Thing) RETURN properties(n) AS values")[0]["values"]
        assert found == values
        assert isinstance(found["whole"], int)
        assert isinstance(found["yes"], bool)

    def test_null_is_an_absent_property(self, store):
        store.write("CREATE (n:Thing {name: 'x', nothing: $value})", value=None)
        found = store.read("MATCH (n:Thing) RETURN n.nothing AS nothing, properties(n) AS values")[0]
        assert found == {"nothing": None, "values": {"name": "x"}}

    def test_upsert_keeps_one_node(self, store):
        for number in (1, 2):
            store.write("MERGE (n:Thing {key: 'k'}) SET n.number = $number", number=number)
        assert store.read("MATCH (n:Thing) RETURN n.number AS number") == [{"number": 2}]

    def test_batches_write_every_row_once(self, store):
        rows = ({"number": number} for number in range(25))
        query = "UNWIND $rows AS row CREATE (n:Thing {number: row.number}) RETURN count(*) AS written"
        assert store.write_batches(query, rows, batch_size=7) == 25
        found = store.read_frame("MATCH (n:Thing) RETURN n.number AS number ORDER BY number")
        assert found["number"].tolist() == list(range(25))

    def test_constraint_refuses_a_second_node(self, store):
        constraint = "CREATE CONSTRAINT unique_one IF NOT EXISTS FOR (n:One) REQUIRE n.key IS UNIQUE"
        store.schema_command(constraint)
        store.schema_command(constraint)
        store.write("CREATE (n:One {key: 1})")
        with pytest.raises(ClientError):
            store.write("CREATE (n:One {key: 1})")
        assert store.read("MATCH (n:One) RETURN count(n) AS n") == [{"n": 1}]

    def test_failed_write_leaves_nothing(self, store):
        query = "UNWIND $rows AS row CREATE (n:Thing {number: 1 / row.number}) RETURN count(*) AS written"
        with pytest.raises(ClientError):
            store.write(query, rows=[{"number": 1}, {"number": 0}])
        assert store.read("MATCH (n:Thing) RETURN count(n) AS n") == [{"n": 0}]

    def test_paging(self, store):
        store.write("UNWIND range(0, 9) AS i CREATE (:Thing {number: i})")
        query = "MATCH (n:Thing) RETURN n.number AS number ORDER BY number SKIP $skip LIMIT 4"
        assert [row["number"] for row in store.read(query, skip=4)] == [4, 5, 6, 7]

    def test_passing_faults_are_tried_again(self, store, monkeypatch):
        calls = []

        def flaky(query):
            def work(tx, params):
                calls.append(query)
                if len(calls) == 1:
                    raise TransientError("deadlock")
                return ["one"], [[1]]

            return work

        monkeypatch.setattr(store, "_unit", flaky)
        assert store.write("RETURN 1 AS one") == [{"one": 1}]
        assert len(calls) == 2

    def test_wrong_cypher_is_not_tried_again(self, store):
        with pytest.raises(ClientError):
            store.read("MATCH (n RETURN n")
