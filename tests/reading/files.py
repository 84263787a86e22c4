"""Files of every format, written on the spot."""

from __future__ import annotations

import gzip
import zipfile
from io import BytesIO

import nibabel as nib
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from examples.phantoms import phantom

SECRET = "Mustermann"
STORED = (np.arange(20 * 16).reshape(20, 16) * 10).astype(np.int16)
HU = STORED - np.float32(1024)


def make_dataset(stored: np.ndarray = STORED, **attributes: object) -> Dataset:
    """A CT image with everything that identifies a patient in it; an attribute of None is left out."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4567"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = SECRET, SECRET, "19500101"
    dataset.StudyDate, dataset.InstitutionName, dataset.StudyInstanceUID = "20200229", SECRET, "1.2.3.4568"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(stored.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def write(dataset: Dataset, syntax: str = ExplicitVRLittleEndian, preamble: bool = True) -> bytes:
    stream = BytesIO()
    if not preamble:
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        dataset.save_as(stream, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
        return stream.getvalue()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write_compressed(dataset: Dataset, syntax: str, frames: list[bytes]) -> bytes:
    """``dataset`` with ``frames``, each already encoded, as its pixels."""
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return write(dataset, syntax)


def encode(pixels: np.ndarray | Image.Image, name: str = "PNG", **options: object) -> bytes:
    """A picture in one of Pillow's formats."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def write_zip(files: dict[str, bytes]) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def write_nifti(volume: np.ndarray, affine: np.ndarray | None = None, packed: bool = False, **header: object) -> bytes:
    """``volume`` (x, y, z) as NIfTI-1."""
    image = nib.Nifti1Image(volume, np.diag([0.7, 0.7, 2.5, 1]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    return gzip.compress(image.to_bytes()) if packed else image.to_bytes()


def chest(kind: str | None = "mass", seed: int = 3, size: int = 64) -> np.ndarray:
    """A phantom in HU, (size, size) int16."""
    return np.rint(phantom(kind, seed=seed, size=size)).astype(np.int16)


def write_chest(pixels: np.ndarray | None = None, **attributes: object) -> bytes:
    """A phantom as a DICOM file that stores HU as they are."""
    return write(make_dataset(chest() if pixels is None else pixels, **{"RescaleIntercept": 0, **attributes}))
