"""The Performance tab without a server, on made-up cards: what it shows is what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from lungapp.registry import MODELS
from lungapp.ui import EXAMPLES, charts, models, performance
from lungapp.ui.charts import COLOURS, Dot, Line, draw_dots, draw_lines
from lungapp.ui.evidence import PIECES, model_evidence
from lungapp.ui.figures import PROTOCOLS
from lungapp.ui.models import titles
from tests.made_up import full_card, full_records

NAMES = list(full_records())


def rows_of(html: str) -> dict[str, list[str]]:
    """The cells of a table's rows as text, by their heads."""
    found = {}
    for row in re.findall(r"<tr[^>]*><th scope=\"row\">(.*?)</tr>", html):
        head, *cells = (
            " ".join(unescape(re.sub(r"<[^>]*>", " ", part)).split()) for part in re.split("</th>|</td>", row)[:-1]
        )
        found[head] = cells
    return found


def said_by_charts(html: str) -> list[str]:
    """The words of each chart for readers who do not see it."""
    return [unescape(words) for words in re.findall(r'role="img" aria-label="([^"]*)"', html)]


def changed(card: dict[str, Any], *keys: str, value: Any) -> dict[str, Any]:
    """``card`` with another value under nested ``keys``."""
    if not keys:
        return value
    return {**card, keys[0]: changed(card.get(keys[0]) or {}, *keys[1:], value=value)}


def without(card: Any, *keys: str) -> Any:
    """``card`` without what stands under nested ``keys``."""
    kept = {key: value for key, value in card.items() if key != keys[0]}
    return kept if len(keys) == 1 else {**kept, keys[0]: without(card[keys[0]], *keys[1:])}


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_the_comparison_gives_models_ensemble_and_baselines(protocol: str) -> None:
    records = full_records()
    rows = rows_of(performance.comparison(protocol, records))
    models = ["Basic CNN", "ResNet-50", "Advanced CNN", "Ensemble"]
    assert list(rows) == [*models, "Nearest neighbour", "Grey statistics", "Features of everyday pictures"]
    for name, title in titles(records).items():
        figures = records[name]["metrics"][protocol]
        for cell, metric in zip(rows[title], performance.OVERVIEW, strict=True):
            value, (low, high) = figures[metric]["value"], figures[metric]["interval"]
            if metric == "auc_malignant":
                assert cell == f"{value:.3f} {low:.2f}\u2013{high:.2f}"
            else:
                assert cell.replace("over 99", "99") == (f"{100 * value:.0f} % {100 * low:.0f}\u2013{100 * high:.0f} %")
    assert [cells[0].split()[0] for cells in list(rows.values())[4:]] == (
        ["59", "79", "71"] if protocol == "grouped" else ["over", "96", "90"]
    )


def test_figures_of_an_earlier_input_are_told_as_such() -> None:
    records = full_records()
    said = "Some of these figures are of an earlier model input"
    assert said not in performance.comparison("image_level", records)
    records["resnet50"] = changed(records["resnet50"], "metrics", "image_level", "earlier", value=True)
    assert said in performance.comparison("image_level", records)
    assert said not in performance.comparison("grouped", records)


def test_the_paragraph_on_why_speaks_the_baselines_own_figures() -> None:
    text = performance.why(full_records())
    assert (
        "is right on over 99 % of randomly split slices and on 59 % with similar slices kept apart. What lies" in text
    )
    assert "are right on 79 % even then (AUC for malignant 0.929)" in text
    # Balanced accuracies 0.71, 0.74, 0.77, 0.80 against 0.73; AUCs 0.923, 0.933, 0.943, 0.953 against 0.929.
    holds = "for ResNet-50, Advanced CNN and Ensemble"
    assert f"That holds by balanced accuracy {holds}; by AUC for malignant {holds}." in text


def test_the_paragraph_does_not_claim_what_the_figures_deny() -> None:
    records = {"basic_cnn": full_card("basic_cnn", 0.6)}
    assert "That holds by balanced accuracy for none of the models; by AUC" in performance.why(records)
    baselines = records["basic_cnn"]["baselines"]
    equal = {"nearest_neighbour": dict.fromkeys(PROTOCOLS, baselines["nearest_neighbour"]["grouped"])}
    text = performance.why({"basic_cnn": changed(records["basic_cnn"], "baselines", value=equal)})
    assert "59 % of randomly split slices and on 59 %" in text
    assert "memory" not in text
    assert "That holds" not in text, "one baseline is not all"
    assert not re.search(r"\d", performance.why({})), "no figure without a card"


