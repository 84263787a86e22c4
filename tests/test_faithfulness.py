"""The deletion test on score functions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lungapp.faithfulness import REPEATS, measure
from lungapp.results import Faithfulness

SIZE = 96
PATCH = np.s_[30:48, 24:42]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A round body with texture, and a bright patch in it."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    grey = 0.3 + 0.2 * np.random.default_rng(1).random((SIZE, SIZE))
    grey[PATCH] = 1.0
    return np.where(rows**2 + columns**2 < 44**2, grey, 0).astype(np.float32)[..., None]


def hot(where: tuple[slice, slice]) -> np.ndarray:
    values = np.zeros((SIZE, SIZE), np.float32)
    values[where] = 1
    return values


def brightness(pictures: np.ndarray) -> np.ndarray:
    """A "probability" that hangs on the patch and on nothing else."""
    return pictures[:, *PATCH, 0].mean(axis=(1, 2))


def test_a_map_on_the_patch_that_the_score_hangs_on_is_supported(picture: np.ndarray) -> None:
    found = measure(picture, hot(PATCH), brightness)
    assert found.probability == pytest.approx(1.0)
    assert found.hottest_fall > 0.3
    assert len(found.random_falls) == REPEATS
    assert max(found.random_falls) == pytest.approx(0, abs=1e-6), "other parts never touch the hottest"
    assert found.supported


def test_a_map_elsewhere_is_not(picture: np.ndarray) -> None:
    found = measure(picture, hot(np.s_[60:78, 50:68]), brightness)
    assert found.hottest_fall == pytest.approx(0, abs=1e-6)
    assert not found.supported


def test_the_parts_have_one_size_lie_in_the_body_and_apart_from_the_hottest(picture: np.ndarray) -> None:
    seen: list[np.ndarray] = []

    def record(pictures: np.ndarray) -> np.ndarray:
        seen.append(pictures.copy())
        return np.full(len(pictures), 0.5)

    values = np.random.default_rng(2).random((SIZE, SIZE)).astype(np.float32)
    before = picture.copy()
    found = measure(picture, values, record)
    (pictures,) = seen  # one batch
    changed = pictures[1:, ..., 0] != pictures[0, ..., 0]
    body = picture[..., 0] > 0
    sizes = changed.sum(axis=(1, 2))
    assert np.array_equal(pictures[0], before)
    assert np.array_equal(picture, before)
    assert np.ptp(sizes) <= 2
    assert abs(sizes[0] - 0.1 * body.sum()) <= 3
    assert not changed[:, ~body].any()
    assert not (changed[0] & changed[1:]).any()
    assert values[changed[0]].min() >= np.quantile(values[body], 0.9) - 1e-3
    assert found.share == pytest.approx(0.1, abs=1e-3)


def test_a_map_that_colours_little_is_tested_on_that_little(picture: np.ndarray) -> None:
    found = measure(picture, hot(np.s_[36:42, 30:36]), brightness)
    assert found.share == pytest.approx(36 / (picture > 0).sum(), rel=0.01)


def test_the_same_seed_gives_the_same_figures(picture: np.ndarray) -> None:
    values = np.random.default_rng(3).random((SIZE, SIZE)).astype(np.float32)

    def mean(pictures: np.ndarray) -> np.ndarray:
        return pictures[:, :40].mean(axis=(1, 2, 3))

    assert measure(picture, values, mean) == measure(picture, values, mean)
    assert measure(picture, values, mean) != measure(picture, values, mean, seed=1)


def test_a_blank_map_is_not_tested(picture: np.ndarray) -> None:
    assert measure(picture, hot(np.s_[0:0, 0:0]), brightness) is None


def test_a_map_that_is_hot_only_outside_what_the_model_was_given_is_not_tested(picture: np.ndarray) -> None:
    assert measure(picture, hot(np.s_[0:4, 0:4]), brightness) is None


@pytest.mark.parametrize(
    ("hottest", "others", "supported"),
    [
        (0.5, (0.1, 0.2), True),
        (0.5, (0.0, 0.5), False),  # some other part counts for as much
        (0.08, (0.0, 0.01), False),  # too little to say that the score relied on it
        (-0.2, (-0.3, -0.4), False),
    ],
)
def test_when_a_map_is_supported(hottest: float, others: tuple[float, ...], supported: bool) -> None:
    found = Faithfulness(0.1, 0.9, hottest, others)
    assert found.supported is supported
    assert found.random_fall == pytest.approx(sum(others) / 2)
