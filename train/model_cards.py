"""The model cards for readers, ``weights/README.md``, after Mitchell et al. 2019, "Model Cards for Model Reporting".

    python -m train.model_cards

The words are here; every figure comes from the JSON cards, the committed logits and the manifest. To be run again
whenever one of those has changed: a test holds the page and them together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.cards import ENSEMBLE, ModelCard, read_card, read_ensemble_card, shipped
from lungapp.errors import WeightsMissing
from lungapp.greys import MODEL_WINDOW
from lungapp.registry import LABELS, MODELS
from lungapp.report.answers import DECISION_WORDS
from lungapp.settings import WEIGHTS
from lungapp.ui.audit import GROUPS as CONDITIONS
from lungapp.ui.figures import DECIMAL, METRICS, PROTOCOLS, find, is_number, to_figure
from lungapp.ui.words import percent
from train.calibrate import rules_of
from train.card import ROOT
from train.data import SIMILAR, Entry, read_manifest
from train.ensemble import mean_folds
from train.folds import FOLDS, SHIPPED, fold_parts
from train.model_index import front_matter
from train.predict import Predictions, read_folds
from train.table import BASELINES
from train.table import table as _table

Card = dict[str, Any]

FILE = WEIGHTS / "README.md"

PATIENTS = {"normal": 55, "benign": 15, "malignant": 40}
"""Of the dataset, as its publishers count them; no slice names its patient."""

GALLERY = 10
"""Kinds of errors shown of each model, the surest first."""

UNKNOWN = "not measured"

COLUMNS = {
    "Similar slices kept apart": ("grouped",),
    "Random split": ("image_level",),
    "The shipped weights on their own held-out slices": ("grouped", "shipped_fold"),
}
"""The columns of a model's figures, and where under ``metrics`` its card has them."""

ABOUT = {
    "basic_cnn": """Three convolutions. The first two were taught to say what an ImageNet network says of chest slices;
the third and what follows were taught here. It is the small, plain reference that the others have to beat.""",
    "resnet50": """The standard network of fifty layers (He et al. 2015), fed the grey slice three times over, taught to
say what an ImageNet network says of chest slices. What follows its last layer was taught here.""",
    "advanced_cnn": """The first five stages of EfficientNet-Lite0 (Tan and Le 2019) with their ImageNet weights, taught
without labels to mind neither noise nor where a crop begins. What follows was taught here.""",
    ENSEMBLE: """The mean of the calibrated probabilities of the other models. They know pictures from the same network
and were taught with the same slices, so they share blind spots: where they agree, they can be wrong together. It has no
weights of its own and is judged like a model.""",
}
"""What each one is and what to mind about it."""

