"""The shortcut audit: what its pictures hide and keep, what its figures and words follow from."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest

from examples.phantoms import phantom
from lungapp.anatomy import Anatomy
from lungapp.audit_sentences import CHANGES, HIDDEN, PARTS, SENTENCES, VISIBLE, recognise
from lungapp.preprocessing import frame_of, to_input
from lungapp.registry import LABELS, MODELS
from lungapp.slices import Slice
from lungapp.texts import Text
from tests.folds import held_out, write_results
from train import audit as command
from train.audit import (
    audit_of,
    condition_figures,
    condition_groups,
    draw_conditions,
    predict_conditions,
    render_document,
)
from train.audit_words import words
from train.conditions import (
    CONDITIONS,
    add_noise,
    equalise_noise,
    keep_lungs,
    keep_noise,
    lung_region,
    noise_level,
    rewindow,
    rotate,
)
from train.folds import FOLDS
from train.predict import Predictions, read_predictions, write_conditions

SIZE = 112


def as_input(kind: str | None) -> np.ndarray:
    """A phantom as a model input."""
    return to_input(Anatomy(Slice(phantom(kind, seed=4, size=256), "HU")), MODELS[0])


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    """Three phantoms as model inputs, with different noise."""
    pictures = [as_input(kind) for kind in (None, "nodule", "mass")]
    random = np.random.default_rng(0)
    return np.stack([add_noise(picture, 0.012 * place, random) for place, picture in enumerate(pictures)])


@pytest.fixture(scope="module")
def inputs(batch) -> np.ndarray:
    return np.stack([cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for picture in batch])[..., None]


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_changes_a_copy_and_stays_an_input(name, batch):
    given = batch.copy()
    changed = CONDITIONS[name](batch)
    assert np.array_equal(batch, given)
    assert not np.shares_memory(changed, batch)
    assert changed.shape == batch.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6
    assert not np.array_equal(changed, batch)
    assert np.array_equal(CONDITIONS[name](batch), changed)
    if name not in ("noise_only", "rotation", "flip"):
        assert not changed[batch == 0].any()


def test_conditions_are_the_pages(batch):
    named = {code for members in condition_groups().values() for code in members}
    assert named == {"clean", *CONDITIONS} == {"clean", *HIDDEN, *VISIBLE, *CHANGES}


def test_the_lung_region_takes_in_a_mass_at_the_pleura():
    picture, healthy = as_input("mass")[..., 0], as_input(None)[..., 0]
    mass = cv2.erode((np.abs(picture - healthy) > 0.3).astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert mass.sum() > 50
    assert (lung_region(picture) & mass).sum() > 0.9 * mass.sum()


@pytest.mark.parametrize("split", [False, True], ids=["whole", "cut in two by a mass"])
def test_the_lung_region_is_a_hull_a_side(split):
    picture = thorax_of_ellipses()
    if split:
        picture[95:125, 30:95] = 0.85
    region = lung_region(picture)
    assert region[110, 60]
    assert region[110, 160]
    assert not region[110, 112]  # between the lungs
    assert not region[110, 12]  # chest wall
    assert not (region & (picture == 0)).any()


def test_lungs_that_touch_have_a_hull_each():
    picture = thorax_of_ellipses()
    picture[66:70, 60:165] = 0.3  # in front of the heart
    region = lung_region(picture)
    assert region[68, 85]
    assert not region[130, 112]


def test_where_there_are_no_lungs_nothing_is_inside_them():
    body = np.zeros((96, 96), np.float32)
    cv2.ellipse(body, (48, 48), (40, 30), 0, 0, 360, 0.8, cv2.FILLED)
    for picture in (body, np.zeros_like(body)):
        assert not lung_region(picture).any()
        assert not keep_lungs(picture).any()


def test_there_is_nothing_outside_the_cavity_to_go_by():
    """Why no condition hides the lungs and keeps the rest: the input would be empty."""
    item = Slice(phantom("mass", seed=4, size=256), "HU")
    anatomy = Anatomy(item)
    assert to_input(anatomy, MODELS[0]).any()
    emptied = np.where(anatomy.cavity, np.float32(0), anatomy.grey)
    assert emptied.any()
    assert not frame_of(anatomy, MODELS[0]).to_square(emptied, anatomy.cavity).any()


def test_nothing_outside_the_lungs_gets_past_the_other_mask(batch):
    picture = batch[0, ..., 0]
    region = lung_region(picture)
    outside = (picture > 0.7) & ~cv2.dilate(region.astype(np.uint8), np.ones((9, 9))).astype(bool)
    changed = np.where(outside, np.float32(0.95), picture)
    assert np.abs(changed - picture).max() > 0.1
    assert np.array_equal(keep_lungs(changed), keep_lungs(picture))
    assert np.array_equal(keep_lungs(picture)[region], picture[region])
    assert not keep_lungs(picture)[~region].any()


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.05])
def test_the_noise_level_is_the_noise_that_was_added(sigma):
    flat = np.zeros((224, 224), np.float32)
    flat[30:190, 20:200] = 0.5
    noisy = add_noise(flat, sigma, np.random.default_rng(5))
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.03)
    assert noise_level(flat) == 0
    assert noise_level(np.zeros_like(flat)) == 0


def test_the_noise_level_does_not_see_edges():
    clean = thorax_of_ellipses()
    assert noise_level(clean) < 1e-3
    assert noise_level(add_noise(clean, 0.02, np.random.default_rng(5))) == pytest.approx(0.02, rel=0.05)


def test_noise_is_brought_to_one_level(batch):
    levels = [noise_level(picture) for picture in batch[..., 0]]
    assert max(levels) > 1.5 * min(levels)
    target = 1.1 * max(levels)
    equal = [equalise_noise(picture, target, np.random.default_rng(2)) for picture in batch[..., 0]]
    assert [noise_level(picture) for picture in equal] == pytest.approx([target] * len(batch), rel=0.02)
    noisier = batch[-1, ..., 0]
    assert np.array_equal(equalise_noise(noisier, 0.5 * noise_level(noisier), np.random.default_rng(2)), noisier)


@pytest.mark.parametrize(("name", "before"), [("noise_equalised", np.copy)])
def test_equalised_conditions_raise_all_to_the_ninetieth_percentile(name, before, batch):
    levels = [noise_level(before(picture)) for picture in batch[..., 0]]
    target = np.percentile(levels, 90)
    found = [noise_level(picture) for picture in CONDITIONS[name](batch)[..., 0]]
    assert found == pytest.approx([max(level, target) for level in levels], rel=0.02)


def test_only_noise_is_left_of_the_noise(batch):
    clean, noisy = (add_noise(thorax_of_ellipses(), sigma, np.random.default_rng(3)) for sigma in (0.01, 0.03))
    quiet, loud = (keep_noise(picture, np.random.default_rng(4)) for picture in (clean, noisy))
    assert 2.5 < (loud - 0.5).std() / (quiet - 0.5).std() < 3.5
    assert np.abs(quiet - 0.5).max() < 0.06  # an edge of an organ is 0.5 high, of the body 0.8
    assert cv2.blur(quiet, (9, 9)) == pytest.approx(0.5, abs=0.01)
    blank = keep_noise(np.zeros((64, 64), np.float32), np.random.default_rng(4))
    assert np.unique(blank).tolist() == [0.5]


def test_a_wider_window_lowers_contrast_about_its_centre():
    picture = np.array([[0, 0.3, 0.5, 0.9]], np.float32)
    assert rewindow(picture, 1.25)[0] == pytest.approx([0, 0.34, 0.5, 0.82])
    assert rewindow(picture, 0.75)[0] == pytest.approx([0, 0.5 - 0.2 / 0.75, 0.5, 1])


def test_rotation_turns_by_ten_degrees():
    picture = np.zeros((201, 201), np.float32)
    picture[100, 180] = 1
    row, column = np.unravel_index(rotate(picture).argmax(), picture.shape)
    assert np.degrees(np.arctan2(100 - row, column - 100)) == pytest.approx(10, abs=0.5)


def thorax_of_ellipses() -> np.ndarray:
    """(224, 224) float32: a body of 0.8 with two lungs of 0.3."""
    picture = np.zeros((224, 224), np.float32)
    cv2.ellipse(picture, (112, 112), (108, 75), 0, 0, 360, 0.8, cv2.FILLED)
    for x in (62, 162):
        cv2.ellipse(picture, (x, 112), (34, 52), 0, 0, 360, 0.3, cv2.FILLED)
    return picture


def mean_grey_model(size: int) -> keras.Model:
    """One feature map: the picture itself, at half its side. It speaks for malignant and against normal."""
    inputs = keras.Input((size, size, 1), name="slice")
    features = keras.layers.AveragePooling2D(2, name="features")(inputs)
    vector = keras.layers.Flatten(name="vector")(features)
    logits = keras.layers.Dense(len(LABELS), name="logits")(vector)
    model = keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits), name="mean_grey")
    places = (size // 2) ** 2
    kernel = np.tile(np.array([-1.0, 0.0, 1.0], np.float32), (places, 1)) / places
    model.get_layer("logits").set_weights([kernel, np.zeros(3, np.float32)])
    return model


def test_logits_are_those_of_the_changed_slices(inputs):
    model = mean_grey_model(SIZE)
    found = predict_conditions(model, inputs)
    assert list(found) == list(CONDITIONS)
    for name in ("lungs_only", "blur"):
        mean = CONDITIONS[name](inputs).mean(axis=(1, 2, 3))
        assert found[name] == pytest.approx(np.stack([-mean, 0 * mean, mean], axis=1), abs=1e-5)


def test_figures_of_a_condition():
    labels = np.array([0, 1, 2, 2])
    right = np.eye(3)[labels] * 0.9 + 0.1 / 3
    found = condition_figures(right, labels)
    assert found == {"accuracy": 1.0, "balanced_accuracy": 1.0, "auc_malignant": 1.0, "malignant_gap": 0.9}
    wrong = condition_figures(np.roll(right, 1, axis=1), labels)
    assert (wrong["accuracy"], wrong["auc_malignant"]) == (0, 0.25)
    assert condition_figures(right[:2], labels[:2])["auc_malignant"] is None


def figures(**aucs: float) -> dict:
    """An audit in which every malignant AUC is 0.95 but those given; balanced accuracy is 0.8 throughout."""
    return {
        "slices": 105,
        "conditions": {
            code: {"accuracy": 0.8, "balanced_accuracy": 0.8, "auc_malignant": aucs.get(code, 0.95)}
            for code in ("clean", *CONDITIONS)
        },
    }


@pytest.mark.parametrize(
    ("auc", "said"),
    [
        (
            0.97,
            "it still tells malignant slices from the others (AUC 0.97): the scanner's noise is enough for it.",
        ),
        (0.896, "it still tells malignant slices from the others (AUC 0.90)"),
        (
            0.8,
            "it still tells malignant slices from the others in part (AUC 0.80): the scanner's noise helps it.",
        ),
        (
            0.55,
            "it hardly tells malignant slices from the others (AUC 0.55): the scanner's noise is not enough",
        ),
        (0.2, "it ranks malignant slices below the others (AUC 0.20)"),
    ],
)
def test_words_on_hidden_lungs(auc, said):
    assert f"From the noise alone {said}" in " ".join(words(figures(noise_only=auc)))


def test_an_order_of_tiny_differences_is_no_shortcut():
    found = figures(noise_only=0.99)
    found["conditions"]["noise_only"]["malignant_gap"] = -0.012
    said = (
        "its malignant probability differs by 1.2 percentage points between malignant slices and the others (AUC 0.99)"
    )
    assert f"From the noise alone {said}: it makes next to nothing of the scanner's noise." in " ".join(words(found))
    found["conditions"]["noise_only"]["malignant_gap"] = 0.3
    assert "the scanner's noise is enough for it" in " ".join(words(found))


def test_words_on_what_is_left_when_the_surroundings_go():
    kept = " ".join(words(figures(lungs_only=0.94)))
    assert "From the lungs alone it does as well as on the whole slice (malignant AUC 0.94, there 0.95)." in kept
    lost = " ".join(words(figures(lungs_only=0.7, noise_equalised=0.99)))
    assert "From the lungs alone its malignant AUC falls from 0.95 to 0.70: it leans on what was taken away" in lost
    assert "With the noise made equal its malignant AUC rises from 0.95 to 0.99." in lost


def test_words_on_changes_that_should_not_matter():
    assert any(line.startswith("No change that leaves the lesion in sight") for line in words(figures()))
    found = figures(jpeg=0.88)
    found["conditions"]["rotation"]["balanced_accuracy"] = 0.6
    (line,) = (line for line in words(found) if "these cost it" in line)
    assert line.endswith("rotation, JPEG at quality 50.")


def test_every_sentence_is_recognised_by_the_page():
    """With every template among them, so that none can change on one side alone."""
    aucs = (0.97, 0.8, 0.55, 0.2)
    audits = [figures(**dict.fromkeys(HIDDEN, auc)) for auc in aucs]
    audits += [figures(**dict.fromkeys(VISIBLE, auc)) for auc in (0.99, 0.7)]
    audits.append(figures(**dict.fromkeys(CHANGES, 0.8)))
    mute = figures()
    for code in HIDDEN:
        mute["conditions"][code]["malignant_gap"] = 0.01
    moved = {"conditions": {}, "one_pixel": {"at_most": 0.049, "most": 0.021}}
    assert words(moved)[0].endswith("at most 5 percentage points, on 19 of 20 slices by at most 2.")
    used = set()
    for sentence in (sentence for found in [*audits, mute, moved] for sentence in words(found)):
        known = recognise(sentence)
        assert isinstance(known, Text)
        assert known == sentence
        used |= {known.template, *(value.template for value in known.values.values() if isinstance(value, Text))}
    assert used >= {*SENTENCES, *PARTS["said"]}
    assert not isinstance(recognise("From the lungs alone it does well."), Text)
    assert not isinstance(recognise("No change that leaves the lesion in sight (blur, fog) costs it much."), Text)


def test_words_keep_to_the_figures_there_are():
    assert words({"conditions": {}}) == []
    assert words({"conditions": {"noise_only": {"auc_malignant": None}}}) == []


def test_an_audit_is_of_the_folds_that_were_audited(tmp_path):
    write_results(tmp_path, ["basic_cnn"], ["grouped"])
    assert audit_of("basic_cnn", tmp_path) == {}
    write_audit(tmp_path, 0)
    one = audit_of("basic_cnn", tmp_path)
    assert (one["folds"], one["slices"]) == ([0], len(held_out("grouped", 0, 1).files))
    for fold in range(1, FOLDS):
        write_audit(tmp_path, fold)
    found = audit_of("basic_cnn", tmp_path)
    assert (found["folds"], found["slices"]) == (list(range(FOLDS)), 1054)
    assert list(found["conditions"]) == ["clean", *CONDITIONS]
    assert found["conditions"]["blur"]["auc_malignant"] < 0.7 < found["conditions"]["flip"]["auc_malignant"]
    assert found["words"] == words(found)
    document = render_document([{"title": "Basic CNN", "audit": found}, {"title": "ResNet-50"}])
    assert f"| Blurred | {found['conditions']['blur']['auc_malignant']:.3f} |" in document
    assert f"- {found['words'][0]}" in document
    assert "ResNet-50" not in document
    assert "Not measured yet" in render_document([{"title": "ResNet-50"}])


def write_audit(results, fold: int) -> None:
    """Logits under every condition: the true class is plain, but for blurred slices."""
    changed = {code: held_out("grouped", fold, 0.2 if code == "blur" else 2.0) for code in CONDITIONS}
    write_conditions(results / "grouped" / f"fold{fold}" / "basic_cnn" / "audit.csv", changed)


def test_one_pixel_is_the_farthest_that_a_probability_moves(tmp_path):
    write_results(tmp_path, ["basic_cnn"], ["grouped"])
    write_audit(tmp_path, 0)
    assert "one_pixel" not in audit_of("basic_cnn", tmp_path)
    for fold in range(FOLDS):
        folder = tmp_path / "grouped" / f"fold{fold}" / "basic_cnn"
        served = read_predictions(folder / "test.csv")
        logits = served.logits.copy()
        logits[0] = logits[0][::-1] if fold == 2 else logits[0]
        other = Predictions(served.files, logits, served.labels, served.groups)
        write_conditions(folder / "moved.csv", {"moved_0": served, "moved_1": other})
    moves = audit_of("basic_cnn", tmp_path)["one_pixel"]
    assert moves["most"] == 0
    assert moves["at_most"] > 0.1, "one slice of one fold"


def test_every_condition_is_drawn(tmp_path):
    draw_conditions(tmp_path / "conditions.png")
    assert (tmp_path / "conditions.png").stat().st_size > 20_000


def test_the_commands_options(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PICTURES", tmp_path / "page.png")
    assert command.main(["--pictures"]) == 0
    assert (tmp_path / "page.png").exists()
    assert command.main(["basic_cnn", "--data", str(tmp_path / "none")]) == 2
