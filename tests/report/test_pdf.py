"""The PDF: one page that says everything, can be searched, and is the same every time."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from pypdf import PdfReader

from lungapp import __version__, report
from lungapp.report import facts
from lungapp.report.answers import NORMAL_OR_BENIGN, NOT_TESTED
from lungapp.results import Analysis, Faithfulness, Finding, QualityReport
from lungapp.slices import Slice
from tests.report.samples import CARDS, CREATED, LONG, REJECTED

KINDS = ["one", "all", "grey", "blank", "rejected", "overridden", "all overridden"]


def read(data: bytes) -> str:
    """The text of the only page, on one line."""
    [page] = PdfReader(io.BytesIO(data)).pages
    assert [round(float(end)) for end in page.mediabox] == [0, 0, 595, 842], "A4"
    return " ".join(page.extract_text().split())


def to_text(analysis: Analysis) -> str:
    return read(report.to_pdf(analysis, CARDS, CREATED))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_it_must(analyses: dict[str, Analysis], kind: str) -> None:
    analysis, text = analyses[kind], to_text(analyses[kind])
    for must in (report.NOTICE, "2026-03-04 05:06:07 UTC", f"LungApp {__version__}", *facts.CAVEATS):
        assert must in text
    for finding in analysis.quality.findings:
        assert finding.message in text
    assert (facts.OVERRIDDEN in text) == analysis.overridden
    assert (facts.REJECTED in text) == (kind == "rejected")


def test_what_a_map_is_worth_is_in_it(analyses: dict[str, Analysis]) -> None:
    found = Faithfulness(0.1, 0.97, 0.52, (0.02, 0.04))
    for kind in ("one", "overridden"):
        map_ = replace(analyses[kind].maps[0], method="layercam", faithfulness=found)
        text = to_text(replace(analyses[kind], maps=(map_,)))
        assert "Attention (Layer-CAM) of Advanced CNN for malignant" in text
        assert (
            "malignant 97.0 %, with the hottest 10 % of what it saw blurred 45.0 %, with other parts blurred 94.0 % on "
            "average: the map marks what the model relied on"
        ) in text


def test_a_map_that_failed_its_test_is_not_in_it_and_the_page_says_so(analyses: dict[str, Analysis]) -> None:
    failed = replace(analyses["one"].maps[0], faithfulness=Faithfulness(0.1, 0.97, 0.01, (0.02, 0.04)))
    analysis = replace(analyses["one"], maps=(failed,))
    text = to_text(analysis)
    assert "This answer has no map that holds" in text
    assert "High attention" not in text
    assert "It failed its test" in to_text(analysis.insist())


def test_one_model(analyses: dict[str, Analysis]) -> None:
    text = to_text(analyses["one"])
    for must in (
        "ANSWER: ADVANCED CNN",
        "Malignant Cannot be excluded at 90 %: malignant.",
        "94 % of 212 slices with this answer and a malignant probability from 50 % to 100 % were malignant (95 % "
        "interval 89 % to 97 %)",
        "0.4 %",
        "2.6 %",
        "97.0 %",
        "c" * 64,
        "90.0 % 20.0 % / 20.0 % / 20.0 %",
        "0.7 x 0.6",
        "Computed in float32.",
    ):
        assert must in text
    fast = replace(analyses["one"].predictions[0], precision="bf16")
    assert "Computed in bfloat16" in to_text(replace(analyses["one"], predictions=(fast,)))
    assert "72.0 % of the attention inside the lungs" in text
    assert "2 identifying attributes" in text
    assert "Patient" not in text


def test_all_models(analyses: dict[str, Analysis]) -> None:
    text = to_text(analyses["all"])
    for place, name in zip("abc", ("Basic CNN", "ResNet-50", "Advanced CNN"), strict=True):
        assert f"{name} {place * 64}" in text
    assert "ANSWER: MEAN OF ALL MODELS" in text
    assert "Undecided Cannot be excluded at 90 %: normal, benign, malignant." in text
    assert "they do not give the same answer" in text
    assert NORMAL_OR_BENIGN in text, "which one of them says"


def test_a_rejected_slice_has_no_scores(analyses: dict[str, Analysis]) -> None:
    text = to_text(analyses["rejected"])
    assert "ANSWER" not in text
    assert not re.search(r"\d %", text.replace(report.NOTICE, ""))


def test_long_findings_are_cut_and_stay_on_one_page(analyses: dict[str, Analysis]) -> None:
    findings = tuple(Finding("colour", "reject", f"{number}: " + 9 * LONG + "x" * 300) for number in range(9))
    text = to_text(replace(analyses["all overridden"], quality=QualityReport(findings)))
    assert "..." in text
    assert "And 4 more, which the JSON report has." in text
    for must in (*facts.CAVEATS, "Page 1 of 1"):
        assert must in text


@pytest.mark.parametrize("shape", [(128, 900), (900, 128), (1, 1)])
def test_any_shape_fits(shape: tuple[int, int]) -> None:
    assert "Page 1 of 1" in to_text(Analysis(Slice(np.zeros(shape), "HU"), REJECTED, "all"))


def test_without_cards_nothing_is_made_up(analyses: dict[str, Analysis]) -> None:
    text = read(report.to_pdf(analyses["one"], (), CREATED))
    assert text.count("not stated") == 3
    assert NOT_TESTED in text


def test_it_is_the_same_in_every_thread_and_names_nobody(analyses: dict[str, Analysis]) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: report.to_pdf(analyses["one"], CARDS, CREATED), range(3)))
    assert made[0] == made[1] == made[2]
    metadata = PdfReader(io.BytesIO(made[0])).metadata
    assert set(metadata) == {"/Title", "/Creator", "/Producer", "/CreationDate"}
    assert metadata["/CreationDate"].startswith("D:20260304050607")


def test_fonts_are_embedded_as_truetype(analyses: dict[str, Analysis]) -> None:
    [page] = PdfReader(io.BytesIO(report.to_pdf(analyses["one"], CARDS))).pages
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].get_object().values()]
    assert fonts
    for font in fonts:
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        assert inner["/Subtype"] in ("/TrueType", "/CIDFontType2")
        assert "/FontFile2" in inner["/FontDescriptor"]


def test_percent_never_reaches_certainty() -> None:
    shown = [facts.percent(share) for share in (0, 0.0004, 0.0016, 0.5, 0.99951, 1)]
    assert shown == ["0.0 %", "under 0.1 %", "0.2 %", "50.0 %", "over 99.9 %", "100.0 %"]
