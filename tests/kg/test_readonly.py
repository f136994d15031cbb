"""Exploring changes nothing: not the graph, not the schema, not the accounts, not the disk."""

import contextlib
import datetime
import hashlib
import http.server
import json
import threading
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from errors import InputError
from kg import readonly
from kg.answer import GraphEdge, GraphNode, GraphPath
from kg.config import StoreConfig
from kg.readonly import ReadOnly
from kg.statement import WRITING, refuse_all_but_reading
from kg.store import GraphStore

DATA = """
CREATE (a:Thing {key: 1, day: date('2020-02-29'), at: datetime('2020-02-29T12:30:00Z'), span: duration('PT90M')})
CREATE (b:Thing {key: 2, list: [1, 2], text: 'ü'}), (c:Other {key: 3}), (:Alone {key: 4})
CREATE (a)-[:LEADS {weight: 0.5}]->(b), (b)-[:LEADS {weight: 1.5}]->(c)
"""
WRITES = [
    "CREATE (:Thing {key: 9})",
    "CREATE (:Brandnew {key: 9})",
    "create (:Thing {key: 9})",
    "CrEaTe\n(:Thing {key: 9})",
    "/* look */ CREATE (:Thing {key: 9})",
    "// MATCH (n) RETURN n\nCREATE (:Thing {key: 9})",
    "CREATE/**/(:Thing {key: 9}) RETURN 1 AS one",
    "MATCH (a:Thing {key: 1}), (b:Other) CREATE (a)-[:LEADS]->(b)",
    "MATCH (a:Thing {key: 1}), (b:Other) CREATE (a)-[:BRANDNEW]->(b)",
    "MATCH (a:Thing {key: 1}) MERGE (a)-[:LEADS]->(:Thing {key: 9})",
    "MERGE (:Thing {key: 9})",
    "MERGE (n:Thing {key: 1}) ON MATCH SET n.seen = true",
    "MERGE (n:Thing {key: 9}) ON CREATE SET n.seen = true RETURN n",
    "MATCH (n:Thing) SET n.key = 9",
    "MATCH (n:Thing) SET n += {seen: true} RETURN n",
    "MATCH (n:Thing) SET n = {}",
    "MATCH (n:Thing) SET n:Brandnew",
    "MATCH ()-[r:LEADS]->() SET r.weight = 9",
    "MATCH (n:Thing) WITH n SET n.`key` = 9 RETURN n.key",
    "MATCH (n:Thing) REMOVE n.key",
    "MATCH (n:Thing) REMOVE n:Thing",
    "MATCH (n:Alone) DELETE n",
    "MATCH (n:Thing) DETACH DELETE n",
    "MATCH (n) DETACH DELETE n",
    "MATCH ()-[r]->() DELETE r",
    "MATCH (n:Thing) FOREACH (x IN [n] | SET x.seen = true)",
    "UNWIND [1] AS i FOREACH (x IN [i] | CREATE (:Thing {key: 9}))",
    "CALL { CREATE (:Thing {key: 9}) RETURN 1 AS one } RETURN one",
    "MATCH (n:Thing) CALL (n) { SET n.seen = true } RETURN n",
    "UNWIND [1, 2] AS i CALL { WITH i CREATE (:Thing {key: i}) } IN TRANSACTIONS OF 1 ROW RETURN i",
    "UNWIND [1, 2] AS i CALL (i) { MERGE (:Thing {key: 8 + i}) } RETURN i",
    "RETURN 1 AS one UNION ALL CREATE (n:Thing {key: 9}) RETURN n.key AS one",
    "PROFILE CREATE (:Thing {key: 9})",
    "CYPHER 5 CREATE (:Thing {key: 9})",
    "INSERT (:Thing {key: 9})",
    "CREATE CONSTRAINT brandnew FOR (n:Other) REQUIRE n.key IS UNIQUE",
    "CREATE INDEX brandnew FOR (n:Other) ON (n.key)",
    "CREATE FULLTEXT INDEX brandnew FOR (n:Thing) ON EACH [n.text]",
    "CREATE VECTOR INDEX brandnew FOR (n:Thing) ON n.list",
    "DROP CONSTRAINT thing_key",
    "DROP INDEX thing_key",
    "DROP INDEX `Thing[key]`",
    "CALL db.createLabel('Brandnew')",
    "CALL db.createProperty('brandnew')",
    "CALL db.create.setNodeVectorProperty(null, 'x', [1.0])",
    "CALL merge.node(['Thing'], {key: 9}, {}) YIELD node RETURN node",
    "CALL `merge`.`node`(['Thing'], {key: 9}, {}) YIELD node RETURN node",
    "CALL do.when(true, 'CREATE (:Thing {key: 9})', 'RETURN 1', {}) YIELD value RETURN value",
    "CALL db.migrateLegacyTemporals()",
    "CALL apoc.cypher.doIt('CREATE (:Thing {key: 9})', {}) YIELD value RETURN value",
    "CALL db.clearQueryCaches()",
    "CALL db.stats.collect('QUERIES')",
    "CALL dbms.killConnections(['bolt-1'])",
    "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
    "CREATE USER brandnew SET PASSWORD 'brandnew-password'",
    "ALTER USER neo4j SET PASSWORD 'brandnew-password'",
    "ALTER CURRENT USER SET PASSWORD FROM 'x' TO 'brandnew-password'",
    "DROP USER root",
    "CREATE DATABASE brandnew",
    "DROP DATABASE neo4j",
    "STOP DATABASE neo4j",
    "USE system CREATE USER brandnew SET PASSWORD 'brandnew-password'",
    "RETURN 1 AS one; CREATE (:Thing {key: 9})",
    "MATCH (n) RETURN n;\n;CREATE (:Thing {key: 9});",
    "\\u0043REATE (:Thing {key: 9})",
    "C\\u0052EATE (:Thing {key: 9})",
    "MATCH (n:Thing) \\u0053ET n.key = 9",
    "RETURN '\\u0027 AS a CREATE (:Thing {key: 9}) //' AS b",
    "RETURN '\\\\' AS a UNION ALL CREATE (n:Thing) RETURN 'b' AS a",
    "INSERT INTO Thing SET key = 9",
    "UPDATE Thing SET key = 9",
    "DELETE VERTEX FROM Thing",
    "ALTER DATABASE `arcadedb.command.timeout` 1",
    "COMMIT",
]
LOADS = [
    "LOAD CSV FROM '{}' AS line RETURN line",
    "load csv with headers from '{}' AS line RETURN line",
    "LOAD/**/CSV FROM '{}' AS line RETURN line",
    "CALL {{ LOAD CSV FROM '{}' AS line RETURN line }} RETURN line",
    "UNWIND ['{}'] AS place LOAD CSV FROM place AS line RETURN line",
    "LOAD CSV FROM '{}' AS line CREATE (:Thing {{key: line[0]}})",
    "\\u004COAD CSV FROM '{}' AS line RETURN line",
    "RETURN apoc.cypher.runFirstColumnSingle(\"LOAD CSV FROM '{}' AS line RETURN line\", {{}}) AS line",
    "CALL apoc.load.csv('{}') YIELD map RETURN map",
    "CALL apoc.export.json.all('{}', {{}})",
]
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH a * b AS c RETURN max(c) AS largest"


