"""Everything of the phantom but the lungs' inside: body, muscles, bones, mediastinum and the table, in mm and HU.

The contours were drawn by hand after the proportions of an adult's chest at the level of the right pulmonary artery.
"""

from __future__ import annotations

import numpy as np

from examples.drawing import Canvas, ellipse, mirrored, smooth_closed, strip

FAT, MUSCLE, SKIN, CORTEX, MARROW, CARTILAGE, AIR = -95, 50, 15, 480, 170, 110, -1000


def _points(text: str) -> np.ndarray:
    """The points (n, 2) in mm written as "x y, x y, ..."."""
    return np.array([point.split() for point in text.split(",")], dtype=np.float64)


# One half each; the other is its mirror image.
_BODY = _points("0 -99, 28 -103, 62 -99, 98 -80, 124 -45, 146 -8, 162 25, 165 46, 150 68, 112 84, 62 93, 26 95, 0 91")
_CAGE = _points("0 -71, 30 -77, 64 -73, 92 -51, 106 -16, 107 15, 99 44, 83 64, 62 72, 44 67, 29 57, 15 46, 0 43")

# Anti-clockwise from the front: what divides the two lungs, spine included.
_MEDIASTINUM = _points(
    "3 -90, 8 -74, 19 -63, 32 -52, 38 -36, 37 -20, 46 -9, 51 5, 43 14, 34 19, 33 31, 26 40, 19 47, 19 95, "
    "-18 95, -18 47, -17 36, -16 25, -25 19, -37 9, -42 -1, -37 -14, -36 -26, -31 -38, -20 -52, -8 -72, "
    "-4 -90"
)

# Outer side of the ribs and the muscles between them.
_WALL = _points("0 -84, 34 -88, 72 -83, 104 -57, 119 -18, 119 18, 110 48, 94 72, 62 84, 30 82, 0 78")

_PULMONARY_TRUNK = _points(
    "-20 2, -32 -3, -41 -1, -40 7, -28 9, -12 4, 12 -8, 30 -18, 38 -34, 31 -48, 16 -46, 8 -34, 12 -20, 0 -10"
)
_LEFT_PULMONARY_ARTERY = _points("43 -8, 49 0, 49 8, 41 12, 35 6, 37 -4")

_STERNUM = _points("-18 -86, -17 -91, 0 -92, 17 -91, 18 -86, 15 -82, 0 -81, -15 -82")
_VERTEBRAL_ARCH = _points("-13 48, 0 46, 13 48, 15 58, 8 68, 3 88, -3 88, -8 68, -15 58")
_VERTEBRAL_BODY = _points("-9 47, -16 44, -16 34, -11 26, 0 23.5, 11 26, 16 34, 16 44, 9 47, 0 46")
_RIB_HEAD = _points("15 45, 30 60, 46 73, 60 79")
_SCAPULA = _points("88 81, 106 73, 123 60, 134 44")

_PECTORAL = _points("12 -86, 45 -91, 78 -84, 98 -66, 104 -54, 90 -58, 62 -79, 30 -83")
_SERRATUS = _points("104 -48, 117 -25, 120 5, 116 36, 106 56, 104 30, 108 0, 105 -28")
_LATISSIMUS = _points("112 46, 118 10, 128 -4, 142 8, 153 28, 154 48, 140 63, 118 70, 104 68")
_INFRASPINATUS = _points("92 74, 108 60, 122 50, 138 44, 140 58, 124 72, 100 84, 74 87")
_ERECTOR = _points("3 70, 12 64, 30 70, 46 78, 42 86, 22 89, 5 87")
_TRAPEZIUS = _points("3 88, 30 90, 66 86, 84 82, 70 90, 28 93, 4 91")


def _both(half: np.ndarray) -> np.ndarray:
    return np.vstack([half, mirrored(half)[::-1][1:-1]])


def cage_outline(offset: float = 0.0) -> np.ndarray:
    """Inner side of the chest wall, (240, 2) mm, moved outwards by ``offset`` mm."""
    outline = smooth_closed(_both(_CAGE))
    along = np.roll(outline, -2, axis=0) - np.roll(outline, 2, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1)
    return outline + offset * normal / np.linalg.norm(normal, axis=1, keepdims=True)


def draw_surroundings(canvas: Canvas, rng: np.random.Generator) -> None:
    """The table, its mat and a few folds of a gown; drawn before the body."""
    across = np.linspace(-200, 200, 41)
    for depth, sag, width, hu in ((122, 50, 2.0, 330), (150, 64, 2.2, 330), (107, 36, 0.6, -900)):
        line = np.stack([across, depth - sag * (across / 200) ** 2 * (0.8 + 0.2 * (across / 200) ** 2)], axis=1)
        canvas.fill(strip(line, width, taper=0), hu)
    for _ in range(5):
        x, bow = rng.uniform(-70, 60), rng.uniform(2, 7)
        fold = [(x + 9 * i, -104 + 0.0016 * (x + 9 * i) ** 2 - bow * abs(np.sin(i + bow))) for i in range(5)]
        canvas.fill(strip(fold, 0.9), -880 + rng.uniform(-60, 60))


