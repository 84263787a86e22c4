"""A decoder for pydicom: every JPEG that DICOM knows, lossless and 12-bit ones too, by imagecodecs' libjpeg-turbo.

pydicom's own plugins decode these with GPL code, or with 8 bits only, or not at all.
"""

from __future__ import annotations

import imagecodecs
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

PLUGIN = "libjpeg-turbo"
SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("numpy", "imagecodecs"))
"""pydicom looks for this name, and for the next two functions."""


def is_available(uid: UID) -> bool:
    return uid in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """The pixels of one grey frame, little endian, as many bits each as the decoder yields."""
    pixels = imagecodecs.jpeg8_decode(frame)
    expected = (runner.rows, runner.columns)
    if pixels.shape != expected:
        raise ValueError(f"Expected an image of shape {expected}. Received: {pixels.shape}")
    bits = 8 * pixels.itemsize
    spare = bits - runner.bits_stored
    if runner.pixel_representation == 1 and spare > 0:
        # The codestream knows no signs: bring the sign bit of the stored bits to the top and back.
        pixels = (pixels << spare).view(f"i{pixels.itemsize}") >> spare
    runner.set_option("bits_allocated", bits)
    return pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def register() -> None:
    """Make the plugin known to pydicom; a second call changes nothing."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