HEAD = """# Model cards

One section a model, after Mitchell et al. 2019, [Model Cards for Model Reporting](https://arxiv.org/abs/1810.03993).
`python -m train.model_cards` writes this page from the JSON cards beside it and the predictions in `train/results/`;
no figure in it was typed by hand. What reporting guidelines ask for, and what is missing, stands in
[docs/reporting.md](../docs/reporting.md).

**Research software. LungApp never diagnoses. It is not a medical device, and none of its answers may weigh in a
decision about a patient.**

## At a glance

{glance}

The baselines were never shown where a lesion is. The nearest neighbour looks up the most similar training slice: it
shows how much a split rewards memory. The grey statistics know only noise and brightness: they show how much the
scanner's settings give away. The third fits a logistic regression to ImageNet features of the cavity. Only what a model
does better than all three, with similar slices kept apart, can be about lesions; what it does on patients from
elsewhere says more.

## What holds for all of them

### Intended use

Research and teaching: to see how image classifiers behave on chest CT, where they look, and how easily they are
overrated. It is meant for radiologists, other clinicians and engineers who judge the slice themselves and know the
limits below. In goes one axial chest CT slice; out come a probability for each class ({labels}), the
classes that cannot be excluded, how often such an answer held, and a map of where the evidence for a class lay.

### Out of scope

- Diagnosis, screening, triage, staging, second reading, follow-up or treatment: any use in the care of a patient.
- Ruling out disease. *Normal* means that a slice resembles slices of cases labelled normal, no more.
- Finding, outlining or measuring lesions. A map shows attention; it is not the lesion.
- Statements about a patient. All figures are about slices.
- Anything but axial chest CT, and pictures in another grey window than the dataset's. The input check refuses much of
  this, not all.
- Populations, scanners, reconstructions, contrast phases and diseases other than the dataset's: nothing is known there.

### Data

The IQ-OTH/NCCD lung cancer dataset ([doi 10.17632/bhmdr45bh2](https://doi.org/10.17632/bhmdr45bh2)): 8-bit pictures of
axial slices of {patients} patients ({patients_by_label}), taken in autumn 2019 at the
Iraq-Oncology Teaching Hospital / National Center for Cancer Diseases on Siemens SOMATOM scanners. The release holds
{files} files. {duplicates} of them repeat another one grey value for grey value and are left out, which leaves
{distinct} slices.

The labels are the publishers': oncologists and radiologists of the two centres marked the slices. How many read each
case, whether they agreed, and whether tissue confirmed it is not published. The label belongs to the case; a slice of a
malignant case need not show a lesion. No patient, age, sex, finding or outline is given with a slice.

Before a model sees a slice, it is brought to the dataset's grey window (centre {centre:.0f} HU, width {width:.0f} HU),
everything outside the thoracic cavity is removed, and the cavity is cropped and letterboxed to {size} x {size} pixels.

### How they were trained and tested

Neighbouring slices of a patient are nearly the same picture, and no slice names its patient. Slices whose thumbnails
correlate above {similar} are therefore put into one *group*; the {distinct} slices form {groups} groups. A group is no
proof of a patient, and slices of one patient that look different can lie in two groups.

- **Similar slices kept apart** (`grouped`): no group has slices on two sides. These figures say more about new
  patients.
- **Random split** (`image_level`): slices are drawn one by one, as in most publications. A model is then tested on near
  copies of what it learnt from, and the figures say how well it remembers.

Either way the slices are divided into {folds} folds, and each is held out once and scored by weights that learnt from
the others. Backbones, which know pictures, are frozen; what stands behind them is taught by the labels of the cases and
by lesions drawn into slices, which show it *where*. The shipped weights are those of the first grouped fold:

{parts}

Their own held-out part is small: count its groups, not its slices. Recipes stand in `train/recipes.py`. What was looked
at while they were chosen stands in [docs/trials.md](../docs/trials.md); the figures are somewhat optimistic.

### How to read the figures

Brackets hold 95 % bootstrap intervals, over groups where similar slices are kept apart and over slices otherwise.
*Balanced accuracy* is the mean of the three classes' recall; blind guessing gives a third. *AUC for malignant* is the
chance that a malignant slice scores higher than another one; blind guessing gives a half. *Calibration error* is the
mean gap between the probability given and the share that was right; the *Brier score* is the squared error of the
probabilities. Of these two lower is better.

Figures are over all held-out slices. They judge a recipe, with weights taught anew for every fold; those of the shipped
weights alone are of few groups. The random split has a recipe of its own, which rewards memory, and its weights are not
shipped.

### Factors

Neither age, sex, ethnicity, smoking, dose, contrast nor stage is published with a slice, so no figure could be broken
down by them and fairness is unknown. What can be told apart is the class, the group (*Where it fails*) and what is done
to the picture (*What it leans on*).

### Calibration and answer sets

The *temperature* divides a network's outputs so that its probabilities come nearer to how often it is right; it never
changes which class comes first. Below its *threshold* a class is excluded; what is left is the answer set. An answer is
*uncertain* while more than one class is left. Both come from held-out slices of all folds; how well they do is measured
on each fold with the temperature and the thresholds of the others.

### Limits

- One country, one vendor, {patients} patients, {benign} of them benign: what is said of *benign* rests on a handful.
- The classes differ in noise and grey, so a model can score well without seeing a lesion. Each card says how far it
  does.
- A handful of patients from elsewhere, no reading by radiologists to compare with, no study of clinical use.
- Two labels occur within one scan of the dataset (docs/trials.md); the files were kept as published.
- Sure errors happen: a high probability is no proof.

### Ethical considerations

The publishers state that the study was approved by the review boards of the centres, that consent was waived, and that
the pictures were stripped of identities; nothing beyond their word was available to check it. No slice of the dataset
is part of this repository. A false *normal* could reassure, a false *malignant* alarm, and a coloured map persuades
more than it proves; that is why no use in care is intended.

### Licence

{licence}. Code: MIT, see [LICENSE](../LICENSE). To cite:
[CITATION.cff](../CITATION.cff), and the dataset with it.

### Reload and verify

```python
from lungapp.models import load_model
from lungapp.registry import get_spec
from lungapp.settings import WEIGHTS

model, card = load_model(get_spec("{first}"), WEIGHTS)
```

This refuses a weights file whose SHA-256 digest is not the one its card names; `sha256sum weights/*.safetensors` shows
them for comparison with those below. `make evaluate DATA=folder` recomputes the figures of the shipped weights from the
dataset and fails where they differ from the cards."""


