"""The audit in pictures: every condition on a phantom, and the cards' figures. No slice of the dataset is shown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import MODELS
from train.conditions import CONDITIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parent.parent
PHANTOM = ROOT / "examples" / "phantom-mass.png"
PICTURES = ROOT / "docs" / "images" / "audit.png"
FIGURES_PICTURE = ROOT / "docs" / "images" / "audit-figures.png"

CHANCE = 0.5


def condition_groups() -> dict[str, dict[str, str]]:
    """Group → condition code → name, as on the page."""
    from lungapp.ui.audit import GROUPS  # not above: the page's package loads Gradio, which training does without

    return GROUPS


def draw_conditions(path: Path) -> None:
    """Draw what every condition makes of a committed phantom."""
    batch = to_input(read_slice(PHANTOM), MODELS[0])[None]
    names = [(code, name) for members in condition_groups().values() for code, name in members.items()]
    figure = Figure(figsize=(12, 8), layout="constrained", facecolor="white")
    panels = figure.subplots(3, 5).ravel()
    for axes, (code, name) in zip(panels, names, strict=True):
        axes.imshow(CONDITIONS[code](batch)[0, ..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set_title(textwrap.fill(name, 24), fontsize=10, y=1)
        axes.axis("off")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=80)


def plot_audit(cards: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the malignant AUC of each audited model under each condition, from the cards; nothing where none has one.

    Filled: the shipped weights. Hollow: those before training was changed.
    """
    audited = [card for card in cards if "audit" in card]
    if not audited:
        return
    rows, titles = _rows()
    figure = Figure(figsize=(2.6 + 2.6 * len(audited), 6.5), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(audited), sharey=True, squeeze=False)[0]
    for axes, card in zip(panels, audited, strict=True):
        _dots(axes, card["audit"], {code: place for code, _, place in rows})
        axes.set(title=card.get("title", card["name"]), xlabel="Malignant AUC", xlim=(0, 1.03))
    panels[0].set_yticks([place for *_, place in rows] + [place for _, place in titles])
    panels[0].set_yticklabels([name for _, name, _ in rows] + [title for title, _ in titles])
    for label in panels[0].get_yticklabels()[len(rows) :]:
        label.set_fontweight("bold")
    panels[0].set_ylim(rows[-1][-1] + 0.8, -0.8)
    panels[-1].legend(loc="lower left", fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)


def _rows() -> tuple[list[tuple[str, str, int]], list[tuple[str, int]]]:
    """(code, name, place) of every condition, and (title, place) of every group above its own."""
    rows, titles, place = [], [], 0
    for title, members in condition_groups().items():
        titles.append((title, place))
        for code, name in members.items():
            place += 1
            rows.append((code, name, place))
        place += 1
    return rows, titles


def _dots(axes: Axes, audit: Mapping[str, Any], places: Mapping[str, int]) -> None:
    stages = {"before": audit.get("before", {}).get("conditions", {}), "shipped weights": audit.get("conditions", {})}
    values = {
        stage: {
            code: found[code]["auc_malignant"]
            for code in places
            if found.get(code, {}).get("auc_malignant") is not None
        }
        for stage, found in stages.items()
    }
    axes.axvline(CHANCE, color="grey", linewidth=0.8, linestyle=":")
    for code in values["before"].keys() & values["shipped weights"].keys():
        pair = [own[code] for own in values.values()]
        axes.plot(pair, [places[code]] * 2, color="tab:blue", linewidth=1, alpha=0.5)
    for (stage, own), face in zip(values.items(), ("white", "tab:blue"), strict=True):
        if own:
            heights = [places[code] for code in own]
            axes.scatter(list(own.values()), heights, s=36, c=face, edgecolors="tab:blue", label=stage, zorder=3)
    axes.grid(alpha=0.3)
