"""What the series tab makes of a run: told as it goes, cancelled, failed, and in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lungapp.errors import WeightsMissing
from lungapp.reading import Limits
from lungapp.report import NOTICE
from lungapp.report.answers import series_headline, series_in_words
from lungapp.results import Finding, QualityReport, SeriesAnalysis
from lungapp.series import aggregate
from lungapp.settings import Settings
from lungapp.ui import series as tab
from lungapp.ui import series_panels as panels
from lungapp.ui.language import speaking
from lungapp.ui.messages import UNEXPECTED
from lungapp.ui.opened import open_upload
from lungapp.ui.series_run import SUSPICIOUS, Finished, Session, run_series
from lungapp.ui.series_table import HEADS, table
from tests.fakes import BrokenEngine, FakeEngine
from tests.series_files import phantom_series


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "series.zip"
    path.write_bytes(phantom_series(10, 160))
    return path


@pytest.fixture
def session(archive: Path) -> Iterator[Session]:
    session = Session(open_upload([archive], Limits()))
    yield session
    session.close()


@pytest.fixture
def done(session: Session) -> Finished:
    last = list(run_series(FakeEngine(), session, 0, "all"))[-1]
    assert isinstance(last, Finished)
    return last


def test_a_run_tells_how_far_it_is_and_ends_with_its_result(session: Session) -> None:
    *told, last = run_series(FakeEngine(), session, 0, "resnet50")
    assert told == [8]
    assert isinstance(last, Finished)
    assert [row.number for row in last.series.rows] == list(range(1, 11))
    assert len(last.suspicious) == SUSPICIOUS
    assert [row.number for row, _ in last.suspicious] == [row.number for row in last.series.most_suspicious(SUSPICIOUS)]
    assert {analysis.maps[0].target for _, analysis in last.suspicious} == {"malignant"}
    assert last.series.set_aside


def test_a_run_says_that_it_waits_for_the_models(session: Session) -> None:
    class Loading(FakeEngine):
        def states(self) -> dict[str, tuple[str, str]]:
            return dict.fromkeys(super().states(), ("loading", ""))

    assert "The models are being loaded" in next(tab._runner(Loading())(session, 0, "resnet50"))[2]
    assert "The models are being loaded" not in next(tab._runner(FakeEngine())(session, 0, "resnet50"))[2]


def test_a_cancelled_run_keeps_its_rows_and_says_so(session: Session) -> None:
    run = run_series(FakeEngine(), session, 0, "resnet50")
    next(run)
    session.stop.set()
    (last,) = run
    assert isinstance(last, Finished)
    assert last.series.cancelled
    assert 0 < len(last.series.rows) < 10
    assert f"Cancelled: {len(last.series.rows)} of 10 slices were done." in panels.summary(last.series)
    again = list(run_series(FakeEngine(), session, 0, "resnet50"))[-1]
    assert isinstance(again, Finished)
    assert not again.series.cancelled, "a new run starts afresh"


def test_a_run_whose_upload_was_closed_ends_without_a_result(session: Session) -> None:
    run = run_series(FakeEngine(), session, 0, "resnet50")
    next(run)
    session.close()
    assert list(run) == []


def test_the_other_series_can_be_run(session: Session) -> None:
    last = list(run_series(FakeEngine(), session, 1, "resnet50"))[-1]
    assert isinstance(last, Finished)
    assert len(last.series.rows) == 1


def test_a_slice_that_cannot_be_explained_is_left_out(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(engine, "analyse", fails)
    last = list(run_series(engine, session, 0, "resnet50"))[-1]
    assert isinstance(last, Finished)
    assert (len(last.series.rows), last.suspicious) == (10, [])


def test_the_aggregate_is_never_shown_without_what_it_is(done: Finished) -> None:
    shown = panels.summary(done.series, ("File 1 was <b>set aside</b>.",))
    for sentence in (series_headline(done.series.aggregate), *series_in_words(done.series.aggregate)):
        assert sentence in shown
    assert NOTICE not in shown, "the standing warning stands above, once"
    assert "&lt;b&gt;set aside" in shown
    assert "Mean of all models" in shown or "all models" in shown
    assert "Not\N{NO-BREAK SPACE}scored:\N{NO-BREAK SPACE}1" in shown
    assert "Failed:\N{NO-BREAK SPACE}1" in shown


def doubted(done: Finished, *numbers: int) -> SeriesAnalysis:
    """The series with a warning on some of its slices."""
    doubt = QualityReport((Finding("unusual", "warn", "Scores may be off."),))
    rows = tuple(replace(row, quality=doubt) if row.number in numbers else row for row in done.series.rows)
    return replace(done.series, rows=rows, aggregate=aggregate(rows))


def test_what_does_not_count_is_marked_in_strip_table_plot_and_counts(done: Finished) -> None:
    series = doubted(done, 5, 6)
    assert series.aggregate.counted == done.series.aggregate.counted - 2
    thumbnails = re.findall(r"<li>(.*?)</li>", panels.strip(series))
    assert [number for number, one in enumerate(thumbnails, 1) if "Not counted: " in one] == [5, 6]
    assert [number for number, one in enumerate(thumbnails, 1) if "la-uncounted" in one] == [1, 5, 6]
    rows = re.findall(r"<tr.*?</tr>", table(series))[1:]
    assert [number for number, one in enumerate(rows, 1) if "Not counted: " in one] == [5, 6]
    assert [number for number, one in enumerate(rows, 1) if "la-uncounted" in one] == [1, 4, 5, 6]
    assert "Not counted: 4 of 10 slices." in panels.chart(series)
    assert ">Not counted</text>" in panels.chart(series)
    assert ">Not counted</text>" not in panels.chart(done.series)
    assert "Not\N{NO-BREAK SPACE}counted:\N{NO-BREAK SPACE}2" in panels.summary(series)


def test_a_series_of_which_nothing_counts_is_undecided(done: Finished) -> None:
    series = doubted(done, *range(1, 11))
    assert "<h2>Undecided</h2>" in panels.summary(series)
    assert "No slice of this series counts" in panels.summary(series)
    assert panels.in_words(series) == "Not counted: 10 of 10 slices."
    assert "<svg" in panels.chart(series)


def test_the_headline_is_what_the_sets_say_and_the_plot_shows_where(done: Finished) -> None:
    found = done.series.aggregate
    assert found.decision == "malignant", "the fake's brighter slices"
    assert "<h2>Malignant on " in panels.summary(done.series)
    assert ">Decided malignant</text>" in panels.chart(done.series)
    other = replace(done.series, aggregate=replace(found, decision="not_malignant", runs=(), malignant_slices=0))
    assert "<h2>Not malignant (normal or benign) on all counted slices</h2>" in panels.summary(other)
    assert "Decided malignant" not in panels.chart(other)


def test_answers_are_counted_without_a_plural_that_would_have_to_agree(done: Finished) -> None:
    count = done.series.aggregate.decisions["undecided"]
    words = {"en": f"Undecided: {count}", "fr": f"Indéterminé : {count}", "es": f"Sin decidir: {count}"}
    for language, counted in words.items():
        told = speaking(language, lambda: panels.summary(done.series))
        assert counted in told.replace("\N{NO-BREAK SPACE}", " ")


def test_the_chart_says_its_result_in_words(done: Finished) -> None:
    chart = panels.chart(done.series)
    assert "<svg" in chart
    assert "Position along the patient" in chart
    assert panels.in_words(done.series) in chart
    assert "Not counted: 2 of 10 slices." in chart
    nowhere = replace(done.series, rows=tuple(replace(row, position=None) for row in done.series.rows))
    assert "in the order they came in" in panels.chart(nowhere)
    assert "in the order they came in" in panels.strip(nowhere)
    few = replace(nowhere, rows=nowhere.rows[:6], aggregate=aggregate(nowhere.rows[:6]))
    ticks = re.findall(r">(\d+(?:\.\d+)?)</text>", panels.chart(few))
    assert {"1", "2", "3", "4", "5", "6"} <= set(ticks), "there is no half of a slice"
    assert panels.chart(replace(done.series, rows=done.series.rows[:1])) == "", "nothing was scored"


def test_every_slice_has_its_thumbnail_and_its_words(done: Finished) -> None:
    strip = panels.strip(done.series)
    assert strip.count("<li>") == 10
    assert strip.count("data-slice=") == 9, "one could not be read, so it cannot be opened"
    assert strip.count("Failed") == 1
    assert strip.count("Not scored") == 1
    pictures = panels.most_suspicious(done.suspicious)
    assert pictures.count("<button") == SUSPICIOUS
    assert panels.most_suspicious([]) == ""


def test_the_table_has_a_row_a_slice_and_numbers_to_sort_by(done: Finished) -> None:
    shown = table(done.series)
    _, *rows = shown.split("<tr")[1:]
    assert len(rows) == 10
    assert {row.count("data-value=") for row in rows} == {len(HEADS)}
    assert sum("data-slice=" in row for row in rows) == 9, "one could not be read, so it cannot be opened"
    assert "Not scored" in rows[0]
    assert 'data-value="Malignant">Malignant<small>Cannot be excluded: malignant.</small>' in rows[6]
    assert "Expected " in rows[3]
    assert f'data-value="{100 * (done.series.rows[5].malignant or 0):.4f}"' in rows[5]
    assert "&lt;b&gt;" in table(replace(done.series, rows=(replace(done.series.rows[3], error="<b>"),)))


@pytest.mark.parametrize(
    ("error", "words"), [(WeightsMissing("Expected <weights>."), "&lt;weights"), (RuntimeError("secret"), UNEXPECTED)]
)
def test_a_failing_engine_gives_a_message(session: Session, error: Exception, words: str) -> None:
    last = list(tab._runner(BrokenEngine(error))(session, 0, "resnet50"))[-1]
    assert words in last[2]
    assert "secret" not in last[2]


def test_an_upload_without_slices_is_told_and_one_before_it_closed(session: Session, tmp_path: Path) -> None:
    nonsense = tmp_path / "x"
    nonsense.write_bytes(b"nonsense")
    new, _, button, _, told, *_ = tab._uploaded([str(nonsense)], Settings(), session)
    assert session.closed
    assert "Expected" in told
    assert button["interactive"] is False
    assert next(tab._runner(FakeEngine())(new, None, "resnet50"))[2] == panels.empty()
    *_, nothing = tab._uploaded(None, Settings(), None)
    assert nothing == ""


def test_both_files_are_made(done: Finished) -> None:
    values = tab._finished(done)
    (ready,) = (value for value in values if isinstance(value, tab.Ready))
    assert set(ready.overlays) == {row.number for row, _ in done.suspicious}
    for form in tab.FORMS:
        assert len(form.make(ready, [])) > 500