@pytest.fixture(scope="module", params=["embedded", "neo4j"])
def store(request):
    """A store with a little graph that no test of this file changes."""
    found = request.getfixturevalue(f"{request.param}_store")
    request.getfixturevalue("emptied")(found)
    found.schema_command("CREATE CONSTRAINT thing_key FOR (n:Thing) REQUIRE n.key IS UNIQUE")
    found.write(DATA)
    ReadOnly(found).run("RETURN 1 AS one")  # makes the reader account
    return found


@pytest.fixture(scope="module")
def untouched(store):
    return _all_there_is(store)


@pytest.fixture
def reader(store):
    return ReadOnly(store)


def _all_there_is(store):
    """Nodes, relationships, schema and accounts, and the files of the embedded store's database."""
    nodes = store.read("MATCH (n) RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS properties")
    edges = store.read("MATCH (a)-[r]->(b) RETURN a.key AS a, type(r) AS type, properties(r) AS properties, b.key AS b")
    schema = store.read("SHOW CONSTRAINTS YIELD name") + store.read("SHOW INDEXES YIELD name")
    labels = store.read("CALL db.labels() YIELD label RETURN label")
    rows = [*nodes, *edges, *schema, *labels, *store.read("SHOW USERS")]
    text = "\n".join(sorted(json.dumps(row, default=str, sort_keys=True) for row in rows))
    return hashlib.sha256(text.encode()).hexdigest(), _files(store)


def _files(store):
    if store.server is None:
        return {}
    folders = [store.server.home / "databases", store.server.home / "config"]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("query", WRITES)
def test_writing_is_refused_and_changes_nothing(store, reader, untouched, query):
    with pytest.raises(InputError, match=r"(exploring cannot change anything|refused to change anything)\n"):
        reader.run(query)
    assert _all_there_is(store) == untouched