@dataclass(frozen=True)
class Source:
    """What a page is made of: the cards by name, the ensemble's among them where there is one, and two folders."""

    cards: dict[str, Card]
    weights: Path
    results: Path | None

    def tested(self, name: str) -> tuple[Predictions, float] | None:
        """What was said of the shipped fold's held-out slices, and the temperature by the others; None if not kept."""
        members = self.cards[name].get("members")
        folds = (
            mean_folds(list(members), "grouped", self.results) if members else read_folds(name, "grouped", self.results)
        )
        if not folds:
            return None
        return folds[SHIPPED], 1.0 if members else rules_of(folds)[SHIPPED]["temperature"]


def render(weights: Path = WEIGHTS, results: Path | None = None) -> str:
    """The page as Markdown.

    Parameters
    ----------
    weights : folder of the cards, ``<name>.json``; the ensemble's may be absent.
    results : folder of ``<protocol>/fold<K>/<model>/test.csv``; the committed one where None.

    What is absent is said to be not measured. Raises `WeightsMismatch` where a card is damaged or of another model.
    """
    cards = {spec.name: read_card(spec, weights).data for spec in shipped(weights)}
    with contextlib.suppress(WeightsMissing):
        cards[ENSEMBLE] = read_ensemble_card(weights).data
    source = Source(cards, weights, results)
    titles = {spec.name: spec.title for spec in MODELS} | {ENSEMBLE: "Ensemble"}
    sections = [_section(name, title, source) for name, title in titles.items()]
    return front_matter(cards, titles) + "\n" + "\n\n".join([_head(titles, source), *sections]) + "\n"


def write() -> None:
    """Write `FILE`."""
    FILE.write_text(render(), encoding="utf-8")


def _head(titles: dict[str, str], source: Source) -> str:
    entries = read_manifest()
    distinct = [entry for entry in entries if not entry.duplicate_of]
    first = next(iter(source.cards), MODELS[0].name)
    licence = find(source.cards, first, "licence") or "Not stated"
    return HEAD.format(
        glance=_glance(titles, source),
        labels=", ".join(LABELS),
        patients=sum(PATIENTS.values()),
        patients_by_label=", ".join(f"{count} {label}" for label, count in PATIENTS.items()),
        benign=PATIENTS["benign"],
        files=f"{len(entries):,}",
        duplicates=len(entries) - len(distinct),
        distinct=f"{len(distinct):,}",
        groups=len({entry.group for entry in distinct}),
        similar=f"{SIMILAR:.2f}",
        centre=MODEL_WINDOW.centre,
        width=MODEL_WINDOW.width,
        size=MODELS[0].size,
        parts=_parts(distinct),
        folds=FOLDS,
        licence=licence,
        first=first,
    )


