"""Small files that would cost far more than they are worth, each as its maker: the attack is the test."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.reading.files import chest, encode, make_dataset, write, write_compressed, write_nifti

PICTURE = encode(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))


def nifti_header(shape: tuple[int, int, int] = (6000, 6000, 2000)) -> bytes:
    """352 bytes that tell of gigabytes."""
    header = bytearray(write_nifti(np.zeros((2, 2, 2), np.int16))[:352])
    struct.pack_into("<4h", header, 40, 3, *shape)
    return bytes(header)


def packed_nifti_header() -> bytes:
    return gzip.compress(nifti_header())


def nifti_extensions() -> bytes:
    """Millions of extensions between the header and the volume."""
    header = bytearray(write_nifti(np.zeros((2, 2, 2), np.int16))[:352])
    header[348] = 1
    size = 16 * 4_000_000
    struct.pack_into("<f", header, 108, 352.0 + size)
    return bytes(header) + struct.pack("<ii8x", 16, 6) * 4_000_000


def dicom_items() -> bytes:
    """A sequence of millions of empty items."""
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 4_000_000
    sequence = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, len(items)) + items
    return _with_element(write(make_dataset(chest())), sequence)


def dicom_open_items() -> bytes:
    """The same without a length, which is parsed at once."""
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 4_000_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return _with_element(write(make_dataset(chest())), struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 2**32 - 1) + items)


def dicom_attributes() -> bytes:
    """Millions of empty attributes."""
    return _with_element(write(make_dataset(chest())), b"\x09\x00\x10\x10LO\0\0" * 4_000_000)


def dicom_meta() -> bytes:
    """Millions of empty attributes of the meta information, before anything else."""
    data = write(make_dataset(chest()))
    return data[:132] + b"\x02\x00\x16\x00AE\0\0" * 4_000_000 + data[132:]


def dicom_nested() -> bytes:
    """Millions of empty attributes in the one item of a sequence."""
    inside = b"\x08\x00\x50\x11UI\0\0" * 4_000_000
    item = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(inside)) + inside
    return _with_element(
        write(make_dataset(chest())), struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, len(item)) + item
    )


def dicom_deep() -> bytes:
    """Sequences in sequences, tens of thousands deep."""
    opening = struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 2**32 - 1) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return _with_element(write(make_dataset(chest())), opening * 50_000)


def dicom_fragments() -> bytes:
    """Compressed pixels in millions of empty fragments."""
    data = write_compressed(make_dataset(chest().astype(np.uint8)), JPEGBaseline8Bit, [b"\xff\xd8\xff\xd9"])
    end = data.rindex(b"\xfe\xff\xdd\xe0")
    return data[:end] + b"\xfe\xff\x00\xe0\0\0\0\0" * 200_000 + data[end:]


def dicom_frames() -> bytes:
    """Thousands of frames that are not there."""
    return write(make_dataset(chest(), NumberOfFrames=2000))


def dicom_deflated() -> bytes:
    """Zeros, a thousand to one."""
    data = write(make_dataset(chest()), DeflatedExplicitVRLittleEndian)
    head = data[: 144 + struct.unpack_from("<L", data, 140)[0]]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return head + deflater.compress(bytes(400 * 2**20)) + deflater.flush()


def dicom_scans() -> bytes:
    return write_compressed(make_dataset(np.zeros((2000, 2000), np.uint8)), JPEGBaseline8Bit, [jpeg_scans(2000, 1000)])


def jpeg_scans(side: int = 2000, scans: int = 3000) -> bytes:
    """One pass over all pixels after another, a few bytes each."""
    data = encode(np.zeros((side, side), np.uint8), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * scans + data[-2:]


def tiff_pages(pages: int = 100_000) -> bytes:
    """Directories without end, each the same small picture."""
    one = encode(np.zeros((16, 16), np.uint8), "TIFF")
    (first,) = struct.unpack_from("<L", one, 4)
    (entries,) = struct.unpack_from("<H", one, first)
    directory = one[first : first + 2 + 12 * entries]
    data, size = bytearray(one), len(directory) + 4
    base = len(data)
    struct.pack_into("<L", data, 4, base)
    for page in range(pages):
        data += directory + struct.pack("<L", base + (page + 1) * size if page + 1 < pages else 0)
    return bytes(data)


def tiff_loop() -> bytes:
    """A directory whose next one is itself."""
    data = bytearray(encode(np.zeros((16, 16), np.uint8), "TIFF"))
    (first,) = struct.unpack_from("<L", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<L", data, first + 2 + 12 * entries, first)
    return bytes(data)


def tiff_entries() -> bytes:
    """Directories of 65,535 entries each."""
    entries = struct.pack("<HHLL", 700, 1, 4, 0) * 65_535
    data = bytearray(b"II*\0" + struct.pack("<L", 8))
    for page in range(60):
        at = 8 + page * (2 + len(entries) + 4)
        data += struct.pack("<H", 65_535) + entries + struct.pack("<L", at + 2 + len(entries) + 4 if page < 59 else 0)
    return bytes(data)


def tiff_strips() -> bytes:
    """A strip that is said to hold gigabytes."""
    data = bytearray(encode(np.zeros((16, 16), np.uint8), "TIFF"))
    (first,) = struct.unpack_from("<L", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    for at in range(first + 2, first + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, at)[0] == 279:
            struct.pack_into("<HHLL", data, at, 279, 4, 1, 2**32 - 1)
    return bytes(data)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """`PICTURE` with a chunk before its pixels."""
    chunk = struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))
    return PICTURE[:33] + chunk + PICTURE[33:]


def png_exif() -> bytes:
    """EXIF data whose directories point at one another."""
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005, 0x927C))
    return png_chunk(b"eXIf", b"II*\0\x08\0\0\0" + struct.pack("<H", 4) + entries + struct.pack("<L", 8))


def png_long_exif() -> bytes:
    """An EXIF value that is the whole of the data, for each of thousands of tags."""
    entries = b"".join(struct.pack("<HHLL", tag, 1, 700_000, 8) for tag in range(30_000, 60_000))
    return png_chunk(b"eXIf", b"II*\0\x08\0\0\0" + struct.pack("<H", 30_000) + entries + bytes(400_000))


def png_text() -> bytes:
    """Compressed text of half a gigabyte."""
    return png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(512 * 2**20)))


def png_profile() -> bytes:
    """A colour profile of half a gigabyte."""
    return png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(512 * 2**20)))


def webp_frames() -> bytes:
    """An animation of a thousand large frames in a few bytes each."""
    frames = [Image.new("L", (3000, 2500), shade) for shade in (0, 255)] * 10
    return encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


def bmp_header() -> bytes:
    """54 bytes that tell of 39 million pixels."""
    data = bytearray(encode(np.zeros((4, 4, 3), np.uint8), "BMP")[:54])
    struct.pack_into("<ll", data, 18, 6200, 6200)
    return bytes(data)


def gzip_zeros() -> bytes:
    return gzip.compress(bytes(500 * 2**20))


def gzip_in_gzip() -> bytes:
    return gzip.compress(gzip.compress(bytes(500 * 2**20)))


def zip_members(members: int = 400_000) -> bytes:
    """Hundreds of thousands of members without content."""
    head = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = min(members, 65_535)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entry) * members, len(head), 0)
    return head + entry * members + end


def zip_overlapping(members: int = 4000) -> bytes:
    """Members that all are the same compressed megabytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", np.random.default_rng(0).bytes(2**16) + bytes(4 * 2**20))
    data = stream.getvalue()
    start = data.index(b"PK\x01\x02")
    entry, end = data[start : data.rindex(b"PK\x05\x06")], bytearray(data[data.rindex(b"PK\x05\x06") :])
    struct.pack_into("<HHL", end, 8, members, members, len(entry) * members)
    return data[:start] + entry * members + bytes(end)


