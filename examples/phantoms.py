"""Synthetic axial chest CT slices in Hounsfield units: no patient, free to pass on.

``phantom()`` is all there is to call. Anatomy, vessels, lesion and noise draw from separate random streams, so that
with one seed the slices with and without a lesion are the same outside that lesion.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from examples import thorax, vessels
from examples.drawing import FIELD_MM, SUPERSAMPLING, Canvas, Warp, strip

Lesion = Literal["nodule", "mass"] | None
OUTSIDE_FIELD = -1024.0
"""HU that a scanner writes where it reconstructs nothing."""


def phantom(lesion: Lesion = None, seed: int = 0, size: int = 512) -> np.ndarray:
    """One axial slice at the level of the main bronchi, (size, size) float32 in HU; the field of view is 358.4 mm.

    Parameters
    ----------
    lesion : None, ``"nodule"`` (about 14 mm, inside one lung) or ``"mass"`` (about 45 mm, spiculated, at the pleura).
    seed : varies shape and size of the anatomy, vessels, contrast agent, place of the lesion, and noise.
    size : rows and columns.

    Raises
    ------
    ValueError : ``lesion`` is none of the above.
    """
    if lesion not in (None, "nodule", "mass"):
        raise ValueError(f"Expected lesion None, 'nodule' or 'mass'. Received: {lesion!r}")
    shape, tree, growth, noise = (np.random.default_rng([seed, stream]) for stream in range(4))
    canvas = Canvas(size)
    thorax.draw_surroundings(canvas, shape)
    canvas.warp = _warp(shape)  # the table keeps its shape, the patient varies
    blood = shape.uniform(45, 150)
    body = thorax.draw_wall(canvas, shape)
    thorax.draw_mediastinum(canvas, blood)
    lung = thorax.lung_mask(canvas, shape)
    thorax.draw_ribs(canvas, shape)
    thorax.draw_scapulae(canvas)
    thorax.draw_spine(canvas)
    spongy = (canvas.hu > 150) & (canvas.hu < 260)
    canvas.hu += spongy * 45 * _texture(canvas.n, 1.6, shape)
    inside = _lung_interior(canvas, lung, blood, tree)
    if lesion:
        inside = _add_lesion(inside, canvas, lung, lesion, growth)
    np.copyto(canvas.hu, inside, where=lung.astype(bool))
    return _scan(canvas, body, lung, noise)


def _warp(rng: np.random.Generator) -> Warp:
    """A smooth random change of shape, the same for every contour, so that neighbours stay neighbours."""
    scale = rng.uniform((0.94, 0.93), (1.03, 1.05))
    shift = rng.normal(0, (4, 3))
    waves = [(rng.normal(0, 1 / 70, 2), rng.uniform(0, 2 * np.pi), rng.normal(0, 1.8, 2)) for _ in range(5)]

    def warp(points: np.ndarray) -> np.ndarray:
        bend = sum(np.sin(points @ k + phase)[..., None] * amplitude for k, phase, amplitude in waves)
        return points * scale + shift + bend

    return warp


def _texture(n: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (n, n) float32 of standard deviation 1 and a grain of about ``sigma`` pixels."""
    coarse = max(1, int(sigma / 3))  # a coarse grain needs no fine grid
    white = rng.standard_normal((-(-n // coarse),) * 2, dtype=np.float32)
    field = cv2.resize(cv2.GaussianBlur(white, (0, 0), sigma / coarse), (n, n), interpolation=cv2.INTER_CUBIC)
    return field / field.std()


def _lung_interior(canvas: Canvas, lung: np.ndarray, blood: float, rng: np.random.Generator) -> np.ndarray:
    """Parenchyma, fissures, vessels and bronchi, (n, n) float32 in HU; meaningful inside ``lung`` only."""
    y = (np.arange(canvas.n, dtype=np.float32)[:, None] / canvas.n - 0.5) * FIELD_MM
    # Supine, the blood sinks: the back of the lung is denser.
    tissue = rng.uniform(-868, -825) + 0.3 * (y + 70).clip(0) + 0.006 * (y - 20).clip(0) ** 2
    tissue = tissue + 20 * _texture(canvas.n, 3, rng) + 18 * _texture(canvas.n, 26, rng)
    tissue = np.broadcast_to(tissue, lung.shape).astype(np.float32)
    middle = canvas.n // 2
    wall, air, share = (np.zeros_like(canvas.hu) for _ in range(3))
    core = cv2.erode(lung, np.ones((9, 9), np.uint8))
    for columns, hilum in ((slice(0, middle), (-28, 2)), (slice(middle, None), (36, 5))):
        half = np.zeros_like(core)
        half[:, columns] = core[:, columns]
        # The slice must not lie where the tree first divides into above and below: no vessels would cross it there.
        level = rng.choice((-1, 1)) * rng.uniform(18, 34)
        for kind, radius in (("artery", 4.7), ("vein", 4.2)):
            points = vessels.supply_points(half, canvas, 6000, level, rng)
            at = canvas.warp(np.array(hilum) + rng.normal(0, 2, 2) + (0, 5 if kind == "vein" else 0))
            branches = vessels.grow(np.append(at, 0.5 * level + rng.normal(0, 4)), points, radius, rng)
            share = np.maximum(share, vessels.draw_vessels(canvas, branches))
            if kind == "artery":
                new_wall, new_air = vessels.draw_bronchi(canvas, branches, rng)
                wall, air = np.maximum(wall, new_wall), np.maximum(air, new_air)
    share = np.maximum(share, wall * (1 - share))
    tissue = tissue + share * (blood - 10 - tissue)
    tissue = tissue + air * (-985 - tissue)
    return tissue + _fissures(canvas, rng) * (-550 - tissue)


def _fissures(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Share of pleura, (n, n) float32: each oblique fissure is a faint line where it crosses the slice aslant."""
    share = np.zeros_like(canvas.hu)
    for side in (-1, 1):
        y = rng.normal(6, 6)
        line = [(side * 45, y), (side * 75, y - rng.uniform(4, 12)), (side * 108, y + rng.uniform(4, 14))]
        cv2.fillPoly(share, [canvas.fixed_point(canvas.warp(strip(line, rng.uniform(0.8, 1.8), 0)))], 1.0, shift=4)
    return cv2.GaussianBlur(share, (0, 0), 0.7 / canvas.pitch) * rng.uniform(0.4, 0.8)


def _add_lesion(
    inside: np.ndarray, canvas: Canvas, lung: np.ndarray, lesion: str, rng: np.random.Generator
) -> np.ndarray:
    """A copy of ``inside`` (n, n) with a lesion of solid tissue, lobed and, for a mass, spiculated."""
    depth = cv2.distanceTransform(lung, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * canvas.pitch
    aside = np.abs(np.arange(canvas.n) / canvas.n - 0.5) * FIELD_MM
    radius, nearest, farthest, beyond = (7.0, 15, 26, 60) if lesion == "nodule" else (22.0, 13.5, 16.5, 68)
    rows, columns = np.nonzero((depth > nearest) & (depth < farthest) & (aside > beyond))
    pick = rng.integers(len(rows))
    centre = (np.array([columns[pick], rows[pick]]) - canvas.n / 2) * canvas.pitch
    share = _spicules(canvas, centre, radius, 5 if lesion == "nodule" else 34, rng)
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    waves = [rng.normal(0, 0.06) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 8)]
    rim = radius * (1 + np.sum(waves, axis=0))
    outline = centre + rim[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    cv2.fillPoly(share, [canvas.fixed_point(outline)], 1.0, shift=4)
    halo = cv2.GaussianBlur(share, (0, 0), 3.0 / canvas.pitch) * 0.3
    share = np.maximum(cv2.GaussianBlur(share, (0, 0), 0.5 / canvas.pitch), halo)
    return inside + share * (38 + 12 * _texture(canvas.n, 8, rng) - inside)


def _spicules(canvas: Canvas, centre: np.ndarray, radius: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Share of tissue, (n, n) float32, in ``count`` strands that run outwards from a lesion's rim and thin out."""
    share = np.zeros_like(canvas.hu)
    for _ in range(count):
        turn, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.25)
        reach = np.linspace(0.8, rng.uniform(1.15, 1.75), 6)
        angle = turn + bend * reach
        path = centre + radius * reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        width, fill = rng.uniform(0.5, 1.7), rng.uniform(0.35, 0.85)
        for step in range(5):
            canvas.line(share, path[step : step + 2], width * (1 - step / 6), fill * (1 - step / 7))
    return share


def _scan(canvas: Canvas, body: np.ndarray, lung: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of the canvas: pixels, blur, noise and a round field of view."""
    size = canvas.n // SUPERSAMPLING
    hu = cv2.resize(canvas.hu, (size, size), interpolation=cv2.INTER_AREA)
    hu = cv2.GaussianBlur(hu, (0, 0), 0.6)
    # Fewer photons come through the middle of the body, and fewer through muscle than through lung.
    dense = cv2.resize((body - 0.55 * lung).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    sigma = 16 + 34 * cv2.GaussianBlur(dense, (0, 0), size / 16)
    hu += rng.uniform(0.9, 1.25) * sigma * _ct_noise(size, rng)
    across = (np.arange(size) - (size - 1) / 2) / size
    hu[np.hypot(across[:, None], across) > 0.57] = OUTSIDE_FIELD
    return np.maximum(hu, OUTSIDE_FIELD).astype(np.float32)


def _ct_noise(size: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (size, size) float32 of standard deviation 1 with the spectrum of filtered back-projection.

    The power rises with frequency (ramp) and is cut off smoothly (Hann): S. J. Riederer, N. J. Pelc and D. A. Chesler,
    "The noise power spectrum in computed X-ray tomography", Physics in Medicine and Biology 23, 1978.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    hann = np.where(frequency < 0.55, 0.5 + 0.5 * np.cos(np.pi * frequency / 0.55), 0)
    # More photons are lost along the wide axis of the body: streaks from side to side.
    streaks = 0.6 + 0.8 * np.fft.fftfreq(size)[:, None] ** 2 / np.maximum(frequency, 1e-9) ** 2
    power = frequency * hann**2 * streaks
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * np.sqrt(power), s=(size, size))
    return (field / field.std()).astype(np.float32)