def _glance(titles: dict[str, str], source: Source) -> str:
    """Models and baselines in two figures."""
    measured = {title: find(source.cards, name, "metrics") for name, title in titles.items()}
    beside: dict[str, Any] = next((card["baselines"] for card in source.cards.values() if card.get("baselines")), {})
    measured |= {title: beside.get(name) for name, title in BASELINES.items()}
    shown = ("balanced_accuracy", "auc_malignant")
    heads = ["", *(f"{METRICS[metric]}: {PROTOCOLS[p][0].lower()}" for p in PROTOCOLS for metric in shown)]
    rows = [
        [title, *(_figure(find(found, protocol, metric), metric) for protocol in PROTOCOLS for metric in shown)]
        for title, found in measured.items()
    ]
    return f"By cross-validation, with 95 % intervals:\n\n{_table(heads, rows)}"


def _parts(distinct: list[Entry]) -> str:
    part_of = fold_parts(distinct, "grouped", SHIPPED)
    rows = []
    for part, title in (("train", "Learnt from"), ("test", "Held out")):
        cells = []
        for label in LABELS:
            chosen = [entry.group for entry in distinct if entry.label == label and part_of[entry.file] == part]
            cells.append(f"{len(chosen)} slices in {_count(len(set(chosen)), 'group')}")
        rows.append([title, *cells])
    return _table(["Part", *(label.capitalize() for label in LABELS)], rows)


def _section(name: str, title: str, source: Source) -> str:
    lines = [f"## {title}", ABOUT[name]]
    card = source.cards.get(name)
    if card is None:
        return "\n\n".join([*lines, f"All its figures: {UNKNOWN}. There is no `{name}.json` in this folder."])
    lines += [_facts(card, source), "### Figures", _figures(card)]
    lines += ["### Its probabilities and answer sets", _calibration(card)]
    lines += ["### On patients from elsewhere", _elsewhere(card)]
    lines += ["### What it leans on: the shortcut audit", _audit(card)]
    lines += ["### Where it fails", _failures(card, source.tested(name))]
    return "\n\n".join(lines)


def _facts(card: Card, source: Source) -> str:
    data = card.get("data", {})
    weights = source.weights / f"{card['name']}.safetensors"
    facts = {
        "Parameters": f"{card['parameters']:,}" if is_number(card.get("parameters")) else None,
        "Pretraining": card.get("pretraining"),
        "Taught with": f"all {data['protocol']} folds but {data['fold']}"
        if {"protocol", "fold"} <= data.keys()
        else None,
        "Members": ", ".join(f"`{name}` ({digest[:12]}…)" for name, digest in card.get("members", {}).items()),
        "Weights": f"`{weights.name}`, SHA-256 `{card['weights_sha256']}`" if "weights_sha256" in card else None,
        "Manifest": f"SHA-256 `{data['manifest_sha256']}`" if "manifest_sha256" in data else None,
        "Made on": card.get("created"),
    }
    return "\n".join(f"- {name}: {said}" for name, said in facts.items() if said)


def _figures(card: Card) -> str:
    """All figures, and which classes are confused where similar slices are kept apart."""
    found = [find(card, "metrics", *keys) for keys in COLUMNS.values()]
    rows = [[name, *(_figure(find(entry, metric), metric) for entry in found)] for metric, name in METRICS.items()]
    counts = [find(entry, "n") for entry in found]
    rows.insert(0, ["Tested slices", *(f"{count:,}" if is_number(count) else UNKNOWN for count in counts)])
    pieces = [_table(["", *COLUMNS], rows)]
    if find(card, "metrics", "image_level", "earlier"):
        pieces.append("The random split was run with an earlier model input or body than what ships.")
    if matrix := find(card, "metrics", "grouped", "confusion_matrix"):
        rows = [[f"True {label}", *map(str, counts)] for label, counts in zip(card["labels"], matrix, strict=True)]
        heads = ["", *(f"Called {label}" for label in card["labels"])]
        pieces.append(f"Which classes are confused, in slices (similar slices kept apart):\n\n{_table(heads, rows)}")
    return "\n\n".join([*pieces, *filter(None, [_link("crossval", "Fold by fold: ")])])


