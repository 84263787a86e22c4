"""The shortcut audit: what its pictures hide and keep, what its figures and words follow from."""

from __future__ import annotations

import json

import cv2
import keras
import numpy as np
import pytest

from examples.phantoms import phantom
from lungapp.audit_sentences import CHANGES, HIDDEN, PARTS, SENTENCES, VISIBLE, recognise
from lungapp.cards import shipped
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS
from lungapp.settings import WEIGHTS
from lungapp.slices import Slice
from lungapp.texts import Text
from train import audit as command
from train.audit import attention, audit, condition_figures, predict_conditions, share_inside, table, with_audit
from train.audit_document import DOCUMENT, render_document
from train.audit_plots import condition_groups, draw_conditions, plot_audit
from train.audit_words import AIM, WELL, words
from train.conditions import (
    BORDER,
    CONDITIONS,
    add_noise,
    equalise_noise,
    keep_border,
    keep_lungs,
    keep_noise,
    lung_region,
    mask_lungs_out,
    noise_level,
    rewindow,
    rotate,
)
from train.pipeline import Part, entries_of, load_part

SIZE = 112


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    """Three phantoms as model inputs, with different noise."""
    spec = MODELS[0]
    pictures = [to_input(Slice(phantom(kind, seed=4, size=256), "HU"), spec) for kind in (None, "nodule", "mass")]
    random = np.random.default_rng(0)
    return np.stack([add_noise(picture, 0.012 * place, random) for place, picture in enumerate(pictures)])


@pytest.fixture(scope="module")
def part(batch) -> Part:
    inputs = np.stack([cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for picture in batch])[..., None]
    return Part(("a", "b", "c"), inputs, np.array([0, 1, 2]), np.array([0, 1, 2]))


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
    assert np.array_equal(changed, batch) == (name == "clean")
    assert np.array_equal(CONDITIONS[name](batch), changed)
    if name not in ("noise_only", "rotation", "flip"):
        assert not changed[batch == 0].any()


def test_conditions_are_the_pages(batch):
    named = {code for members in condition_groups().values() for code in members}
    assert named == set(CONDITIONS) == {"clean", *HIDDEN, *VISIBLE, *CHANGES}


def test_the_lung_region_takes_in_a_mass_at_the_pleura():
    grey = Slice(phantom("mass", seed=4, size=256), "HU")
    picture = to_input(grey, MODELS[0])[..., 0]
    healthy = to_input(Slice(phantom(None, seed=4, size=256), "HU"), MODELS[0])[..., 0]
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
        assert np.array_equal(mask_lungs_out(picture), picture)
        assert not keep_lungs(picture).any()


def test_nothing_inside_the_lungs_gets_past_the_mask():
    picture = add_noise(thorax_of_ellipses(), 0.02, np.random.default_rng(6))
    changed = picture.copy()
    region = lung_region(picture)
    deep = cv2.erode(region.astype(np.uint8), np.ones((13, 13))).astype(bool)
    changed[deep] = np.random.default_rng(1).uniform(0.15, 0.45, int(deep.sum()))
    changed[100:112, 58:70] = 0.9
    assert deep[100:112, 58:70].all()
    assert np.array_equal(lung_region(changed), region)
    assert len(np.unique(mask_lungs_out(changed)[region])) == 1
    assert np.array_equal(mask_lungs_out(changed), mask_lungs_out(picture))
    assert np.array_equal(keep_border(changed), keep_border(picture))


def test_nothing_outside_the_lungs_gets_past_the_other_mask(batch):
    picture = batch[0, ..., 0]
    region = lung_region(picture)
    outside = (picture > 0.7) & ~cv2.dilate(region.astype(np.uint8), np.ones((9, 9))).astype(bool)
    changed = np.where(outside, np.float32(0.95), picture)
    assert np.abs(changed - picture).max() > 0.1
    assert np.array_equal(keep_lungs(changed), keep_lungs(picture))
    assert np.array_equal(keep_lungs(picture)[region], picture[region])
    assert not keep_lungs(picture)[~region].any()


def test_the_lungs_are_filled_with_the_grey_of_soft_tissue():
    picture = thorax_of_ellipses()
    assert np.unique(mask_lungs_out(picture)).tolist() == pytest.approx([0, 0.8])


def test_the_border_is_a_band_of_the_stated_width():
    picture = np.zeros((200, 200), np.float32)
    picture[20:180, 10:190] = 0.8
    kept = keep_border(picture)
    width = round(BORDER * 200)
    assert (kept[100] > 0).sum() == 2 * width
    assert kept[20:180, 10].all()
    assert not kept[100, 10 + width : 190 - width].any()


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


@pytest.mark.parametrize(("name", "before"), [("noise_equalised", np.copy), ("lungs_only_noise_equalised", keep_lungs)])
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


