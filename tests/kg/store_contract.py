"""What every graph store must do; a test class for a store inherits this and gives a ``store`` fixture."""

import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest
from neo4j.exceptions import ClientError, Neo4jError, SessionExpired, TransientError

from errors import InputError
from kg.checksum import graph_checksum
from kg.config import CoPurchaseConfig
from kg.load import graph_state, load_graph
from kg.readback import read_graph
from kg.readonly import ReadOnly
from kg.schema import schema_of


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
            "reals": [0.5, -1e300, 5e-324],
            "flags": [True, False],
            "texts": ["a", "ü"],
            "none": [],
            "empty": "",
        }
        store.write("CREATE (n:Thing) SET n = $values", values=values)
        found = store.read("MATCH (n:Thing) RETURN properties(n) AS values")[0]["values"]
        assert found == values
        assert isinstance(found["whole"], int)
        assert isinstance(found["yes"], bool)

    @pytest.mark.parametrize(
        "value",
        [
            datetime.date(2020, 2, 29),
            datetime.datetime(2020, 2, 29, 23, 59, 59, 123456),
            datetime.time(23, 59, 59, 123456),
        ],
        ids=str,
    )
    def test_moments_come_back_as_they_went(self, store, value):
        store.write("CREATE (:Thing {moment: $value})", value=value)
        found = store.read("MATCH (n:Thing) RETURN n.moment AS moment")[0]["moment"]
        assert found.to_native() == value

    @pytest.mark.parametrize("hours", [0, 2])
    def test_a_moment_with_a_zone_stays_that_moment(self, store, hours):
        """The embedded store gives one that came as a parameter back in UTC, without saying so."""
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        value = datetime.datetime(2020, 2, 29, 23, 30, tzinfo=zone)
        store.write("CREATE (:Thing {sent: $value, said: datetime($text)})", value=value, text=value.isoformat())
        found = store.read(
            "MATCH (n:Thing) RETURN n.sent AS sent, n.said AS said, n.sent = $value AS same", value=value
        )
        sent, said = found[0]["sent"].to_native(), found[0]["said"].to_native()
        assert sent.replace(tzinfo=sent.tzinfo or datetime.UTC) == said == value
        assert said.utcoffset() == value.utcoffset()
        assert found[0]["same"]

    def test_moments_are_compared_in_the_store(self, store):
        days = [datetime.date(2020, 1, day) for day in (3, 1, 2)]
        store.write("UNWIND $days AS day CREATE (:Thing {day: day})", days=days)
        query = "MATCH (n:Thing) WHERE n.day > date('2020-01-01') RETURN n.day AS day ORDER BY day"
        assert [row["day"].to_native() for row in store.read(query)] == sorted(days)[1:]

    def test_relationships_hold_values_too(self, store):
        values = {"weight": 0.1, "support": 2**40, "run": "größe", "list": [1, 2]}
        store.write("CREATE (:Thing)-[r:LEADS]->(:Thing) SET r = $values", values=values)
        assert store.read("MATCH ()-[r:LEADS]->() RETURN properties(r) AS values")[0]["values"] == values

    def test_null_is_an_absent_property(self, store):
        store.write("CREATE (n:Thing {name: 'x', nothing: $value})", value=None)
        found = store.read("MATCH (n:Thing) RETURN n.nothing AS nothing, properties(n) AS values")[0]
        assert found == {"nothing": None, "values": {"name": "x"}}

    def test_upsert_keeps_one_node(self, store):
        for number in (1, 2):
            store.write("MERGE (n:Thing {key: 'k'}) SET n.number = $number", number=number)
        assert store.read("MATCH (n:Thing) RETURN n.number AS number") == [{"number": 2}]

    def test_upserts_of_relationships_keep_one(self, store):
        store.write("UNWIND range(1, 4) AS i CREATE (:Thing {key: i})")
        query = (
            "UNWIND $rows AS row MATCH (a:Thing {key: row.a}) MATCH (b:Thing {key: row.b}) "
            "MERGE (a)-[r:LEADS]->(b) SET r.weight = row.weight RETURN count(*) AS written"
        )
        for weight in (1, 2):
            rows = [{"a": a, "b": b, "weight": weight} for a in (1, 2) for b in (3, 4)]
            assert store.write_batches(query, rows, batch_size=3) == 4
        found = store.read("MATCH (a)-[r:LEADS]->(b) RETURN a.key AS a, b.key AS b, r.weight AS w ORDER BY a, b")
        assert found == [{"a": a, "b": b, "w": 2} for a in (1, 2) for b in (3, 4)]

    def test_threads_that_upsert_make_no_duplicates(self, store):
        store.write("UNWIND range(0, 9) AS i CREATE (:Thing {key: i})")
        query = "MATCH (a:Thing {key: $a}) MATCH (b:Thing {key: $b}) MERGE (a)-[:LEADS]->(b)"
        with ThreadPoolExecutor(4) as pool:
            pairs = [(n % 10, (n + 1) % 10) for n in range(40)]
            list(pool.map(lambda pair: store.write(query, a=pair[0], b=pair[1]), pairs))
        assert store.read("MATCH ()-[r:LEADS]->() RETURN count(r) AS n") == [{"n": 10}]

    def test_a_read_sees_the_write_before_it(self, store):
        for number in range(20):
            store.write("MERGE (n:Thing {key: 'k'}) SET n.number = $number", number=number)
            assert store.read("MATCH (n:Thing) RETURN n.number AS number") == [{"number": number}]

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

    def test_constraint_is_listed_and_can_be_dropped(self, store):
        store.schema_command("CREATE CONSTRAINT unique_two FOR (n:Two) REQUIRE n.key IS UNIQUE")
        found = store.read("SHOW CONSTRAINTS")
        assert [(row["name"], row["labelsOrTypes"], row["properties"]) for row in found] == [
            ("unique_two", ["Two"], ["key"])
        ]
        store.schema_command("DROP CONSTRAINT unique_two")
        store.write("UNWIND [1, 1] AS key CREATE (:Two {key: key})")
        assert store.read("MATCH (n:Two) RETURN count(n) AS n") == [{"n": 2}]

    def test_constraint_is_not_made_over_duplicates(self, store):
        store.write("UNWIND [1, 1] AS key CREATE (:Three {key: key})")
        with pytest.raises(Neo4jError):
            store.schema_command("CREATE CONSTRAINT unique_three FOR (n:Three) REQUIRE n.key IS UNIQUE")
        assert not [row for row in store.read("SHOW CONSTRAINTS") if row["type"] == "UNIQUENESS"]

    def test_failed_write_leaves_nothing(self, store):
        query = "UNWIND $rows AS row CREATE (n:Thing {number: 1 / row.number}) RETURN count(*) AS written"
        with pytest.raises(ClientError):
            store.write(query, rows=[{"number": 1}, {"number": 0}])
        assert store.read("MATCH (n:Thing) RETURN count(n) AS n") == [{"n": 0}]

    def test_paging(self, store):
        store.write("UNWIND range(0, 9) AS i CREATE (:Thing {number: i})")
        query = "MATCH (n:Thing) RETURN n.number AS number ORDER BY number SKIP $skip LIMIT 4"
        assert [row["number"] for row in store.read(query, skip=4)] == [4, 5, 6, 7]

    @pytest.mark.parametrize("fault", [TransientError("deadlock"), SessionExpired("gone")], ids=repr)
    def test_passing_faults_are_tried_again(self, store, monkeypatch, fault):
        calls = []

        def flaky(query):
            def work(tx, params):
                calls.append(query)
                if len(calls) == 1:
                    raise fault
                return ["one"], [[1]]

            return work

        monkeypatch.setattr(store, "_unit", flaky)
        assert store.write("RETURN 1 AS one") == [{"one": 1}]
        assert len(calls) == 2

    def test_wrong_cypher_is_not_tried_again(self, store):
        with pytest.raises(ClientError):
            store.read("MATCH (n RETURN n")

    def test_lasting_faults_are_given_up_and_told(self, store, monkeypatch):
        calls = []

        def failing(query):
            def work(tx, params):
                calls.append(query)
                raise TransientError("deadlock")

            return work

        monkeypatch.setattr(store, "_unit", failing)
        with pytest.raises(InputError, match="could not finish in time"):
            store.write("RETURN 1 AS one")
        assert len(calls) > 1

    def test_values_never_become_cypher(self, store):
        text = "'}) DETACH DELETE (n) //"
        store.write("CREATE (:Thing {text: $text})", text=text)
        assert store.read("MATCH (n:Thing {text: $text}) RETURN n.text AS text", text=text) == [{"text": text}]

    def test_exploring_reads_and_does_not_write(self, store):
        store.write("CREATE (:Thing {key: 1})")
        reader = ReadOnly(store)
        assert reader.run("MATCH (n:Thing) RETURN n.key AS key").rows == [(1,)]
        with pytest.raises(InputError, match="cannot change anything"):
            reader.run("MATCH (n:Thing) SET n.key = 2")
        with store.reading(fetch_size=10) as session, pytest.raises(Neo4jError):
            session.execute_read(lambda tx: tx.run("MATCH (n:Thing) SET n.key = 2").consume())
        assert store.read("MATCH (n:Thing) RETURN n.key AS key") == [{"key": 1}]

    def test_what_is_loaded_is_read_back(self, store, dataset):
        config = CoPurchaseConfig(min_support=2)
        assert not load_graph(store, dataset, [10, 15], config).skipped
        checksum = graph_checksum(store, schema_of(dataset))
        assert load_graph(store, dataset, [10, 15], config).skipped
        assert graph_checksum(store, schema_of(dataset)) == checksum
        graph = read_graph(store, 15)
        assert graph.ids["Product"].tolist() == dataset.catalogue.product_ids.tolist()
        assert graph.data["Product", "HAS_BRAND", "Brand"].edge_index.shape == (2, 16)
        assert graph_state(store).state == "complete"