@pytest.mark.parametrize("query", [query for query in WRITES if "dbms.kill" not in query])
def test_the_server_alone_lets_nothing_change(store, reader, untouched, query, monkeypatch):
    """Without the look at the words: what stands between such a query and the graph is the server itself."""
    monkeypatch.setattr(readonly, "refuse_all_but_reading", lambda query: None)
    with contextlib.suppress(InputError):
        reader.run(query)
    assert _all_there_is(store) == untouched


class _Listener(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"secret\n")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def listener():
    """A web server on this machine that notes what is asked of it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listener) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("place", ["file", "address"])
@pytest.mark.parametrize("query", LOADS)
def test_files_and_addresses_are_not_read(reader, tmp_path, listener, query, place):
    (tmp_path / "secret.csv").write_text("secret\n")
    path = tmp_path / "secret.csv"
    address = path.as_uri() if place == "file" else f"http://127.0.0.1:{listener.server_port}/secret.csv"
    with pytest.raises(InputError, match="cannot change anything") as caught:
        reader.run(query.format(address))
    assert "secret" not in str(caught.value)
    assert listener.asked == []
    assert path.read_text() == "secret\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (n:Thing) RETURN n.set AS create, n.delete AS merge ORDER BY create",
        "MATCH (n:Thing) WHERE n.text = 'CREATE (n) SET n.x = 1; LOAD CSV' RETURN n",
        "MATCH (n) WHERE n:Set OR n:Remove RETURN n // SET n.x = 1",
        "MATCH (:Thing)-[r:CREATE|SET]->() RETURN r /* DELETE r; */",
        "RETURN {set: 1, create: 2, call: 3} AS `DELETE me`",
        "WITH {call: 1} AS n RETURN n.call AS call",
        "OPTIONAL MATCH (load:Thing) RETURN load",
        "CALL () { MATCH (n:Thing) RETURN count(n) AS things } RETURN things",
        "MATCH (n:Thing) CALL (n) { MATCH (n)-->(m) RETURN count(m) AS degree } RETURN n.key, degree",
        "CALL db.labels() YIELD label RETURN label",
        "CALL db.labels",
        "CALL `db`.labels() YIELD label RETURN label;",
        "RETURN duration.between(date('2020-01-01'), date('2020-02-01')) AS time",
        "MATCH (n) RETURN count { (n)-->() } AS degree",
        "EXPLAIN MATCH (n) RETURN n",
        "SHOW INDEXES",
    ],
)
def test_reading_passes(reader, query):
    reader.run(query)


NOISE = st.sampled_from([" ", "\n", "\t", "/**/", "/* x; ' */", "// MATCH `\n", "  \r\n"])


@given(st.text(), st.sampled_from("'\"`"))
def test_no_text_between_quotes_is_a_clause(text, quote):
    doubled = text.replace("`", "``") if quote == "`" else text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    assume("\\u" not in doubled)
    refuse_all_but_reading(f"RETURN {quote}{doubled}{quote} AS x // {quote}")


@given(st.sampled_from(sorted(WRITING)), st.lists(NOISE, min_size=1), st.lists(NOISE, min_size=1), st.randoms())
def test_no_spelling_hides_a_clause(word, before, after, random):
    spelt = "".join(random.choice((letter.lower(), letter.upper())) for letter in word)
    with pytest.raises(InputError, match=f"{word} is no reading clause"):
        refuse_all_but_reading(f"MATCH (n){''.join(before)}{spelt}{''.join(after)}(n)")


@pytest.mark.parametrize("query", ["RETURN 'a", 'RETURN "a', "RETURN 1 AS `a", "RETURN 1 /* a", "", " ;\n;"])
def test_what_does_not_end_is_told(query):
    with pytest.raises(InputError, match=r"does not end|is empty"):
        refuse_all_but_reading(query)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("MATCH (n RETURN n", {}),
        ("RETURN $missing AS x", {}),
        ("RETURN nowhere AS x", {}),
        ("RETURN 1 / 0 AS x", {}),
        ("RETURN $x AS x", {"x": object()}),
        ("RETURN $x AS x", {"x": 2**70}),
    ],
)
def test_a_wrong_query_is_told(reader, query, params):
    with pytest.raises(InputError, match="the store cannot run this"):
        reader.run(query, params)


def test_values_come_back_as_plain_python(reader):
    answer = reader.run(
        "MATCH (n:Thing {key: $key}) RETURN n.day, n.at, n.span, $extra AS extra", {"key": 1, "extra": [1]}
    )
    assert answer.columns == ("n.day", "n.at", "n.span", "extra")
    moment = datetime.datetime(2020, 2, 29, 12, 30, tzinfo=datetime.UTC)
    assert answer.rows == [(datetime.date(2020, 2, 29), moment, datetime.timedelta(minutes=90), [1])]
    months = reader.run("RETURN duration('P1M') AS months, point({x: 1, y: 2}) AS place")
    assert months.rows[0][0] == "P1M"
    assert (months.rows[0][1]["x"], months.rows[0][1]["y"]) == (1.0, 2.0)


def test_nodes_relationships_and_paths_come_back_whole(reader):
    query = "MATCH p = (a:Thing {key: 1})-[r:LEADS]->(b)<-[:LEADS]-(a) RETURN a, r, b, p"
    assert reader.run(query).rows == []
    answer = reader.run("MATCH p = (c:Other)<-[r:LEADS]-(b) RETURN b, r, c, p, [b, {inner: r}] AS nested")
    b, r, c, path, nested = answer.rows[0]
    assert isinstance(b, GraphNode)
    assert b == GraphNode(b.id, ("Thing",), {"key": 2, "list": [1, 2], "text": "ü"})
    assert r == GraphEdge(r.id, "LEADS", b.id, c.id, {"weight": 1.5})
    assert path == GraphPath((c, b), (r,))
    assert nested == [b, {"inner": r}]
    assert answer.frame().loc[0, "r"] == r


@pytest.mark.parametrize(("made", "kept"), [(4, False), (5, False), (6, True), (1_000_000, True)])
def test_rows_beyond_the_limit_are_left_out(store, made, kept):
    answer = ReadOnly(store, row_limit=5).run("UNWIND range(1, $made) AS i RETURN i", {"made": made})
    assert answer.rows == [(i,) for i in range(1, min(made, 5) + 1)]
    assert answer.truncated == kept
    assert ReadOnly(store).run("RETURN 1 AS one").rows == [(1,)]


def test_a_long_query_is_ended_by_the_server(store):
    with pytest.raises(InputError, match=r"longer than 0\.5 s"):
        ReadOnly(store, time_limit=0.5).run(ENDLESS)
    assert not any(ENDLESS in row["currentQuery"] for row in _running(store))


def test_ending_one_query_leaves_its_twin_running(embedded_store):
    """Two people ask the same; the one with less patience does not end the other's query."""
    query = "UNWIND range(1, 1200) AS a UNWIND range(1, 1000) AS b WITH a * b AS c RETURN max(c) AS largest"
    query += " // " + "x" * 2000
    answers = []
    patient = threading.Thread(target=lambda: answers.append(ReadOnly(embedded_store).run(query)))
    patient.start()
    with pytest.raises(InputError, match="took longer"):
        ReadOnly(embedded_store, time_limit=0.05).run(query)
    patient.join()
    assert [answer.rows for answer in answers] == [[(1_200_000,)]]


