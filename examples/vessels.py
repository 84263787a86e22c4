"""Lung vessels and bronchi: trees grown through the lungs in three dimensions, then cut by the slice.

The growth follows M. H. Tawhai, A. J. Pullan and P. J. Hunter, "Generation of an anatomically based three-dimensional
model of the conducting airways", Annals of Biomedical Engineering 28, 2000: a branch runs part of the way to the
centre of the points it has to supply, and these are then divided between its two children.
"""

from __future__ import annotations

import numpy as np

from examples.drawing import Canvas

SLICE_MM = 3.0
_EXTENT_MM = 80.0  # the lung reaches this far above and below its middle


def supply_points(lung: np.ndarray, canvas: Canvas, count: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """``count`` points (count, 3) in mm, uniform in the ``lung`` mask extruded to a volume centred on z = ``level``."""
    rows, columns = np.nonzero(lung)
    pick = rng.integers(0, len(rows), count)
    plane = (np.stack([columns[pick], rows[pick]], axis=1) + rng.random((count, 2)) - canvas.n / 2) * canvas.pitch
    return np.column_stack([plane, level + rng.uniform(-_EXTENT_MM, _EXTENT_MM, count)])


def grow(root: np.ndarray, points: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Branches of the tree that come near the slice, (branches, 11).

    A row holds start (3), a point that bends the branch (3), end (3), and the radius at either end, all in mm.
    """
    branches = []
    waiting = [(np.asarray(root, dtype=np.float64), np.zeros(3), radius, points)]
    while waiting:
        start, heading, wide, supplied = waiting.pop()
        if max(start[2], supplied[:, 2].max()) < -8 or min(start[2], supplied[:, 2].min()) > 8:
            continue  # nothing of this subtree can be seen in the slice
        centre = supplied.mean(axis=0)
        reach = centre - start
        length = np.linalg.norm(reach)
        # Short trunks divide near the hilum; twigs run on.
        share = rng.uniform(0.2, 0.32) if len(supplied) > 0.1 * len(points) else rng.uniform(0.35, 0.5)
        end = start + reach * share + rng.normal(0, 0.06, 3) * length
        # Murray's law: the cube of the radius grows with what is supplied.
        narrow = radius * (len(supplied) / len(points)) ** (1 / 3)
        branches.append(np.concatenate([start, start + heading * 0.17 * length, end, [0.5 * (wide + narrow), narrow]]))
        if len(supplied) > 1:
            offset = supplied - centre
            axis = np.linalg.eigh(offset.T @ offset)[1][:, -1]
            axis *= np.sign(axis[np.argmax(np.abs(axis))])  # an eigenvector's sign is left to the machine's library
            axis += rng.normal(0, 0.25, 3)
            side = offset @ axis > 0
            heading = (end - start) / max(np.linalg.norm(end - start), 1e-6)
            waiting += [(end, heading, narrow, part) for part in (supplied[side], supplied[~side]) if len(part)]
    return np.array(branches)


def cut(branches: np.ndarray, pieces: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the slice shows of ``branches``: ends (m, 2, 2) and radius (m,) in mm, and fill (m,) in (0, 1].

    Each branch is a quadratic curve in ``pieces`` straight pieces. ``fill`` is the share of the slice's thickness that
    a piece takes: thin vessels in the plane look fainter than those that pass through it.
    """
    t = np.linspace(0, 1, pieces + 1)[:, None, None]
    curve = (1 - t) ** 2 * branches[:, :3] + 2 * t * (1 - t) * branches[:, 3:6] + t**2 * branches[:, 6:9]
    start, end = curve[:-1].reshape(-1, 3), curve[1:].reshape(-1, 3)
    middle = (t[:-1, 0] + t[1:, 0]) / 2
    radius = ((1 - middle) * branches[:, 9] + middle * branches[:, 10]).ravel()
    height = SLICE_MM / 2 + radius / 2
    rise = end[:, 2] - start[:, 2]
    rise = np.where(np.abs(rise) < 1e-6, 1e-6, rise)
    at = np.sort(np.stack([(-height - start[:, 2]) / rise, (height - start[:, 2]) / rise]), axis=0).clip(0, 1)
    seen = at[1] > at[0]
    ends = start[:, None, :2] + at.T[:, :, None] * (end - start)[:, None, :2]
    # The whole branch counts, not the piece alone: a vessel along the viewing direction fills the slice.
    slope = np.abs(rise) / np.maximum(np.linalg.norm(end - start, axis=1), 1e-6)
    fill = np.minimum(1.0, 2 * radius / SLICE_MM / np.sqrt(np.maximum(1 - slope**2, 0.02)))
    return ends[seen], radius[seen], fill[seen]


def draw_vessels(canvas: Canvas, branches: np.ndarray) -> np.ndarray:
    """Share of blood, (n, n) float32 in [0, 1]."""
    share = np.zeros_like(canvas.hu)
    ends, radius, fill = cut(branches)
    # A line cannot be thinner than one pixel of the canvas: thinner vessels are drawn fainter instead.
    fill = fill * np.minimum(1.0, 2 * radius / canvas.pitch)
    for i in np.argsort(fill, kind="stable"):
        canvas.line(share, ends[i], 2 * radius[i], fill[i])
    return share


def draw_bronchi(canvas: Canvas, arteries: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shares of bronchial wall and of air, each (n, n) float32; a bronchus runs beside each larger artery."""
    wall, air = np.zeros_like(canvas.hu), np.zeros_like(canvas.hu)
    ends, radius, _ = cut(arteries[(arteries[:, 10] > 1.1) & (arteries[:, 9] < 3.0)])
    # One side for the whole tree, so that a bronchus stays on the same side of its artery.
    beside = np.array((0.7, -0.7)) * rng.choice([-1, 1])
    ends = ends + beside * (1.6 * radius)[:, None, None]
    for i in range(len(ends)):
        canvas.line(wall, ends[i], 2 * (0.6 * radius[i] + 0.5), 0.55)
        canvas.line(air, ends[i], 1.2 * radius[i], 0.85)
    return wall, air