def test_logits_are_those_of_the_changed_slices(part):
    model = mean_grey_model(SIZE)
    found = predict_conditions(model, part)
    assert list(found) == list(CONDITIONS)
    for name in ("clean", "lungs_only", "border_only"):
        mean = CONDITIONS[name](part.inputs).mean(axis=(1, 2, 3))
        assert found[name] == pytest.approx(np.stack([-mean, 0 * mean, mean], axis=1), abs=1e-5)
    assert list(predict_conditions(model, part, ("flip",))) == ["flip"]


def test_figures_of_a_condition():
    labels = np.array([0, 1, 2, 2])
    right = np.eye(3)[labels] * 4
    wrong = np.roll(right, 1, axis=1)
    found = condition_figures({"clean": right, "blur": wrong}, labels)
    assert found["clean"] == {"accuracy": 1.0, "balanced_accuracy": 1.0, "auc_malignant": 1.0, "malignant_gap": 0.947}
    assert found["blur"]["accuracy"] == 0
    assert found["blur"]["auc_malignant"] == 0.25
    assert condition_figures({"clean": right[:2]}, labels[:2])["clean"]["auc_malignant"] is None


def test_attention_of_a_model_that_looks_at_grey(part):
    inside, size = attention(mean_grey_model(SIZE), part)
    assert np.isnan(inside[:2]).all()  # nothing speaks for normal, and all maps are blank for benign
    picture, region = part.inputs[2, ..., 0], lung_region(part.inputs[2, ..., 0])
    assert inside[2] == pytest.approx(picture[region].sum() / picture.sum(), abs=0.01)
    assert size[2] == pytest.approx(region.sum() / (picture > 0).sum())


def test_share_inside_is_known_where_the_map_is():
    region = np.zeros((64, 64), bool)
    region[:, :32] = True
    half = np.zeros((8, 8), np.float32)
    assert np.isnan(share_inside(half, region))
    half[:, :2] = 1
    assert share_inside(half, region) == 1
    half[:, 6:] = 3
    assert share_inside(half, region) == pytest.approx(0.25)
    assert np.isnan(share_inside(half, np.zeros_like(region)))


def test_an_audit_has_the_cards_shape(part):
    found = audit(mean_grey_model(SIZE), part)
    assert found["slices"] == 3
    assert list(found["conditions"]) == list(CONDITIONS)
    assert set(found["attention_inside_lungs"]) == {"malignant"}
    assert set(found["lungs_share_of_body"]) == set(LABELS)
    assert all(line in table(found) for line in words(found))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def figures(**aucs: float) -> dict:
    """An audit in which every malignant AUC is 0.95 but those given; balanced accuracy is 0.8 throughout."""
    return {
        "slices": 105,
        "conditions": {
            code: {"accuracy": 0.8, "balanced_accuracy": 0.8, "auc_malignant": aucs.get(code, 0.95)}
            for code in CONDITIONS
        },
        "attention_inside_lungs": {"normal": 0.2, "malignant": 0.6},
        "lungs_share_of_body": {"normal": 0.4, "benign": 0.3, "malignant": 0.4},
    }


@pytest.mark.parametrize(
    ("auc", "said"),
    [
        (
            0.97,
            "it still tells malignant slices from the others (AUC 0.97): what lies outside the lungs is enough for it.",
        ),
        (0.896, "it still tells malignant slices from the others (AUC 0.90)"),
        (
            0.8,
            "it still tells malignant slices from the others in part (AUC 0.80): what lies outside the lungs helps it.",
        ),
        (
            0.55,
            "it hardly tells malignant slices from the others (AUC 0.55): what lies outside the lungs is not enough",
        ),
        (0.2, "it ranks malignant slices below the others (AUC 0.20)"),
    ],
)
def test_words_on_hidden_lungs(auc, said):
    assert f"With the lungs masked out {said}" in " ".join(words(figures(lungs_masked_out=auc)))


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
    kept = " ".join(words(figures(lungs_only=0.94, lungs_only_noise_equalised=0.96)))
    assert "From the lungs alone it does as well as on the whole slice (malignant AUC 0.94, there 0.95)." in kept
    assert "it should reach 0.95 and does." in kept
    lost = " ".join(words(figures(lungs_only=0.7, lungs_only_noise_equalised=AIM - 0.01, noise_equalised=0.99)))
    assert "From the lungs alone its malignant AUC falls from 0.95 to 0.70: it leans on what was taken away" in lost
    assert "With the noise made equal its malignant AUC rises from 0.95 to 0.99." in lost
    assert "and does not." in lost


def test_words_on_changes_that_should_not_matter():
    assert any(line.startswith("No change that leaves the lesion in sight") for line in words(figures()))
    found = figures(jpeg_20=0.88)
    found["conditions"]["rotation"]["balanced_accuracy"] = 0.6
    (line,) = (line for line in words(found) if "these cost it" in line)
    assert line.endswith("rotation, JPEG at quality 20.")


def test_words_on_attention_weigh_it_against_an_even_map():
    found = [line for line in words(figures()) if "Grad-CAM" in line]
    assert found == [
        "On normal slices Grad-CAM puts 20 % of its mass inside the lungs, which are 40 % of the body: "
        "less than an even map would.",
        "On benign slices the Grad-CAM map for benign is blank throughout.",
        "On malignant slices Grad-CAM puts 60 % of its mass inside the lungs, which are 40 % of the body: "
        "more than an even map would.",
    ]


