"""What a graph holds: its labels and relationships with their numbers, as tables and as a picture."""

from __future__ import annotations

import networkx as nx

from kg.answer import Answer
from kg.explore import Explorer
from kg.schema import quote
from kg.writeback import LEADS_TO


def node_counts(explorer: Explorer) -> Answer:
    """One row for each label of the schema: ``label``, ``key``, ``properties``, ``nodes``."""
    rows, seconds = [], 0.0
    for kind in explorer.schema.nodes:
        found = explorer.ask(f"MATCH (n:{quote(kind.label)}) RETURN count(n) AS nodes")
        seconds += found.seconds
        rows.append((kind.label, kind.key, list(kind.properties), found.rows[0][0]))
    return Answer(("label", "key", "properties", "nodes"), rows, seconds=seconds)


def edge_counts(explorer: Explorer) -> Answer:
    """One row for each relationship: ``source``, ``type``, ``target``, ``properties``, ``relationships``.

    What a training has written back (``LEADS_TO``) stands at the end, where there is some.
    """
    rows, seconds = [], 0.0
    for kind in explorer.schema.edges:
        pattern = f"(:{quote(kind.source)})-[r:{quote(kind.type)}]->(:{quote(kind.target)})"
        found = explorer.ask(f"MATCH {pattern} RETURN count(r) AS n")
        seconds += found.seconds
        rows.append((*kind.triple, list(kind.properties), found.rows[0][0]))
    query = (
        f"MATCH (a)-[r:{LEADS_TO}]->(b) RETURN head(labels(a)) AS a, head(labels(b)) AS b, count(r) AS n ORDER BY a, b"
    )
    learnt = explorer.ask(query)
    rows += [(a, LEADS_TO, b, ["probability", "lift", "support", "run"], n) for a, b, n in learnt.rows]
    columns = ("source", "type", "target", "properties", "relationships")
    return Answer(columns, rows, seconds=seconds + learnt.seconds)


def network(nodes: Answer, edges: Answer) -> nx.MultiDiGraph:
    """The schema as a network to draw: a node for each label, an edge for each relationship, with their numbers."""
    graph = nx.MultiDiGraph()
    for label, key, properties, count in nodes.rows:
        told = {"key": key, "properties": ", ".join(properties), "nodes": count}
        graph.add_node(label, labels=label, name=f"{label}\n{count:,}", properties=told)
    for source, kind, target, properties, count in edges.rows:
        told = {"relationships": count, "properties": ", ".join(properties)}
        graph.add_edge(
            source, target, f"{source}-{kind}-{target}", type=kind, name=f"{kind} {count:,}", properties=told
        )
    return graph
