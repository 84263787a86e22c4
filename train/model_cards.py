"""The model cards for readers, ``weights/README.md``, after Mitchell et al. 2019, "Model Cards for Model Reporting".

    python -m train.model_cards

The words are here; every figure comes from the JSON cards, the committed predictions and the manifest. To be run again
whenever one of those has changed: a test holds the page and them together.
"""

from __future__ import annotations

import contextlib
import json
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
from train.card import PREDICTIONS, ROOT
from train.data import PARTS, SIMILAR, Entry, read_manifest, read_split
from train.ensemble import mean_run
from train.model_index import front_matter
from train.predict import Predictions, read_predictions
from train.table import BASELINES

Card = dict[str, Any]

FILE = WEIGHTS / "README.md"

PATIENTS = {"normal": 55, "benign": 15, "malignant": 40}
"""Of the dataset, as its publishers count them; no slice names its patient."""

GALLERY = 10
"""Kinds of errors shown of each model, the surest first."""

UNKNOWN = "not measured"

COLUMNS = {
    "Cross-validation: similar slices kept apart": ("crossval", "grouped"),
    "Cross-validation: random split": ("crossval", "image_level"),
    "Shipped weights: similar slices kept apart": ("metrics", "grouped"),
    "The recipe for random splits": ("metrics", "image_level"),
}
"""The columns of a model's figures, and where its card has them."""

ABOUT = {
    "basic_cnn": """Three convolutions with max pooling and dropout, and one dense layer that reads the last feature
maps place by place. It is the small, plain reference that the others have to beat.""",
    "resnet50": """The standard network of fifty layers (He et al. 2015), fed the grey slice three times over.""",
    "advanced_cnn": """Seven convolutions in five stages with batch normalisation. Its head also holds finer classes,
learnt from groups of similar training slices and summed up for each label (`train/group_head.py`). They help with
slices like those it learnt from; what they are worth elsewhere stands in [docs/trials.md](../docs/trials.md).""",
    ENSEMBLE: """The mean of the calibrated probabilities of the other models. They were trained on the same slices, so
they share blind spots: where they agree, they can be wrong together. It has no weights of its own and is judged like a
model.""",
}
"""What each one is and what to mind about it."""

TAUGHT = """It did not start from weights pretrained on other pictures, which could not be had where it was made, but as
the model {teacher}, trained on the same slices (`train/net2net.py`). It is therefore no independent second opinion:
what misleads the one is likely to mislead the other."""

HEAD = """# Model cards

One section a model, after Mitchell et al. 2019, [Model Cards for Model Reporting](https://arxiv.org/abs/1810.03993).
`python -m train.model_cards` writes this page from the JSON cards beside it and the predictions in `train/results/`;
no figure in it was typed by hand. What reporting guidelines ask for, and what is missing, stands in
[docs/reporting.md](../docs/reporting.md).

**Research software. LungApp never diagnoses. It is not a medical device, and none of its answers may weigh in a
decision about a patient.**

## At a glance

{glance}

The two baselines see no lesion. The nearest neighbour looks up the most similar training slice: it shows how much a
split rewards memory. The grey statistics know only noise and brightness: they show how much the scanner's settings give
away. Only what a model does better than both, with similar slices kept apart, can be about lesions.

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
everything outside the body is removed, and the body is cropped and letterboxed to {size} x {size} pixels.

### How they were trained and tested

Neighbouring slices of a patient are nearly the same picture, and no slice names its patient. Slices whose thumbnails
correlate above {similar} are therefore put into one *group*; the {distinct} slices form {groups} groups. A group is no
proof of a patient, and slices of one patient that look different can lie in two groups.

- **Similar slices kept apart** (`grouped`): no group has slices on two sides. These figures say more about new
  patients.
- **Random split** (`image_level`): slices are drawn one by one, as in most publications. A model is then tested on near
  copies of what it learnt from, and the figures say how well it remembers.

The shipped weights learnt from the training part of one grouped split, which divides the data like this:

{parts}

The test part is small: count its groups, not its slices. Recipes stand in `train/recipes.py`. Which test slices were
looked at while they were chosen stands in [docs/trials.md](../docs/trials.md); those figures are somewhat optimistic.

### How to read the figures

Brackets hold 95 % bootstrap intervals, over groups where similar slices are kept apart and over slices otherwise.
*Balanced accuracy* is the mean of the three classes' recall; blind guessing gives a third. *AUC for malignant* is the
chance that a malignant slice scores higher than another one; blind guessing gives a half. *Calibration error* is the
mean gap between the probability given and the share that was right; the *Brier score* is the squared error of the
probabilities; *log loss* punishes sure errors hardest. Of these three lower is better.

*Cross-validation* holds every slice out once. It judges a recipe, with weights trained anew for every fold, perhaps on
smaller pictures, and is the steadier figure. *Shipped weights* are those that answer on the page, judged once on their
few test groups. *The recipe for random splits* is another one, which takes no
shortcut away, and its weights are not shipped.

### Factors

Neither age, sex, ethnicity, smoking, dose, contrast nor stage is published with a slice, so no figure could be broken
down by them and fairness is unknown. What can be told apart is the class, the group (*Where it fails*) and what is done
to the picture (*What it leans on*).

### Calibration, operating points and abstention

All three were set on validation slices and then held against the test slices. The *temperature* divides a network's
outputs so that its probabilities come nearer to how often it is right; it never changes which class comes first. An
*operating point* is the probability from which a slice would be called malignant to reach a wished sensitivity or
specificity. An answer is *uncertain* below the model's threshold. What was promised on validation need not hold on
other groups; the tables show how well it did.

### Limits

- One country, one vendor, {patients} patients, {benign} of them benign: what is said of *benign* rests on a handful.
- The classes differ in noise and grey, so a model can score well without seeing a lesion. Each card says how far it
  does.
- No external test set, no reading by radiologists to compare with, no figure per patient, no study of clinical use.
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
    results: Path

    def tested(self, name: str) -> tuple[Predictions, float] | None:
        """What the shipped weights said of their grouped test slices, and their temperature; None where not kept."""
        card = self.cards[name]
        runs = [
            self.results / "grouped" / f"{member}-seed{find(self.cards, member, 'data', 'seed')}"
            for member in card.get("members", [name])
        ]
        if not all((run / "test.csv").is_file() for run in runs):
            return None
        if "members" in card:
            return mean_run(runs)[1], 1.0
        return read_predictions(runs[0] / "test.csv"), ModelCard(card).temperature


def render(weights: Path = WEIGHTS, results: Path = PREDICTIONS) -> str:
    """The page as Markdown.

    Parameters
    ----------
    weights : folder of the cards, ``<name>.json``; the ensemble's may be absent.
    results : folder of ``grouped/<model>-seed<N>/{validation,test}.csv``, ``baselines.json`` and ``crossval.json``.

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
        licence=licence,
        first=first,
    )


