"""Pictures, looked at by a real browser."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree as ET

import matplotlib.image
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InputError
from kg.drawing import COLOURS, EDGE_COLOURS, EDGE_WIDTHS, MOST_NODES, design
from kg.picture import draw, page

WINDOW = "--window-size=900,700"
MAKERS = ("google.com", "googleapis.com", "gvt1.com")


def network(nodes=6, evil="</script><script>document.body.dataset.evil = 1</script>"):
    """A ring of categories, its department, two parallel edges, a loop, and a part by itself."""
    graph = nx.MultiDiGraph()
    for i in range(nodes):
        graph.add_node(
            f"c{i}", labels="Category", name=f"Category {i}", properties={"name": i, "embedding": [0.5] * 99}
        )
    graph.add_node("d", labels="Department", name=evil, properties={"text": "<b>&amp;"})
    for i in range(nodes):
        graph.add_edge(f"c{i}", f"c{(i + 1) % nodes}", f"r{i}", type="BOUGHT_WITH", properties={"lift": 1.0 + i})
    graph.add_edge("c0", "c1", "again", type="LEADS_TO", properties={"probability": 0.5, "run": None})
    graph.add_edge("c0", "c0", "loop", type="LEADS_TO", properties={})
    graph.add_edge("c0", "d", "up", type="IN_DEPARTMENT", properties={})
    graph.add_node("alone", labels="", name="", properties={})
    return graph


class Recorder:
    """A proxy that answers one address and writes down every request."""

    def __init__(self, text):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                found = self.path == "http://picture.test/"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(text.encode() if found else b"")

            def do_CONNECT(self):
                asked.append(self.path)
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def by_the_page(self):
        """What was asked for, but for the browser's own calls to its makers."""
        return [address for address in self.asked if not any(host in address for host in MAKERS)]

    def shown(self, browse, profile):
        """The page's elements after its scripts have run."""
        proxy = f"--proxy-server=http://127.0.0.1:{self.server.server_port}"
        return browse(profile, WINDOW, proxy, "--dump-dom", "http://picture.test/")


def test_a_browser_draws_it_and_asks_for_nothing(browse, tmp_path):
    with Recorder(page(design(network(), "Tea & <more>"))) as recorder:
        shown = recorder.shown(browse, tmp_path)
    assert recorder.by_the_page() == ["http://picture.test/"]
    assert 'data-drawn="8 nodes, 9 relationships"' in shown
    assert "data-evil" not in shown
    for words in ("Category (6)", "Department (1)", "BOUGHT_WITH (6)", "Tea &amp; &lt;more&gt;"):
        assert words in shown


def test_the_recorder_would_see_a_request(browse, tmp_path):
    text = "<html><body><img src='http://elsewhere.test/x.png'></body></html>"
    with Recorder(text) as recorder:
        recorder.shown(browse, tmp_path)
    assert {"http://picture.test/", "http://elsewhere.test/x.png"} <= set(recorder.by_the_page())


def test_a_browser_paints_the_labels_colours(browse, tmp_path):
    draw(network(), tmp_path / "a.html", title="A picture")
    browse(tmp_path / "profile", WINDOW, f"--screenshot={tmp_path / 'a.png'}", (tmp_path / "a.html").as_uri())
    painted = _colours(tmp_path / "a.png")
    category, department = COLOURS[:2]
    assert painted[category] > 1000
    assert painted[department] > 100
    assert painted[COLOURS[2]] == 0


def _colours(path):
    """How many pixels have each of the palette's colours."""
    pixels = np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(int)
    wanted = {colour: [int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS}
    return {colour: int((np.abs(pixels - rgb).max(axis=-1) <= 2).sum()) for colour, rgb in wanted.items()}


def test_the_file_names_no_address():
    text = page(design(network(nodes=3)))
    before, _, after = text.partition("<script>/**")
    assert "://" not in before + after.partition("</script>")[2]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_still_pictures(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    draw(network(), path, title="A picture")
    first = path.read_bytes()
    if suffix == "svg":
        text = "".join(ET.parse(path).getroot().itertext())
        assert all(f"Category {i}" in text for i in range(6))
        assert "LEADS_TO 0.5" in text
    else:
        assert _colours(path)[COLOURS[0]] > 300
    draw(network(), path, title="A picture")
    assert path.read_bytes() == first


def test_colours_widths_and_words():
    made = design(network())
    nodes, edges = {node.id: node for node in made.nodes}, {edge.id: edge for edge in made.edges}
    assert {nodes[f"c{i}"].colour for i in range(6)} == {COLOURS[0]}
    assert (nodes["d"].colour, edges["r0"].colour, edges["again"].colour) == (COLOURS[1], *EDGE_COLOURS[:3:2])
    widths = [edges[f"r{i}"].width for i in range(6)]
    assert (widths[0], widths[-1]) == EDGE_WIDTHS
    assert widths == sorted(widths)
    assert {edges["r0"].turn, edges["again"].turn} == {0, 1}
    assert edges["again"].rows == [("probability", "0.5")]
    assert ("embedding", "99 values") in nodes["c1"].rows
    assert nodes["c0"].size > nodes["d"].size


def test_another_weight_may_be_named():
    graph = network()
    for i, (*_, data) in enumerate(graph.edges(data=True)):
        data["properties"]["support"] = 10 - i
    widths = {edge.id: edge.width for edge in design(graph, weight="support").edges}
    assert widths["r0"] > widths["r5"]


def test_a_legend_can_be_left_out():
    assert design(network(), explained=False).legend() == []
    assert ("node", "Category", COLOURS[0], 6) in design(network()).legend()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_no_two_nodes_lie_on_each_other(count, pairs):
    graph = nx.MultiDiGraph()
    graph.add_nodes_from((str(i), {"labels": "A", "name": str(i)}) for i in range(count))
    for one, other in pairs:
        if max(one, other) < count:
            graph.add_edge(str(one), str(other), f"{one}-{other}", type="R")
    places = np.array([node.at for node in design(graph).nodes])
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e9 * np.eye(count)
    assert np.isfinite(places).all()
    assert apart.min() > 20


def test_what_cannot_be_drawn_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no nodes to draw"):
        draw(nx.MultiDiGraph(), tmp_path / "a.html")
    many = nx.MultiDiGraph()
    many.add_nodes_from((str(i), {"labels": "A", "name": "x"}) for i in range(MOST_NODES + 1))
    with pytest.raises(InputError, match=r"2,001 nodes are too many[\s\S]*graphml"):
        draw(many, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"no picture format '\.gif'"):
        draw(network(), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_data_is_whole_in_the_page():
    text = page(design(network(), "x"))
    inside = text.partition('id="data">')[2].partition("</script>")[0]
    content = json.loads(inside)
    assert len(content["elements"]["nodes"]) == 8
    assert {edge["data"]["kind"] for edge in content["elements"]["edges"]} == {
        "BOUGHT_WITH",
        "LEADS_TO",
        "IN_DEPARTMENT",
    }