def test_a_missing_figure_says_so_and_an_empty_page_holds() -> None:
    records = {"resnet50": without(full_card("resnet50"), "metrics", "grouped", "accuracy")}
    records = {"resnet50": without(records["resnet50"], "baselines")}
    rows = rows_of(performance.comparison("grouped", records))
    assert rows["ResNet-50"][0] == "not measured"
    assert rows["Nearest neighbour"] == ["not measured"] * 3
    assert "<h2>" in performance.overview({})
    assert "Not measured" in model_evidence("X", {})


def test_a_full_card_is_shown_whole() -> None:
    card = full_card("resnet50", 0.8)
    text = model_evidence("ResNet-50", card)
    assert "Not measured" not in text
    rows = rows_of(text)
    for part in ("Calibration error, lower is better", "Brier score, lower is better"):
        assert part in rows
    assert rows["Tested slices"] == ["1,054", "1,054", "211"]
    assert rows["Accuracy"] == ["80 % 75\u201383 %", "98 % 93\u2013100 %", "78 % 73\u201381 %"]
    assert rows["Answers that held the true class"] == ["92 % 88\u201395 %"]
    assert rows["Of these decisions, right"] == ["94 % 90\u201397 %"]
    assert rows["P2"] == ["0.41", "6 of 9", "4 of 5", "9 of 40"]
    assert rows["Malignant malignant from 50 % to 100 %"] == ["94 % were malignant 89\N{EN DASH}97 %", "212 31"]
    assert rows["Not malignant malignant from 0 % to 20 %"][0] == "90 % were not malignant 85\N{EN DASH}93 %"
    assert rows["Undecided malignant from 20 % to 80 %"][0] == "40 % were malignant 35\N{EN DASH}43 %"
    assert "at least 90 % of the slices of each class" in text
    assert "set on 1,054 slices in 117 groups" in text
    for fact in ("<dt>Malignant excluded below</dt><dd>20 %</dd>", "<dd>1.37</dd>"):
        assert fact in text
    assert rows["malignant"] == ["9 2 %", "15 3 %", "512 96 %"]


def test_every_chart_says_its_result() -> None:
    roc, reliability, audit = said_by_charts(model_evidence("ResNet-50", full_card("resnet50", 0.8)))
    assert roc == (
        "ROC curve of ResNet-50 for malignant against the rest. "
        "Similar slices kept apart: area 0.933; Random split: area 0.993."
    )
    assert "Similar slices kept apart: calibration error 0.100, too sure for 100 % of the slices" in reliability
    assert "Random split: calibration error 0.01" in reliability
    assert "The slice as it is 0.970" in audit
    assert "JPEG, medium quality 0.770" in audit


def test_the_audit_shows_its_words_and_figures_also_of_a_change_it_does_not_know() -> None:
    card = full_card("resnet50")
    card["audit"]["conditions"]["salt_and_pepper"] = {"auc_malignant": 0.66}
    text = model_evidence("ResNet-50", card)
    assert '<li lang="en">It leans on noise.</li><li lang="en">Blur costs it little.</li>' in text
    assert rows_of(text)["Salt and pepper"] == ["0.660", "not measured", "not measured", "not measured"]
    assert rows_of(text)["Only the lungs"] == ["0.950", "not measured", "70 %", "78 %"]
    assert "Others: Salt and pepper 0.660." in said_by_charts(text)[-1]


def test_words_from_the_right_keep_their_order_in_a_chart() -> None:
    dots = {"AUC \u0645": [Dot("JPEG \u0628", 0.9, "0.900")], "AUC": [Dot("JPEG", 0.9, "0.900")]}
    shown = re.findall(r">([^<>]+)</text>", draw_dots("words", dots, "1 - \u0646", 0.5))
    for text in ("AUC \u0645", "JPEG \u0628", "1 - \u0646"):
        assert f"\N{RIGHT-TO-LEFT ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}" in shown
    assert {"AUC", "JPEG", "0.900"} <= set(shown)


def test_an_ensemble_has_no_temperature_and_answers_may_be_untested() -> None:
    text = model_evidence("E", full_records()["ensemble"])
    assert "What its answers promise" in text
    assert "Temperature" not in text
    bare = changed(full_card("resnet50"), "calibration", "evidence", value=[])
    assert "How often its answers held was not measured." in model_evidence("X", bare)