def _glance(titles: dict[str, str], source: Source) -> str:
    """Models and baselines in two figures: of the cross-validation where there is one, else of a single split."""
    crossed = any("crossval" in card for card in source.cards.values())
    key, file = ("crossval", "crossval.json") if crossed else ("metrics", "baselines.json")
    path = source.results / file
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    measured = {title: find(source.cards, name, key) for name, title in titles.items()}
    measured |= {title: find(kept.get("results", kept), name) for name, title in BASELINES.items()}
    shown = ("balanced_accuracy", "auc_malignant")
    heads = ["", *(f"{METRICS[metric]}: {PROTOCOLS[p][0].lower()}" for p in PROTOCOLS for metric in shown)]
    rows = [
        [title, *(_figure(find(found, protocol, metric), metric) for protocol in PROTOCOLS for metric in shown)]
        for title, found in measured.items()
    ]
    said = "By cross-validation" if crossed else "On single splits (cross-validation: not measured)"
    return f"{said}, with 95 % intervals:\n\n{_table(heads, rows)}"


def _parts(distinct: list[Entry]) -> str:
    part_of = read_split("grouped")
    rows = []
    for part in PARTS:
        cells = []
        for label in LABELS:
            chosen = [entry.group for entry in distinct if entry.label == label and part_of[entry.file] == part]
            cells.append(f"{len(chosen)} slices in {_count(len(set(chosen)), 'group')}")
        rows.append([part.capitalize(), *cells])
    return _table(["Part", *(label.capitalize() for label in LABELS)], rows)


def _section(name: str, title: str, source: Source) -> str:
    lines = [f"## {title}", ABOUT[name]]
    card = source.cards.get(name)
    if card and "teacher" in card:
        lines.append(TAUGHT.format(teacher=f"`{card['teacher']['model']}`"))
    if card is None:
        return "\n\n".join([*lines, f"All its figures: {UNKNOWN}. There is no `{name}.json` in this folder."])
    lines += [_facts(card, source), "### Figures", _figures(card)]
    lines += ["### Its probabilities: calibration, operating points, abstention", _calibration(card)]
    lines += ["### What it leans on: the shortcut audit", _audit(card)]
    lines += ["### Where it fails", _failures(card, source.tested(name))]
    return "\n\n".join(lines)


def _facts(card: Card, source: Source) -> str:
    data, start = card.get("data", {}), card.get("pretraining")
    weights = source.weights / f"{card['name']}.safetensors"
    facts = {
        "Parameters": f"{card['parameters']:,}" if is_number(card.get("parameters")) else None,
        "Started from": find(card, "teacher", "model") or ("random weights" if start == "none" else start),
        "Trained on": f"{data['protocol']} split, seed {data['seed']}" if {"protocol", "seed"} <= data.keys() else None,
        "Members": ", ".join(f"`{name}` ({digest[:12]}…)" for name, digest in card.get("members", {}).items()),
        "Weights": f"`{weights.name}`, SHA-256 `{card['weights_sha256']}`" if "weights_sha256" in card else None,
        "Manifest": f"SHA-256 `{data['manifest_sha256']}`" if "manifest_sha256" in data else None,
        "Made on": card.get("created"),
    }
    return "\n".join(f"- {name}: {said}" for name, said in facts.items() if said)