def _running(store):
    """Queries that run a moment later; a Neo4j looks after its transactions every two seconds."""
    deadline = time.monotonic() + 10
    while len(found := store.read("SHOW TRANSACTIONS")) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_a_query_that_heeds_nothing_ends_with_the_embedded_server(embedded_store, emptied, monkeypatch):
    monkeypatch.setattr(readonly, "HEED", 0.5)
    emptied(embedded_store).write("CREATE (:Thing {key: 1})")
    first = embedded_store.server.pid
    nested = "RETURN size([i IN range(1, 100000) WHERE any(j IN range(1, 100000) WHERE j = -i)]) AS x"
    with pytest.raises(InputError, match=r"longer than 0\.5 s"):
        ReadOnly(embedded_store, time_limit=0.5).run(nested)
    assert embedded_store.read("MATCH (n:Thing) RETURN n.key AS key") == [{"key": 1}]
    assert ReadOnly(embedded_store).run("MATCH (n:Thing) RETURN n.key").rows == [(1,)]
    assert embedded_store.server.pid != first


def test_limits_are_checked(embedded_store):
    for limits in ({"time_limit": 0}, {"row_limit": 0}):
        with pytest.raises(InputError, match="above 0"):
            ReadOnly(embedded_store, **limits)


def test_a_server_without_a_guard_is_not_explored(embedded_store):
    server = embedded_store.server
    config = StoreConfig(uri=server.uri, username=server.username, password=server.password)
    with GraphStore.open(config) as store, pytest.raises(InputError, match=r"ArcadeDB.* does not keep"):
        ReadOnly(store)
