"""Changes of a model input that show what a model leans on.

A picture is (size, size) float32 in [0, 1] as `lungapp.preprocessing.to_input` makes it, 0 outside the thoracic cavity;
a batch is (n, size, size, 1). Nothing writes to the caller's array. What lies outside the cavity stays 0, except in
`keep_noise`. The random ones are the same on every run: each slice of a batch has a generator of its own.

A high figure on pictures of noise shows that this is enough for a model. A low one shows less: such pictures look like
nothing the models were taught with, and a model may use in whole pictures what it makes nothing of alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from lungapp.anatomy import lung_mask
from lungapp.preprocessing import SOFTENED

HAAR_TO_SIGMA = 0.6745
"""Median of the absolute value of a standard normal variable (Donoho & Johnstone 1994)."""

NOISY = 90
"""Percentile of the slices' noise levels that noise is brought to: nine in ten can reach it by adding noise."""

MARGIN = 1 / 75
"""What is added around a lung's hull, as a share of the side: the pleura, 3 pixels in 224."""

RIM = math.ceil(3 * SOFTENED) + 2
"""Pixels along the edge of the body that softening may have darkened, outside and inside of it."""

BOTH_LUNGS = 0.55
"""A part of the lungs wider than this share of the side is both of them."""

EDGE = 3
"""Of `keep_noise`: deviations of more than this many noise levels are edges of organs, not noise."""

SEED = 20
"""Of the audit's random conditions."""


def lung_region(picture: np.ndarray) -> np.ndarray:
    """What counts as inside the lungs: on each side the convex hull of all that is lung, and `MARGIN` around it.

    The hull takes in what is as dense as muscle and therefore no part of `lung_mask`: masses, also those that cut a
    lung in two, nodules at the pleura, vessels, and with them a part of heart and diaphragm; where the lungs reach
    around the heart, most of it. A lung that is dense as a whole is not found.

    Returns
    -------
    (size, size) bool; all False where there are no lungs.
    """
    body = _filled(picture > 0)
    # Outside the body is 0, and an input is softened: its edge would look airy.
    inside = cv2.erode(body.view(np.uint8), _disc(2 * RIM + 1)).astype(bool)
    lungs = lung_mask(np.where(inside, picture, np.float32(1)), inside).astype(np.uint8)
    if not lungs.any():
        return np.zeros(picture.shape, bool)
    _, parts, _, centres = cv2.connectedComponentsWithStats(_parted(lungs))
    left = centres[:, 0] < np.flatnonzero(body.any(axis=0)).mean()
    hulls = np.zeros(picture.shape, np.uint8)
    for side in (left, ~left):
        points = cv2.findNonZero(((parts > 0) & side[parts]).astype(np.uint8))
        if points is not None:
            cv2.fillConvexPoly(hulls, cv2.convexHull(points), 1)
    width = 2 * max(1, round(MARGIN * picture.shape[0])) + 1
    return cv2.dilate(hulls, _disc(width)).astype(bool) & body


def _disc(width: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))


def _parted(lungs: np.ndarray) -> np.ndarray:
    """Lungs that touch in the middle, cut where they are thinnest there: one hull would take in the heart."""
    lungs = lungs.copy()
    for left, _, columns, _, _ in cv2.connectedComponentsWithStats(lungs)[2][1:].tolist():
        if columns > BOTH_LUNGS * lungs.shape[1]:
            first, last = left + 2 * columns // 5, left + 3 * columns // 5
            cut = first + int(lungs[:, first:last].sum(axis=0).argmin())
            lungs[:, cut : cut + 2] = 0
    return lungs


def _filled(mask: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED).astype(bool)


def noise_level(picture: np.ndarray) -> float:
    """Standard deviation of the noise inside the body: the median absolute diagonal Haar detail over 0.6745.

    Edges and vessels fill few of the details, so the median hardly sees them (Donoho & Johnstone 1994, "Ideal spatial
    adaptation by wavelet shrinkage"). 0 where there is no body.
    """
    detail = (picture[:-1, :-1] - picture[1:, :-1] - picture[:-1, 1:] + picture[1:, 1:]) / 2
    inside = picture > 0
    inside = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
    return float(np.median(np.abs(detail[inside]))) / HAAR_TO_SIGMA if inside.any() else 0.0