def _figures(card: Card) -> str:
    """All figures under both protocols, and which classes are confused where similar slices are kept apart."""
    rows = [
        [name, *(_figure(find(card, key, protocol, metric), metric) for key, protocol in COLUMNS.values())]
        for metric, name in METRICS.items()
    ]
    counts = [find(card, key, protocol, "n") for key, protocol in COLUMNS.values()]
    rows.insert(0, ["Tested slices", *(f"{count:,}" if is_number(count) else UNKNOWN for count in counts)])
    pieces = [_table(["", *COLUMNS], rows)]
    if "crossval" in card:
        said = _settings(find(card, "crossval", "settings") or {}, card["name"])
        pieces.append(f"Cross-validation: {said or 'settings not stated'}.{_link('crossval', ' Fold by fold: ')}")
    else:
        pieces.append(f"Cross-validation: {UNKNOWN}.")
    return "\n\n".join([*pieces, *_confusion(card)])


def _confusion(card: Card) -> list[str]:
    for column, (key, protocol) in COLUMNS.items():
        matrix = find(card, key, protocol, "confusion_matrix")
        if matrix and protocol == "grouped":
            rows = [[f"True {label}", *map(str, counts)] for label, counts in zip(card["labels"], matrix, strict=True)]
            heads = ["", *(f"Called {label}" for label in card["labels"])]
            return [f"Which classes are confused, in slices ({column}):\n\n{_table(heads, rows)}"]
    return []


def _settings(settings: Card, name: str) -> str:
    """Settings of the cross-validation in words; those that differ by model are nested under its name."""
    own: Card = {}
    for key, value in settings.items():
        found = value.get(name) if isinstance(value, dict) else value
        own |= found if isinstance(found, dict) else {key: found}
    words = {
        "folds": "{} folds",
        "size": "pictures of {0} x {0} pixels",
        "epochs": "{} epochs",
        "pretrained": "pretraining {}",
    }
    shown = {key: value for key, value in own.items() if isinstance(value, str | int | float)}
    return ", ".join(words.get(key, f"{key.replace('_', ' ')} {{}}").format(value) for key, value in shown.items())


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
    rows = [
        [DECISION_WORDS[band.decision], f"{percent(band.low)} to {percent(band.high)}", f"{band.slices:,}",
         f"{band.groups:,}", f"{percent(band.right)} ({' to '.join(map(percent, band.interval))})"]
        for band in calibration.evidence
    ]  # fmt: skip
    heads = ["Answer", "Malignant probability", "Slices", "Groups", "Held (of undecided ones: malignant)"]
    pieces.append(_table(heads, rows) if rows else f"How often its answers held: {UNKNOWN}.")
    return "\n\n".join(pieces)


def _audit(card: Card) -> str:
    audit = card.get("audit")
    if not audit or "conditions" not in audit:
        return f"What it leans on: {UNKNOWN}. The card has no audit."
    pieces = ["\n".join(f"- {sentence}" for sentence in audit["words"])] if audit.get("words") else []
    stages = {"before": find(audit, "before", "conditions"), "now": audit["conditions"]}
    stages = {name: found for name, found in stages.items() if found}
    shown = ("auc_malignant", "balanced_accuracy")
    known = {code for names in CONDITIONS.values() for code in names}
    others = {code: code.replace("_", " ").capitalize() for code in audit["conditions"] if code not in known}
    rows = []
    for group, names in {**CONDITIONS, "Others": others}.items():
        measured = {code: name for code, name in names.items() if code in audit["conditions"]}
        rows += [[f"*{group}*", *[""] * len(stages) * len(shown)]] if measured else []
        for code, name in measured.items():
            cells = (_figure(find(found, code, metric), metric) for metric in shown for found in stages.values())
            rows.append([name, *cells])
    when = {"before": ", before", "now": ", now" if "before" in stages else ""}
    heads = ["What the model was shown", *(f"{METRICS[metric]}{when[stage]}" for metric in shown for stage in stages)]
    slices = f" on {audit['slices']:,} held-out slices" if is_number(audit.get("slices")) else ""
    before = (
        " *Before*: the weights before training was changed to lean less on shortcuts." if "before" in stages else ""
    )
    pieces.append(f"Measured{slices}.{before}{_link('audit', ' In pictures: ')}\n\n{_table(heads, rows)}")
    inside = audit.get("attention_inside_lungs") or {}
    if inside:
        shares = ", ".join(f"{percent(share)} for {label}" for label, share in inside.items() if is_number(share))
        pieces.append(f"Share of the Grad-CAM map that lies inside the lungs: {shares}.")
    return "\n\n".join(pieces)


def _failures(card: Card, tested: tuple[Predictions, float] | None) -> str:
    """A gallery in words: which groups of grouped test slices go wrong, and how surely."""
    if tested is None:
        return f"Errors one by one: {UNKNOWN}. The predictions were not kept."
    test, temperature = tested
    probabilities = test.probabilities(temperature)
    called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = called != test.labels
    if not wrong.any():
        return f"It was right on all {len(wrong)} grouped test slices."
    said = f"Of {len(wrong)} grouped test slices {wrong.sum()} were named wrongly. "
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


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    write()
