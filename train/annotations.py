"""Where readers drew lesions into DICOM slices: LIDC-IDRI's outlines and the boxes of Lung-PET-CT-Dx.

Sources: S. G. Armato et al., Medical Physics 38, 2011 (LIDC-IDRI's XML); P. Li et al., The Cancer Imaging Archive, doi
10.7937/TCIA.2020.NNC20461 (one XML a slice, named by its SOP Instance UID).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pydicom


def lesions(folder: Path) -> dict[Path, list[np.ndarray]]:
    """The annotated slices of a patient's ``folder``, each with its lesions' outlines: (points, 2) int32, columns and
    rows. A box is an outline of four points.
    """
    outlines: dict[str, list[np.ndarray]] = {}
    for path in sorted(folder.rglob("*.xml")):
        root = ElementTree.parse(path).getroot()  # noqa: S314 - published annotations, read by a developer
        for uid, outline in [*_boxes(root, path.stem), *_drawn(root)]:
            outlines.setdefault(uid, []).append(outline)
    return {
        path: outlines[uid]
        for path in sorted(folder.rglob("*.dcm"))
        if (uid := str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)) in outlines
    }


def _boxes(root: ElementTree.Element, uid: str) -> list[tuple[str, np.ndarray]]:
    ends = [[int(float(box.findtext(name, "0"))) for name in SIDES] for box in root.iter("bndbox")]
    return [
        (uid, np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32))
        for left, top, right, bottom in ends
    ]


SIDES = "xmin", "ymin", "xmax", "ymax"


def _drawn(root: ElementTree.Element) -> list[tuple[str, np.ndarray]]:
    """Nodules of 3 mm and more; what is drawn as excluded, a hole, is not one."""
    drawn = []
    for roi in root.iterfind(".//{*}unblindedReadNodule/{*}roi"):
        points = [(point.findtext("{*}xCoord"), point.findtext("{*}yCoord")) for point in roi.iterfind("{*}edgeMap")]
        if len(points) > 2 and roi.findtext("{*}inclusion") == "TRUE":
            drawn.append((roi.findtext("{*}imageSOP_UID", ""), np.array(points, np.int32)))
    return drawn