def _calibration(card: Card) -> str:
    """What is excluded below which probability, and how often each kind of answer held."""
    calibration = ModelCard(card).calibration
    thresholds = ", ".join(f"{label} below {p:.3f}" for label, p in calibration.thresholds.items())
    pieces = [
        f"At a level of {percent(calibration.level)} a class is excluded by its probability: {thresholds}. Set on "
        f"{calibration.slices:,} slices in {calibration.groups:,} groups, each scored by weights that had not seen it."
    ]
    if card["name"] != ENSEMBLE:
        pieces.insert(0, f"Temperature: {calibration.temperature:.2f}.")
    if coverage := find(card, "calibration", "coverage"):
        pieces.append(_covered(coverage))
    rows = [
        [DECISION_WORDS[band.decision], f"{percent(band.low)} to {percent(band.high)}", f"{band.slices:,}",
         f"{band.groups:,}", f"{percent(band.right)} ({' to '.join(map(percent, band.interval))})"]
        for band in calibration.evidence
    ]  # fmt: skip
    heads = ["Answer", "Malignant probability", "Slices", "Groups", "Held (of undecided ones: malignant)"]
    pieces.append(_table(heads, rows) if rows else f"How often its answers held: {UNKNOWN}.")
    return "\n\n".join(pieces)


def _covered(coverage: Card) -> str:
    """How often answer sets held the true class, and how often they decided, on folds by the others' thresholds."""
    by_class = ", ".join(f"{label} {_figure(entry, '')}" for label, entry in coverage.get("by_class", {}).items())
    sets = find(coverage, "classes", "value")
    return (
        f"Held against each fold: the answer set held the true class of {_figure(coverage.get('covered'), '')} of the "
        f"slices ({by_class}) with {f'{sets:.2f}' if is_number(sets) else UNKNOWN} classes on average. "
        f"{_figure(coverage.get('decided'), '')} were decided malignant or not malignant, of these "
        f"{_figure(coverage.get('right'), '')} rightly."
    )


def _elsewhere(card: Card) -> str:
    """A row a patient on whom nothing was learnt."""
    rows = [
        [str(each["patient"]), f"{each['slices']}, {each['lesion_slices']}", f"{each['auc']:.2f}",
         f"{each['map_hits']} of {each['lesion_slices']}" if "map_hits" in each else "-", f"{each['top_five']} of 5"]
        for each in find(card, "metrics", "elsewhere") or []
    ]  # fmt: skip
    if not rows:
        return f"Scans from other hospitals: {UNKNOWN}."
    heads = ["Patient", "Slices, with a lesion", "AUC within the patient", "Map's maximum at the lesion",
             "Lesions among the five most suspicious"]  # fmt: skip
    return f"Whole scans from other hospitals, lesions marked by readers; 0.5 is chance.\n\n{_table(heads, rows)}"


def _audit(card: Card) -> str:
    audit = card.get("audit")
    if not audit or "conditions" not in audit:
        return f"What it leans on: {UNKNOWN}. The card has no audit."
    pieces = ["\n".join(f"- {sentence}" for sentence in audit["words"])] if audit.get("words") else []
    shown = ("auc_malignant", "balanced_accuracy")
    known = {code for names in CONDITIONS.values() for code in names}
    others = {code: code.replace("_", " ").capitalize() for code in audit["conditions"] if code not in known}
    rows = []
    for group, names in {**CONDITIONS, "Others": others}.items():
        measured = {code: name for code, name in names.items() if code in audit["conditions"]}
        rows += [[f"*{group}*", *[""] * len(shown)]] if measured else []
        for code, name in measured.items():
            rows.append([name, *(_figure(find(audit["conditions"], code, metric), metric) for metric in shown)])
    heads = ["What the model was shown", *(METRICS[metric] for metric in shown)]
    slices = f" on {audit['slices']:,} held-out slices" if is_number(audit.get("slices")) else ""
    pieces.append(f"Measured{slices}.{_link('audit', ' In pictures: ')}\n\n{_table(heads, rows)}")
    return "\n\n".join(pieces)