def equalise_noise(picture: np.ndarray, target: float, random: np.random.Generator) -> np.ndarray:
    """Bring the noise inside the body up to the level ``target``; a picture that is as noisy or noisier stays.

    Variances add, but the median that the level is measured by follows only roughly where noise differs between
    tissues. Left at that, the quieter class would come out as the noisier one, so what was missed is made up for.
    """
    noise = random.standard_normal(picture.shape, np.float32)
    result, added = picture.copy(), 0.0
    for _ in range(4):
        missing = target**2 - noise_level(result) ** 2
        if not added and missing <= 0:
            break
        added = max(added + missing, 0.0)
        result = _with_noise(picture, noise * np.float32(np.sqrt(added)))
    return result


def add_noise(picture: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation ``sigma`` inside the body, clipped to [0, 1]."""
    return _with_noise(picture, random.standard_normal(picture.shape, np.float32) * np.float32(sigma))


def _with_noise(picture: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.where(picture > 0, np.clip(picture + noise, 0, 1), np.float32(0))


def keep_lungs(picture: np.ndarray) -> np.ndarray:
    """Everything but the lung region black; a slice without lungs is all black."""
    return np.where(lung_region(picture), picture, np.float32(0))


def keep_noise(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What a median filter of 5 pixels takes away, on a middle grey, all over the square.

    Values drawn from the slice's own noise take the place of edges (more than `EDGE` noise levels) and of the outside:
    the cavity's outline on an even grey would pass for
    noise. What is left of the anatomy is how rough its parts are.
    """
    inside = picture > 0
    residual = picture - cv2.medianBlur(np.where(inside, picture, np.float32(0.5)), 5)
    noise = inside & (np.abs(residual) <= EDGE * noise_level(picture))
    if not noise.any():
        return np.full_like(picture, 0.5)
    residual[~noise] = random.choice(residual[noise], int(np.count_nonzero(~noise)))
    return np.clip(residual + np.float32(0.5), 0, 1)


def rewindow(picture: np.ndarray, width: float) -> np.ndarray:
    """The picture in a window ``width`` times as wide, with the same centre."""
    return np.where(picture > 0, np.clip((picture - 0.5) / np.float32(width) + np.float32(0.5), 0, 1), np.float32(0))


def blur(picture: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """A Gaussian blur of ``sigma`` pixels."""
    return np.where(picture > 0, cv2.GaussianBlur(picture, (0, 0), sigma), np.float32(0))


def rotate(picture: np.ndarray, degrees: float = 10.0) -> np.ndarray:
    """Turned about the middle, anticlockwise."""
    size = picture.shape[0]
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)


def compress(picture: np.ndarray, quality: int) -> np.ndarray:
    """To 8-bit JPEG of ``quality`` (1 to 100) and back."""
    _, code = cv2.imencode(".jpg", np.rint(picture * 255).astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.float32) / 255
    return np.where(picture > 0, decoded, np.float32(0))


Condition = Callable[[np.ndarray], np.ndarray]
"""Batch (n, size, size, 1) float32 in [0, 1] → changed batch of the same shape."""


def _each(change: Callable[[np.ndarray], np.ndarray]) -> Condition:
    return lambda batch: np.stack([change(picture[..., 0]) for picture in batch])[..., None]


def _each_at_random(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Condition:
    def condition(batch: np.ndarray) -> np.ndarray:
        generators = (np.random.default_rng((SEED, place)) for place in range(len(batch)))
        changed = [change(picture, random) for picture, random in zip(batch[..., 0], generators, strict=True)]
        return np.stack(changed)[..., None]

    return condition


def _equalised(batch: np.ndarray) -> np.ndarray:
    target = float(np.percentile([noise_level(picture) for picture in batch[..., 0]], NOISY))
    return _each_at_random(lambda picture, random: equalise_noise(picture, target, random))(batch)


CONDITIONS: dict[str, Condition] = {
    "lungs_only": _each(keep_lungs),
    "noise_equalised": _equalised,
    "noise_only": _each_at_random(keep_noise),
    "window_wide": _each(lambda picture: rewindow(picture, 1.25)),
    "window_narrow": _each(lambda picture: rewindow(picture, 0.75)),
    "blur": _each(blur),
    "noise": _each_at_random(lambda picture, random: add_noise(picture, 0.02, random)),
    "rotation": _each(rotate),
    "flip": lambda batch: batch[:, :, ::-1].copy(),
    "jpeg": _each(lambda picture: compress(picture, 50)),
}
"""The audit's conditions in the order of its tables; beside them stands the slice as it is, "clean"."""