def zip_nested_bombs() -> bytes:
    """An archive of gzip files that are zeros each."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        packed = gzip.compress(bytes(190 * 2**20))
        for number in range(200):
            archive.writestr(str(number), packed)
    return stream.getvalue()


def zip_in_zip() -> bytes:
    """An inner archive that would be unpacked anew for each of its thousands of members."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("large", np.random.default_rng(0).bytes(8 * 2**20))
        for number in range(3000):
            archive.writestr(str(number), b"x")
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", inner.getvalue())
    return outer.getvalue()


def jpeg2000_tiles() -> bytes:
    """A codestream of 65,535 tiles of one pixel."""
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((256, 255), np.uint8), codecformat="J2K", reversible=True))
    struct.pack_into(">2L", data, 24, 1, 1)
    return write_compressed(make_dataset(np.zeros((256, 255), np.uint8)), "1.2.840.10008.1.2.4.90", [bytes(data)])


def run_length() -> bytes:
    """RLE segments that point outside of the frame."""
    frame = struct.pack("<16L", 15, *([2**31] * 15)) + b"\x81\0" * 1000
    return write_compressed(make_dataset(chest()), "1.2.840.10008.1.2.5", [frame])


def _with_element(data: bytes, element: bytes) -> bytes:
    """``data``, explicit little endian DICOM, with ``element`` before the study's date."""
    assert str(ExplicitVRLittleEndian).encode() in data
    at = data.index(b"\x08\x00\x20\x00DA")
    return data[:at] + element + data[at:]


ATTACKS: tuple[Callable[[], bytes], ...] = (
    nifti_header,
    packed_nifti_header,
    nifti_extensions,
    dicom_items,
    dicom_open_items,
    dicom_attributes,
    dicom_meta,
    dicom_nested,
    dicom_deep,
    dicom_fragments,
    dicom_frames,
    dicom_deflated,
    dicom_scans,
    jpeg_scans,
    tiff_pages,
    tiff_loop,
    tiff_entries,
    tiff_strips,
    png_exif,
    png_long_exif,
    png_text,
    png_profile,
    webp_frames,
    bmp_header,
    gzip_zeros,
    gzip_in_gzip,
    zip_members,
    zip_overlapping,
    zip_nested_bombs,
    zip_in_zip,
    jpeg2000_tiles,
    run_length,
)