PATHS = [
    ("metrics",), ("calibration",), ("baselines",), ("audit",), ("labels",), ("metrics", "grouped"),
    ("metrics", "grouped", "roc"), ("metrics", "grouped", "roc", "true_positive_rate"),
    ("metrics", "grouped", "confusion_matrix"), ("metrics", "grouped", "reliability"),
    ("metrics", "grouped", "shipped_fold"), ("metrics", "elsewhere"), ("calibration", "temperature"),
    ("calibration", "thresholds"), ("calibration", "thresholds", "benign"), ("calibration", "level"),
    ("calibration", "evidence"), ("calibration", "slices"), ("calibration", "coverage"),
    ("audit", "conditions"), ("audit", "conditions", "clean"), ("audit", "words"),
]  # fmt: skip


@pytest.mark.parametrize("value", [None, "x", [None], float("nan")], ids=repr)
def test_any_piece_may_be_missing_or_nonsense(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "draw", lambda fill, height, words: fill(Figure()) or words)  # writing SVG takes long
    card = full_card("resnet50")
    whole = model_evidence("ResNet-50", card)
    for path in PATHS:
        broken = changed(card, *path, value=value)
        assert not re.search(r"\bnan\b|\bNone\b", performance.overview({"resnet50": broken})), path
        text = model_evidence("ResNet-50", broken)
        assert len(text) <= len(whole), path
        assert not re.search(r">nan\b|\bNone\b", text), path


def test_pieces_that_are_missing_are_named() -> None:
    text = model_evidence("Ensemble", full_records()["ensemble"])
    assert "Not measured, or not on this card: shortcut audit." in text
    assert f"Not measured, or not on this card: {', '.join(PIECES)}." in model_evidence("X", {})


def test_what_a_card_says_is_escaped() -> None:
    evil = "<script>alert(1)</script>$x_"
    card = full_card("resnet50") | {"labels": [evil, evil, "malignant"]}
    card["audit"]["words"] = [evil]
    card["audit"]["conditions"][evil] = {"auc_malignant": 0.5}
    card["metrics"]["elsewhere"][0]["patient"] = evil
    text = model_evidence(evil, card) + performance.overview({"resnet50": card})
    assert "&lt;script&gt;" in text
    assert "<script" not in text.lower()


def test_charts_follow_the_theme_and_leave_the_page_alone() -> None:
    line = Line("a", [0, 1], [0, 1], sizes=[9, 9])
    for svg in (
        draw_lines('"quoted"', [line, Line("b", [0, 1], [1, 0], True)], "x", "y"),
        draw_dots('"quoted"', {"group": [Dot("name", 0.7, "0.700")]}, "x", 0.5),
    ):
        root = ElementTree.fromstring(svg.replace("xlink:", ""))
        assert (root.get("role"), root.get("aria-label")) == ("img", '"quoted"')
        assert "<style" not in svg
        assert "font-family" not in svg
        assert not any(stand_in in svg for stand_in, _ in COLOURS.values())
        assert not re.search(r"#[0-9a-f]{6}\b", svg), "every colour is the page's own"
        assert not re.search(r'<g id="', svg)


def test_a_dot_below_chance_is_inside_the_chart() -> None:
    svg = draw_dots("", {"group": [Dot("name", 0.2, "0.200")]}, "x", 0.5)
    places = [float(x) for x in re.findall(r'<use [^>]*x="([\d.]+)"', svg)]
    assert min(places) > 0
    assert ">0.2<" in svg


def test_a_models_charts_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(performance, "model_evidence", lambda title, card: drawn.append(title) or title)
    show = performance.drawer(full_records())
    assert drawn == []
    assert [show("resnet50"), show("ensemble"), show("resnet50")] == ["ResNet-50", "Ensemble", "ResNet-50"]
    assert drawn == ["ResNet-50", "Ensemble"]


def test_the_models_tab_tells_of_the_ensemble_and_its_members() -> None:
    html = models.all_models(full_records())
    assert f"<dd>{', '.join(spec.title for spec in MODELS)}</dd>" in html
    assert "<dd>0123456789ab…\N{LEFT-TO-RIGHT MARK}</dd>" in html
    assert "<h3>Ensemble</h3>" not in models.all_models({})


def test_the_page_opens_without_drawing() -> None:
    code = (
        "import sys; from tests.made_up import MeasuredEngine; from lungapp.ui import build_demo; "
        "build_demo(MeasuredEngine()); sys.exit('matplotlib.figure' in sys.modules or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES.parent, check=True, timeout=300)
