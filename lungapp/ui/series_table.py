"""The slices of a series as a table that sorts in the browser, by mouse, finger and keyboard; HTML, escaped."""

from __future__ import annotations

from html import escape

from lungapp.registry import LABELS
from lungapp.report.answers import DECISION_WORDS
from lungapp.report.facts import UNSCORED
from lungapp.results import SeriesAnalysis, SeriesRow
from lungapp.texts import listed, mark
from lungapp.ui.language import say, say_html

SORT_AND_OPEN = """element.addEventListener('click', (event) => {
    const head = event.target.closest('th[aria-sort]');
    const row = event.target.closest('[data-slice]');
    if (!head) {
        if (row) trigger('click', { slice: Number(row.dataset.slice) });
        return;
    }
    const order = head.getAttribute('aria-sort') === 'descending' ? 'ascending' : 'descending';
    const body = head.closest('table').tBodies[0];
    const value = (row) => row.cells[head.cellIndex].dataset.value;
    const compare = (a, b) => a - b || String(a).localeCompare(String(b));
    const sorted = [...body.rows].sort((a, b) => {
        if (!value(a) || !value(b)) return Boolean(value(b)) - Boolean(value(a));  // what has no value comes last
        return (order === 'ascending' ? 1 : -1) * compare(value(a), value(b));
    });
    head.parentNode.querySelectorAll('th').forEach((other) => other.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', order);
    body.append(...sorted);
});"""
"""A click on a heading sorts by it, the highest first, then the lowest; one on a row opens its slice."""

OTHERS = tuple(label for label in LABELS if label != "malignant")

HEADS = (
    mark("Slice"), mark("Malignant (%)"), mark("Answer"), mark("Position (mm)"), mark("Normal (%)"),
    mark("Benign (%)"), mark("What to know"),
)  # fmt: skip


NOT_COUNTED = mark("Not counted")


def short_answer(row: SeriesRow) -> str:
    """What a row comes to in a word or two, and whether it counts."""
    if row.prediction is None or row.decision is None:
        return say(UNSCORED["failed" if row.error else "rejected"])
    answer = DECISION_WORDS[row.decision]
    return say(answer) if row.counted else say("{name}: {said}", name=NOT_COUNTED, said=answer)


def table(series: SeriesAnalysis) -> str:
    """One row a slice; the columns are `HEADS`."""
    orders = {head: "ascending" if head == HEADS[0] else "none" for head in HEADS}
    heads = "".join(
        f'<th scope="col" aria-sort="{order}"><button type="button">{say_html(head)}</button></th>'
        for head, order in orders.items()
    )
    rows = "".join(_row(row) for row in series.rows)
    return (
        f'<section class="la-series-part"><h3>{say_html("All slices as a table")}</h3>'
        f"<p>{say_html('A heading sorts, a row opens its slice.')}</p>"
        f'<div class="la-rows" tabindex="0" role="region" aria-label="{say_html("Table of all slices")}"><table>'
        f'<caption class="la-unseen">{say_html("All slices")}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _row(row: SeriesRow) -> str:
    scores = row.prediction.scores() if row.prediction else {}
    known = say(row.error) if row.error else " ".join(say(finding.message) for finding in row.quality.findings)
    cells = (
        _share(scores, "malignant"),
        _answer(row),
        _number(row.position),
        *(_share(scores, label) for label in OTHERS),
        _known(known),
    )
    kind = "" if row.counted else ' class="la-uncounted"'
    if row.error:
        return f"<tr{kind}>{_head(row.number, str(row.number))}{''.join(cells)}</tr>"
    opens = say_html("Open slice {number}", number=row.number)
    button = f'<button type="button" aria-label="{opens}">{row.number}</button>'
    return f'<tr data-slice="{row.number}"{kind}>{_head(row.number, button)}{"".join(cells)}</tr>'


def _head(number: int, shown: str) -> str:
    return f'<th scope="row" data-value="{number}">{shown}</th>'


def _share(scores: dict[str, float], label: str) -> str:
    return _number(100 * scores[label] if label in scores else None)


def _number(value: float | None) -> str:
    if value is None:
        return '<td class="la-number" data-value="">\N{EN DASH}</td>'
    return f'<td class="la-number" data-value="{value:.4f}">{value:.1f}</td>'


def _answer(row: SeriesRow) -> str:
    answer = escape(short_answer(row))
    left = ""
    if row.prediction:
        left = f"<small>{say_html('Cannot be excluded: {classes}.', classes=listed(row.prediction.answer_set))}</small>"
    return f'<td class="la-answer" data-value="{answer}">{answer}{left}</td>'


def _known(words: str) -> str:
    """Cut off after some lines by the style sheet; whole where the slice is opened."""
    shown = f'<div title="{escape(words)}">{escape(words)}</div>' if words else chr(0x2013)
    return f'<td class="la-known" data-value="{escape(words)}">{shown}</td>'
