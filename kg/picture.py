"""Pictures of networks: interactive in a browser (HTML), still for documents (PNG, SVG).

The HTML file is whole in itself: it carries Cytoscape.js 3.34.4 (MIT licence, unchanged in ``cytoscape.min.js``),
opens without a network, and asks for nothing from anywhere. Drag nodes, zoom with the wheel, hover for properties,
click for a node's neighbourhood, click on the legend to hide a label or type.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx

from errors import InputError
from kg.drawing import Drawing, DrawnEdge, DrawnNode, design
from kg.output import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".html", ".png", ".svg")
DOTS_PER_INCH = 110
UNITS_PER_INCH = 95.0
NARROWEST, WIDEST = 6.0, 14.0
MARGIN = 70.0
WORDS = 0.9  # inches above and below for title and legend
LIBRARY = "cytoscape.min.js"


def draw(graph: nx.MultiDiGraph, path: Path, title: str = "", weight: str = "", explained: bool = True) -> None:
    """Draw a network into a file, whole or not at all; the format is the suffix's.

    Args:
        graph: as ``kg.explore`` makes it.
        path: ends in ``.html``, ``.png`` or ``.svg``.
        title: above the picture.
        weight: see ``kg.drawing.design``.
        explained: whether there shall be a legend.

    Raises:
        InputError: another suffix, nothing or too much to draw, or the file cannot be written.
    """
    if path.suffix not in FORMATS:
        remedy = f"Use one of {', '.join(FORMATS)}."
        raise InputError(f"there is no picture format {path.suffix!r}", where=str(path), remedy=remedy)
    drawing = design(graph, title, weight, explained=explained)
    if path.suffix == ".html":
        save(path, lambda temporary: _write_text(temporary, page(drawing)))
    else:
        save(path, lambda temporary: _save_figure(figure(drawing), temporary, path.suffix[1:]))


def page(drawing: Drawing) -> str:
    """The drawing as one HTML page."""
    from jinja2 import Environment
    from markupsafe import Markup

    room = resources.files("kg")
    template = Environment(autoescape=True).from_string(room.joinpath("drawing.html").read_text(encoding="utf-8"))
    return template.render(
        title=drawing.title or "graph",
        data=Markup(_script_json(_content(drawing))),
        library=Markup(room.joinpath(LIBRARY).read_text(encoding="utf-8")),
    )


def figure(drawing: Drawing) -> Figure:
    """The drawing as a matplotlib figure, without any window."""
    from matplotlib.figure import Figure

    xs, ys = [node.at[0] for node in drawing.nodes], [node.at[1] for node in drawing.nodes]
    left, right, top, bottom = min(xs) - MARGIN, max(xs) + MARGIN, min(ys) - MARGIN, max(ys) + MARGIN
    per_inch = max(UNITS_PER_INCH, (right - left) / WIDEST, (bottom - top) / WIDEST)
    width, height = max(NARROWEST, (right - left) / per_inch), (bottom - top) / per_inch + WORDS
    made = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    axes = made.add_axes((0, WORDS / height / 2, 1, 1 - WORDS / height))
    middle = (left + right) / 2
    axes.set(xlim=(middle - width * per_inch / 2, middle + width * per_inch / 2), ylim=(bottom, top))
    axes.axis("off")
    at = {node.id: node for node in drawing.nodes}
    for edge in drawing.edges:
        _draw_edge(axes, edge, at, drawing.labels_edges)
    for node in drawing.nodes:
        _draw_node(axes, node)
    _draw_legend(made, drawing)
    made.text(0.02, 1 - 0.05 / height, drawing.title, fontsize=10, va="top", wrap=True)
    return made


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _save_figure(made: Figure, path: Path, kind: str) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "crossaisle", "svg.fonttype": "none"}):
        made.savefig(path, format=kind, metadata={"Date": None} if kind == "svg" else None, facecolor="white")


def _script_json(content: dict[str, Any]) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _content(drawing: Drawing) -> dict[str, Any]:
    number = {node.id: f"n{i}" for i, node in enumerate(drawing.nodes)}
    nodes = [
        {
            "data": {
                **{"id": number[node.id], "name": node.name, "kind": node.kind, "colour": node.colour},
                **{"size": node.size, "title": f"{node.kind} {node.title}", "rows": node.rows},
            },
            "position": {"x": node.at[0], "y": node.at[1]},
        }
        for node in drawing.nodes
    ]
    edges = [
        {
            "data": {
                **{"id": f"e{i}", "source": number[edge.source], "target": number[edge.target], "name": edge.name},
                **{
                    "kind": edge.kind,
                    "colour": edge.colour,
                    "width": edge.width,
                    "title": edge.name,
                    "rows": edge.rows,
                },
            }
        }
        for i, edge in enumerate(drawing.edges)
    ]
    legend = [
        {"group": group, "name": kind, "colour": colour, "count": count}
        for group, kind, colour, count in drawing.legend()
    ]
    return {"elements": {"nodes": nodes, "edges": edges}, "legend": legend, "edgeLabels": drawing.labels_edges}


def _draw_edge(axes: Axes, edge: DrawnEdge, at: dict[str, DrawnNode], labelled: bool) -> None:
    from matplotlib.patches import FancyArrowPatch

    one, other = at[edge.source], at[edge.target]
    bend = 0.15 * ((edge.turn + 1) // 2) * (1 if edge.turn % 2 else -1)
    start, end = one.at, other.at
    if loop := edge.source == edge.target:
        reach, bend = one.size * 0.35, -1.5 - 0.9 * edge.turn
        start, end = (start[0] - reach, start[1] - reach * 0.6), (start[0] + reach, start[1] - reach * 0.6)
    arrow = FancyArrowPatch(
        start,
        end,
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle="-|>",
        mutation_scale=9,
        linewidth=edge.width * 0.6,
        color=edge.colour,
        alpha=0.7,
        shrinkA=0 if loop else one.size * 0.3,
        shrinkB=0 if loop else other.size * 0.3 + 1,
        zorder=1,
    )
    axes.add_patch(arrow)
    if labelled:
        across, down = (end[1] - start[1], end[0] - start[0])
        place = ((start[0] + end[0] - bend * across) / 2, (start[1] + end[1] + bend * down) / 2)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.text(*place, edge.name, fontsize=6.5, color="#444", ha="center", va="center", bbox=box, zorder=2)


def _draw_node(axes: Axes, node: DrawnNode) -> None:
    axes.scatter(*node.at, s=(node.size * 0.6) ** 2, c=node.colour, edgecolors="#333", linewidths=0.6, zorder=3)
    axes.annotate(
        node.name, node.at, xytext=(0, -node.size * 0.3 - 2), textcoords="offset points", fontsize=7,
        ha="center", va="top", zorder=4, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.4},
    )  # fmt: skip


def _draw_legend(made: Figure, drawing: Drawing) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linewidth=0 if group == "node" else 2.5, marker="o" if group == "node" else "",
               label=f"{kind or 'unknown'} ({count:,})")
        for group, kind, colour, count in drawing.legend()
    ]  # fmt: skip
    if not handles:
        return
    columns = max(1, min(len(handles), int(made.get_figwidth() / 1.5)))
    made.legend(handles=handles, fontsize=7, frameon=False, ncols=columns, loc="lower left")