def draw_wall(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Skin, fat and muscles; returns the body as (n, n) uint8."""
    body = smooth_closed(_both(_BODY))
    canvas.fill(body, SKIN)
    canvas.fill(body * (0.987, 0.981) + (0, -0.1), FAT)
    for half in (_PECTORAL, _SERRATUS, _LATISSIMUS, _INFRASPINATUS, _ERECTOR, _TRAPEZIUS):
        for side in (half, mirrored(half)):
            canvas.fill(smooth_closed(side + rng.normal(0, 1.0, side.shape)), MUSCLE + rng.normal(0, 6))
    for _ in range(26):  # septa in the fat and fat planes in the muscles
        x, y = body[rng.integers(len(body))] * rng.uniform(0.78, 0.95)
        turn = rng.normal([y, -x], 25) / np.hypot(x, y) * rng.uniform(4, 12)
        canvas.fill(
            strip([(x, y), (x + turn[0] / 2, y + turn[1] / 2 + 1), (x + turn[0], y + turn[1])], 0.9),
            rng.choice([FAT + 60, MUSCLE - 60]),
        )
    canvas.fill(smooth_closed(_both(_WALL)), MUSCLE - 8)
    return canvas.mask(body)


def lung_mask(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Both lungs as (n, n) uint8: the cage less the mediastinum."""
    middle = canvas.mask(smooth_closed(_MEDIASTINUM + rng.normal(0, 0.7, _MEDIASTINUM.shape)))
    return canvas.mask(cage_outline()) & (1 - middle)


def draw_mediastinum(canvas: Canvas, blood: float) -> None:
    """Great vessels, oesophagus and main bronchi in fat; ``blood`` is in HU."""
    canvas.fill(cage_outline(1.2), FAT + 75)
    wall = MUSCLE - 5
    organs = [
        (smooth_closed(_PULMONARY_TRUNK), blood),
        (smooth_closed(_LEFT_PULMONARY_ARTERY), blood),
        (ellipse(-5, -30, 16.5, 15.5, 20), blood - 6),  # ascending aorta
        (ellipse(-27, -18, 8.5, 10, 30), blood + 10),  # superior vena cava
        (ellipse(19.5, 30, 12.2, 12), blood - 3),  # descending aorta
        (ellipse(3, 21, 6.5, 4.5, -15), wall),
        (ellipse(4, 21, 1.2, 0.8), -600),  # oesophagus and its air
        (ellipse(-24, 12, 9.2, 6.8, 25), wall),
        (ellipse(-24, 12, 7.6, 5.2, 25), AIR + 15),  # right main bronchus
        (ellipse(16, 8, 10.8, 5.8, 18), wall),
        (ellipse(16, 8, 9.2, 4.3, 18), AIR + 15),  # left main bronchus
    ]
    for outline, hu in organs:
        canvas.fill(outline, hu)
    for x, y in ((-4, 6), (-14, -8), (27, 0), (10, -55)):  # lymph nodes
        canvas.fill(ellipse(x, y, 3, 2.2, 30), wall)


def _draw_bone(canvas: Canvas, outline: np.ndarray, marrow: np.ndarray) -> None:
    canvas.fill(outline, CORTEX)
    canvas.fill(marrow, MARROW)


def draw_ribs(canvas: Canvas, rng: np.random.Generator) -> None:
    """Six ribs a side, cut obliquely, and the sternum with its cartilage."""
    wall, outer = cage_outline(5.2), cage_outline(8.0)
    angle = np.degrees(np.arctan2(wall[:, 1] + 4, wall[:, 0]))
    for side in (1, -1):
        for middle, length in ((-57, 26), (-36, 34), (-10, 40), (16, 30), (37, 30), (58, 24)):
            centre = int(np.argmin(np.abs(angle - middle - rng.normal(0, 4))))
            steps = length * rng.uniform(0.8, 1.2) * np.linspace(-0.5, 0.5, 7)
            spacing = np.linalg.norm(np.diff(wall, axis=0), axis=1).mean()
            at = (centre + np.round(steps / spacing).astype(int)) % len(wall)
            # A rib runs downwards and forwards: the slice cuts it aslant, one end nearer to the lung than the other.
            lean = rng.uniform(0.2, 0.8) * np.linspace(-1, 1, 7)[:, None]
            line = (wall[at] + lean * (outer[at] - wall[at])) * (side, 1)
            width = rng.uniform(5.0, 7.2)
            _draw_bone(canvas, strip(line, width), strip(line[1:-1], width - 2.4))
    for side in (1, -1):
        canvas.fill(strip([(side * 20, -83), (side * 30, -84), (side * 44, -82)], 8), CARTILAGE)
    sternum = smooth_closed(_STERNUM)
    _draw_bone(canvas, sternum, (sternum - (0, -86.5)) * (0.88, 0.72) + (0, -86.5))


def draw_spine(canvas: Canvas) -> None:
    """A thoracic vertebra with the heads of its ribs."""
    for side in ((1, 1), (-1, 1)):
        _draw_bone(canvas, strip(_RIB_HEAD * side, 7.5), strip((_RIB_HEAD - (1, 0.5)) * side, 4.3))
        process = _points("8 60, 22 63, 34 72") * side
        _draw_bone(canvas, strip(process, 9), strip(process * (0.95, 1) + (0, 0.5), 5.5))
    canvas.fill(smooth_closed(_VERTEBRAL_ARCH), CORTEX)
    canvas.fill(strip(_points("0 70, 0 77, 0 85"), 3.4), MARROW)
    canvas.fill(ellipse(0, 57, 9.2, 7.6), -40)
    canvas.fill(ellipse(0, 57.5, 5.2, 4.2), 35)  # spinal cord
    body = smooth_closed(_VERTEBRAL_BODY)
    _draw_bone(canvas, body, (body - (0, 35)) * 0.93 + (0, 35))


def draw_scapulae(canvas: Canvas) -> None:
    """The shoulder blades: thin, seen edge-on."""
    for side in ((1, 1), (-1, 1)):
        _draw_bone(canvas, strip(_SCAPULA * side, 6.2, taper=0.2), strip(_SCAPULA * side, 2.8))