def _failures(card: Card, tested: tuple[Predictions, float] | None) -> str:
    """A gallery in words: which groups of the shipped fold's held-out slices go wrong, and how surely."""
    if tested is None:
        return f"Errors one by one: {UNKNOWN}. The predictions were not kept."
    test, temperature = tested
    probabilities = test.probabilities(temperature)
    called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = called != test.labels
    if not wrong.any():
        return f"It was right on all {len(wrong)} held-out slices of the shipped weights."
    said = f"Of the shipped weights' {len(wrong)} held-out slices {wrong.sum()} were named wrongly. "
    said += "Similar slices tend to go wrong together."
    by_class = [
        [LABELS[label].capitalize(), *_errors_of_class(test, called, wrong, label)] for label in np.unique(test.labels)
    ]
    heads = ["True class", "Slices wrong", "Called instead", "Groups with an error", "Groups wholly wrong"]
    kinds = sorted(_kinds(test, called, wrong, sure), key=lambda kind: -kind[0])
    rows = [[percent(surest), *cells] for surest, cells in kinds[:GALLERY]]
    left = f" {len(kinds) - GALLERY} kinds of less sure errors are left out." if len(kinds) > GALLERY else ""
    surest = f"The surest errors, one row for each group and each pair of true and named class.{left}"
    columns = ["Probability given", "True class", "Called", "So called in its group", "The surest slice"]
    return "\n\n".join([said, _table(heads, by_class), surest, _table(columns, rows)])


def _errors_of_class(test: Predictions, called: np.ndarray, wrong: np.ndarray, label: int) -> list[str]:
    own = test.labels == label
    groups = [wrong[own & (test.groups == group)] for group in np.unique(test.groups[own])]
    instead = [f"{LABELS[other]} {np.sum(called[own & wrong] == other)}" for other in np.unique(called[own & wrong])]
    return [
        f"{(own & wrong).sum()} of {own.sum()}",
        ", ".join(instead) or "-",
        f"{sum(bool(group.any()) for group in groups)} of {len(groups)}",
        f"{sum(bool(group.all()) for group in groups)} of {len(groups)}",
    ]


def _kinds(
    test: Predictions, called: np.ndarray, wrong: np.ndarray, sure: np.ndarray
) -> Iterable[tuple[float, list[str]]]:
    """For each group, true and named class of an error: the highest probability, and what a row says of it."""
    for group, true, named in sorted(set(zip(test.groups[wrong], test.labels[wrong], called[wrong], strict=True))):
        among = np.flatnonzero((test.groups == group) & (test.labels == true) & (called == named))
        surest = among[sure[among].argmax()]
        size = _count(int(np.sum(test.groups == group)), "slice")
        file = f"`{Path(test.files[surest]).stem}`"
        yield float(sure[surest]), [LABELS[true], LABELS[named], f"{len(among)} of {size}", file]


def _figure(entry: Any, metric: str) -> str:
    figure = to_figure(entry)
    if figure is None:
        return UNKNOWN
    interval = figure.show_interval(metric in DECIMAL)
    return figure.show(metric in DECIMAL) + (f" ({interval})" if interval else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _link(page: str, words: str) -> str:
    return f"{words}[docs/{page}.md](../docs/{page}.md)." if (ROOT / "docs" / f"{page}.md").is_file() else ""


if __name__ == "__main__":
    write()