def test_words_compare_with_the_weights_before():
    before = figures(lungs_masked_out=WELL, noise_only=0.95)
    now = figures(lungs_masked_out=0.6, noise_only=0.94)
    (line,) = (line for line in words({**now, "before": before}) if "change of training" in line)
    assert line == "The change of training took the malignant AUC with the lungs masked out from 0.90 to 0.60."
    same = words({**now, "before": now})
    assert any(line.startswith("The change of training moved none") for line in same)
    assert not any("change of training" in line for line in words(now))


def test_every_sentence_is_recognised_by_the_page():
    """With every template among them, so that none can change on one side alone."""
    aucs = (0.97, 0.8, 0.55, 0.2)
    audits = [figures(**dict.fromkeys(HIDDEN, auc)) for auc in aucs]
    audits += [figures(**dict.fromkeys(VISIBLE, auc)) for auc in (0.99, 0.7)]
    audits.append(figures(**dict.fromkeys(CHANGES, 0.8)))
    audits += [{**figures(noise_only=0.5), "before": before} for before in (figures(), figures(noise_only=0.5))]
    for share in (0.2, 0.4, 0.6):
        audits.append({**figures(), "attention_inside_lungs": dict.fromkeys(LABELS, share)})
    audits.append({**figures(), "lungs_share_of_body": {}})
    mute = figures()
    for code in HIDDEN:
        mute["conditions"][code]["malignant_gap"] = 0.01
    used = set()
    for sentence in (sentence for found in [*audits, mute] for sentence in words(found)):
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


def test_what_was_before_stays_beside_what_is():
    card = {"name": "basic_cnn", "labels": list(LABELS)}
    old, new = figures(lungs_masked_out=0.97), figures(lungs_masked_out=0.6)
    first = with_audit(card, old, before=True)
    assert "audit" not in card
    assert first["audit"] == {"before": old}
    second = with_audit(first, new)
    assert second["audit"] == {**new, "before": old, "words": words({**new, "before": old})}
    third = with_audit(second, figures())
    assert third["audit"]["before"] == old
    assert third["labels"] == card["labels"]


def test_the_document_shows_before_and_now():
    card = {"name": "basic_cnn", "title": "Basic CNN"}
    old, new = figures(lungs_masked_out=0.97), figures(lungs_masked_out=0.6)
    both = render_document([with_audit(with_audit(card, old, before=True), new)])
    assert "| 0.970 → 0.600 |" in both
    assert words(new)[0] in both
    only = render_document([with_audit(card, old, before=True)])
    assert "| 0.970 |" in only
    assert "→ 0" not in only
    assert "| 0.600 |" in render_document([with_audit(card, new)])


def test_pictures_are_drawn_of_phantoms_and_of_cards(tmp_path):
    draw_conditions(tmp_path / "conditions.png")
    card = with_audit(with_audit({"name": "basic_cnn"}, figures(), before=True), figures(noise_only=0.6))
    plot_audit([card, {"name": "resnet50"}], tmp_path / "figures.png")
    plot_audit([{"name": "resnet50"}], tmp_path / "nothing.png")
    assert (tmp_path / "conditions.png").stat().st_size > 20_000
    picture = cv2.imread(str(tmp_path / "figures.png"))
    assert picture.shape[0] > 400
    assert np.ptp(picture) > 200
    assert not (tmp_path / "nothing.png").exists()


def test_the_commands_options(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "PICTURES", tmp_path / "page.png")
    assert command.main(["--pictures"]) == 0
    assert (tmp_path / "page.png").exists()
    assert command.main(["basic_cnn", "--data", str(tmp_path / "none")]) == 2
    with pytest.raises(SystemExit):
        command.main(["--before"])
    assert "--before needs --write" in capsys.readouterr().err


def test_the_document_is_the_cards():
    cards = [json.loads((WEIGHTS / f"{spec.name}.json").read_text(encoding="utf-8")) for spec in shipped(WEIGHTS)]
    assert DOCUMENT.read_text(encoding="utf-8") == render_document(cards)
    for card in cards:
        if "conditions" in card.get("audit", {}):
            assert card["audit"]["words"] == words(card["audit"])


def test_real_lungs_are_found_inside_the_body(dataset):
    entries = [entry for part in ("train", "test") for entry in entries_of("grouped", part)][::23]
    assert len(entries) >= 40
    loaded = load_part(dataset, entries, MODELS[0])
    for name, picture in zip(loaded.files, loaded.inputs[..., 0], strict=True):
        region, body = lung_region(picture), picture > 0
        assert 0.05 < region.sum() / body.sum() < 0.75, name
        holes = region & ~body  # lung of -1250 HU is 0 too
        assert holes.sum() < 0.01 * region.sum(), name
        airy = body & (picture < 0.45) & cv2.erode(body.astype(np.uint8), np.ones((9, 9))).astype(bool)
        assert (airy & region).sum() > 0.8 * airy.sum(), name
