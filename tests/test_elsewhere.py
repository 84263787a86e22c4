"""The benchmark on patients from elsewhere: a made-up patient with a reader's boxes, and an engine that is none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import elsewhere
from examples.phantoms import phantom
from lungapp.cards import ENSEMBLE
from lungapp.registry import MODELS
from lungapp.results import Finding, QualityReport
from tests.fakes import FakeEngine
from tests.series_files import write_slice

NAMES = [*(spec.name for spec in MODELS), ENSEMBLE]
LESION = (1, 2)
"""Places of the slices that a reader drew a box into, out of six."""

BOX = (60, 80, 100, 120)
"""Left, top, right, bottom."""


class Reader(FakeEngine):
    """Gives the slices the malignant probabilities ``scores`` in their order, and a map hottest at ``hottest``."""

    def __init__(self, scores: list[float], hottest: tuple[int, int] | None = (100, 80), out: str = "") -> None:
        """``out`` is why the fourth slice is left out: "rejected" or "little_lung"."""
        super().__init__()
        self.scores, self.hottest, self.out, self.asked = scores, hottest, out, 0

    def analyse(self, item, model="all", target="malignant", **_):
        place, self.asked = self.asked, self.asked + 1
        analysis = super().analyse(item, model, target, override=True)
        malignant = self.scores[place]
        scores = np.array([0.5 * (1 - malignant), 0.5 * (1 - malignant), malignant])
        values = np.zeros((item.rows, item.columns), np.float32)
        if self.hottest:
            values[self.hottest] = 1
        out = self.out if place == 3 else ""
        answers = tuple(replace(answer, probabilities=scores) for answer in analysis.predictions)
        return replace(
            analysis,
            predictions=() if out == "rejected" else answers,
            ensemble=replace(analysis.ensemble, probabilities=scores),
            maps=tuple(replace(one, values=values) for one in analysis.maps),
            quality=QualityReport((Finding("little_lung", "warn", ""),) if out == "little_lung" else ()),
        )


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A folder with dicom/ in it: one patient with annotations, and one without, who is passed over."""
    root = tmp_path_factory.mktemp("samples")
    pixels = np.rint(phantom("mass", seed=5, size=256)).astype(np.int16)
    for name, count in (("A0001", 6), ("unread", 1)):
        folder = root / "dicom" / name
        folder.mkdir(parents=True)
        for place in range(count):
            (folder / f"{place}.dcm").write_bytes(write_slice(pixels, place))
    left, top, right, bottom = BOX
    box = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    for place in LESION:
        text = f"<annotation><object><bndbox>{box}</bndbox></object></annotation>"
        (root / "dicom" / "A0001" / f"1.2.3.8.{place + 1}.xml").write_text(text)
    return root


def test_slices_with_a_lesion_are_ranked_within_the_patient(samples):
    figures = elsewhere.examine(Reader([0.1, 0.9, 0.4, 0.6, 0.2, 0.3]), samples / "dicom" / "A0001")
    assert list(figures) == NAMES
    for name, row in figures.items():
        assert (row["slices"], row["lesion_slices"]) == (6, 2)
        assert row["auc"] == pytest.approx(7 / 8, abs=1e-3), "one of the eight pairs is the wrong way round"
        assert row["top_five"] == 2
        assert ("map_hits" in row) == (name != ENSEMBLE)


def test_of_the_five_most_suspicious_some_show_no_lesion(samples):
    figures = elsewhere.examine(Reader([0.5, 0.1, 0.6, 0.7, 0.8, 0.9]), samples / "dicom" / "A0001")
    assert {row["top_five"] for row in figures.values()} == {1}


@pytest.mark.parametrize(
    ("hottest", "hits"), [((100, 80), 2), ((128, 80), 2), ((131, 80), 0), ((80, 100), 2), ((0, 0), 0)]
)
def test_a_map_hits_in_the_box_grown_by_half(samples, hottest, hits):
    """Rows 80 to 120 grown by half are 70 to 130, columns 60 to 100 are 50 to 110."""
    figures = elsewhere.examine(Reader([0.5] * 6, hottest), samples / "dicom" / "A0001")
    assert {row["map_hits"] for name, row in figures.items() if name != ENSEMBLE} == {hits}


def test_a_blank_map_hits_nothing(samples):
    figures = elsewhere.examine(Reader([0.5] * 6, None), samples / "dicom" / "A0001")
    assert figures[MODELS[0].name]["map_hits"] == 0


@pytest.mark.parametrize("out", ["rejected", "little_lung"])
def test_slices_without_an_answer_or_with_little_lung_are_left_out(samples, out):
    figures = elsewhere.examine(Reader([0.1, 0.9, 0.4, 0.6, 0.2, 0.3], out=out), samples / "dicom" / "A0001")
    assert {(row["slices"], row["auc"]) for row in figures.values()} == {(5, 1.0)}


def test_the_figures_are_written_where_cards_and_pages_have_them(samples, tmp_path, monkeypatch, capsys):
    page = tmp_path / "elsewhere.md"
    page.write_text("before\n<!-- elsewhere: start -->\nold\n<!-- elsewhere: end -->\nafter\n")
    monkeypatch.setattr(elsewhere, "Engine", lambda: Reader([0.1, 0.9, 0.4, 0.6, 0.2, 0.3]))
    monkeypatch.setattr(elsewhere, "FILE", tmp_path / "elsewhere.json")
    monkeypatch.setattr(elsewhere, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["elsewhere", "--samples", str(samples), "--write"])
    assert elsewhere.main() == 0
    rows = json.loads((tmp_path / "elsewhere.json").read_text())
    patients = {name: [row["patient"] for row in of_model] for name, of_model in rows.items()}
    assert patients == {name: ["A0001"] for name in NAMES}
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before\n<!-- elsewhere: start -->\n| Model |")
    assert text.endswith("\n<!-- elsewhere: end -->\nafter\n")
    assert "| `basic_cnn` | A0001 | 6, 2 | 0.88 | 2 of 2 | 2 |" in text
    assert "| `ensemble` | A0001 | 6, 2 | 0.88 | - | 2 |" in text
    assert elsewhere.render(rows) in capsys.readouterr().out


def test_without_samples_it_says_what_it_wants(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["elsewhere", "--samples", str(tmp_path)])
    assert elsewhere.main() == 2
    assert "Expected a folder with dicom/ in it" in capsys.readouterr().err
