"""What files say of their samples and libvips passes over: codecs, previews, extra samples, colour, turns."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from hfmoe.image.colour_space import ADOBE_RGB, ColourSpace, make_profile, space_of_codes
from hfmoe.image.files import ImageError, read_8bit, read_facts, read_picture, write_picture
from hfmoe.image.streaming import Strips

HEIGHT, WIDTH = 32, 48
DNG_VERSION, SUB_DIRECTORIES = 50706, 330


def levels(bands: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A smooth picture, so that JPEG keeps it."""
    across = np.linspace(0.1, 0.9, WIDTH)[None, :, None]
    down = np.linspace(0.2, 0.8, HEIGHT)[:, None, None]
    phase = np.arange(bands)
    values = 0.5 * across + 0.5 * down + 0.1 * np.sin(6 * across + phase)
    return (values.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def hwc(path: Path) -> np.ndarray:
    return read_8bit(path).permute(1, 2, 0).numpy()


def tiff(path: Path, fields: dict[int, tuple[int, list[int]]], strip: bytes) -> Path:
    """A TIFF of one strip, of fields of a kind (3: 16 bits, 4: 32 bits) and values."""
    fields = {**fields, 273: (4, [8]), 279: (4, [len(strip)])}
    place = 8 + len(strip) + len(strip) % 2
    entries, beyond = b"", b""
    behind = place + 2 + 12 * len(fields) + 4
    for tag, (kind, values) in sorted(fields.items()):
        data = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(data) > 4:
            data, beyond = struct.pack("<I", behind + len(beyond)), beyond + data
        entries += struct.pack("<HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    body = strip + bytes(len(strip) % 2) + struct.pack("<H", len(fields)) + entries + bytes(4) + beyond
    path.write_bytes(b"II*\0" + struct.pack("<I", place) + body)
    return path


def ycbcr(path: Path, *, compression: int = 8, subsampling: int = 2, strip: bytes | None = None) -> Path:
    """YCbCr in blocks of gray 180, without JPEG."""
    blocks = 16 * 16 // subsampling**2
    unit = bytes([180] * subsampling**2 + [128, 128])
    data = zlib.compress(unit * blocks) if strip is None else strip
    return tiff(
        path,
        {
            **{256: (3, [16]), 257: (3, [16]), 258: (3, [8, 8, 8]), 259: (3, [compression]), 262: (3, [6])},
            **{277: (3, [3]), 278: (3, [16]), 530: (3, [subsampling, subsampling])},
        },
        data,
    )


def test_old_style_jpeg_in_a_tiff_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ImageError, match=r"a\.tif: TIFF with old-style JPEG"):
        read_picture(ycbcr(tmp_path / "a.tif", compression=6))


def test_ycbcr_is_converted_and_what_its_codec_cannot_decode_is_no_blank_picture(tmp_path: Path):
    sound = read_picture(ycbcr(tmp_path / "sound.tif"))
    assert sound.alpha is None
    assert (sound.colour - 180 / 255).abs().max() < 2 / 255
    ycbcr(tmp_path / "damaged.tif", strip=zlib.compress(bytes([180] * 384))[:-12] + bytes(12))
    ycbcr(tmp_path / "unknown.tif", compression=34676)
    for name in ("damaged.tif", "unknown.tif"):
        with pytest.raises(ImageError, match=rf"{name}: "):
            read_picture(tmp_path / name)
        with pytest.raises(ImageError, match=rf"{name}: "):
            Strips(tmp_path / name, scratch=tmp_path / "scratch")


def test_ycbcr_that_would_be_taken_for_rgb_is_refused(tmp_path: Path):
    with pytest.raises(ImageError, match="YCbCr without JPEG"):
        read_picture(ycbcr(tmp_path / "a.tif", subsampling=1))


def raw(path: Path, *, version: bool = False, mosaic: bool = False, reduced: bool = False) -> Path:
    """A preview with what makes it that of a raw."""
    tags: list[Any] = [(DNG_VERSION, "B", 4, bytes([1, 4, 0, 0]), True)] if version else []
    with tifffile.TiffWriter(path) as file:
        options: dict[str, Any] = {"subfiletype": 1} if reduced else {}
        below = 1 if mosaic or reduced else 0
        file.write(levels(), photometric="rgb", subifds=below, extratags=tags, **options)
        if below:
            kind: Any = "cfa" if mosaic else "minisblack"
            file.write(
                levels(1, np.uint16)[..., 0], photometric=kind, extratags=[(33421, "H", 2, (2, 2), True)]
            )
    return path


@pytest.mark.parametrize("sign", ["version", "mosaic", "reduced"])
@pytest.mark.parametrize("name", ["a.tif", "a.dng"])
def test_a_camera_raw_is_refused_and_its_preview_not_taken_for_it(tmp_path: Path, name: str, sign: str):
    with pytest.raises(ImageError, match=rf"{name}: a camera raw.*develop it"):
        read_picture(raw(tmp_path / name, **{sign: True}))


@pytest.mark.parametrize(
    "head",
    [
        b"II*\0\x10\0\0\0CR\x02\0",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"FUJIFILMCCD-RAW ",
        b"\0\0\0\x18ftypcrx ",
    ],
)
def test_raws_of_other_makers_are_named_so(tmp_path: Path, head: bytes):
    content = head + (b"\0\0" + bytes(4) if head[8:10] == b"CR" else bytes(64))
    (tmp_path / "a.raw").write_bytes(content)
    with pytest.raises(ImageError, match="a camera raw"):
        read_picture(tmp_path / "a.raw")


def extra(path: Path, samples: np.ndarray, kinds: list[str], *, gray: bool = False) -> Path:
    kind: Any = "minisblack" if gray else "rgb"
    tifffile.imwrite(path, samples, photometric=kind, planarconfig="contig", extrasamples=kinds)
    return path


def test_one_extra_sample_counts_as_alpha_where_the_tag_is_missing(tmp_path: Path):
    samples = levels(4, np.uint8)
    path = extra(tmp_path / "a.tif", samples, ["unspecified"])
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags[338].offset  # pyright: ignore[reportAttributeAccessIssue]
    content = bytearray(path.read_bytes())
    content[place : place + 2] = (336).to_bytes(2, "little")
    path.write_bytes(content)
    picture = read_picture(path)
    assert picture.alpha is not None
    assert np.array_equal(np.round(picture.alpha.numpy()[0] * 255), samples[..., 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [False, True], ids=["colour", "gray"])
def test_an_extra_sample_that_is_not_alpha_changes_no_colour(tmp_path: Path, caplog, gray: bool, dtype: Any):
    samples = levels(2 if gray else 4, dtype)
    after = read_picture(extra(tmp_path / "a.tif", samples, ["unspecified"], gray=gray))
    colour = samples[..., :-1]
    assert after.alpha is None
    assert np.array_equal((after.colour.permute(1, 2, 0).numpy() * np.iinfo(dtype).max).round(), colour)
    assert "1 of its samples, neither colour nor alpha" in caplog.text
    facts = read_facts(tmp_path / "a.tif")
    assert (facts.channels, facts.has_alpha) == (1 if gray else 3, False)


@pytest.mark.parametrize("kinds", [["unassalpha", "unspecified"], ["unspecified", "unassalpha"]])
def test_alpha_beside_an_extra_sample_is_found_wherever_it_stands(tmp_path: Path, kinds: list[str]):
    samples = levels(5)
    after = read_picture(extra(tmp_path / "a.tif", samples, kinds))
    assert after.alpha is not None
    place = 3 + kinds.index("unassalpha")
    assert np.array_equal((after.alpha[0].numpy() * 255).round(), samples[..., place])
    assert np.array_equal((after.colour.permute(1, 2, 0).numpy() * 255).round(), samples[..., :3])


def png(path: Path, chunks: list[tuple[bytes, bytes]], mode: str = "RGB") -> Path:
    """A PNG with chunks before its image data."""
    stream = io.BytesIO()
    Image.fromarray(levels()).convert(mode).save(stream, "PNG")
    data = stream.getvalue()
    added = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(data[:33] + added + data[33:])
    return path


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 1e5))


def corners(*values: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in values))


SRGB_CORNERS = corners(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3_CORNERS = corners(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def shown(icc: bytes, rgb: tuple[int, int, int]) -> np.ndarray:
    """A colour as a screen of sRGB shows it."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    image = Image.new("RGB", (1, 1), rgb)
    return np.array(
        ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    )[0, 0].astype(int)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gamma(1.0)], (229, 168, 122)),
        ([P3_CORNERS, gamma(0.45455)], (215, 93, 31)),
        ([P3_CORNERS], (215, 93, 31)),
        ([(b"cICP", bytes([12, 13, 0, 1]))], (215, 93, 31)),
        ([(b"sRGB", b"\0"), gamma(1.0), (b"cICP", bytes([12, 13, 0, 1]))], (215, 93, 31)),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_colour_that_chunks_of_a_png_state_comes_with_the_result(
    tmp_path: Path, chunks: list, expected: tuple, suffix: str
):
    picture = read_picture(png(tmp_path / "a.png", chunks))
    write_picture(tmp_path / f"out{suffix}", picture)
    icc = read_picture(tmp_path / f"out{suffix}").icc
    assert icc is not None
    assert np.abs(shown(icc, (200, 100, 50)) - expected).max() <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"sRGB", b"\0"), gamma(1.0)],
        [gamma(0.45455)],
        [SRGB_CORNERS, gamma(0.45455)],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([2, 2, 0, 1]))],
    ],
)
def test_a_png_that_says_srgb_in_any_words_needs_no_profile(tmp_path: Path, chunks: list):
    assert read_picture(png(tmp_path / "a.png", chunks)).icc is None


def test_gamma_of_a_gray_png_becomes_a_gray_profile(tmp_path: Path):
    picture = read_picture(png(tmp_path / "a.png", [gamma(1.0)], mode="L"))
    assert picture.icc is not None
    assert picture.icc[16:20] == b"GRAY"


@pytest.mark.parametrize(("code", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name_rather_than_shown_flat(tmp_path: Path, code: int, name: str):
    with pytest.raises(ImageError, match=rf"a\.png: HDR \({name}\), which is not tone-mapped"):
        read_picture(png(tmp_path / "a.png", [(b"cICP", bytes([9, code, 0, 1]))]))
    with pytest.raises(ImageError, match=rf"a\.avif: HDR \({name}\)"):
        read_picture(avif(tmp_path / "a.avif", primaries=9, transfer=code))


def test_chromaticities_of_no_colours_are_refused(tmp_path: Path):
    with pytest.raises(ImageError, match=r"a\.png: chromaticities"):
        read_picture(png(tmp_path / "a.png", [corners(0.3, 0.3, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1)]))


def avif(path: Path, *, primaries: int, transfer: int) -> Path:
    """An AVIF whose code points (nclx) are set."""
    Image.fromarray(levels()).save(path, quality=100, subsampling="4:4:4")
    data = path.read_bytes()
    place = data.index(b"nclx") + 4
    path.write_bytes(data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :])
    return path


@pytest.mark.parametrize("suffix", [".png", ".avif"])
def test_code_points_of_an_avif_come_with_the_result(tmp_path: Path, suffix: str):
    assert read_picture(avif(tmp_path / "plain.avif", primaries=1, transfer=13)).icc is None
    write_picture(
        tmp_path / f"out{suffix}", read_picture(avif(tmp_path / "a.avif", primaries=12, transfer=13))
    )
    icc = read_picture(tmp_path / f"out{suffix}").icc
    assert icc == make_profile(space_of_codes(12, 13), colours=3)


def test_adobe_rgb_that_only_exif_marks_gets_its_profile(tmp_path: Path):
    exif = Image.Exif()
    below = exif.get_ifd(0x8769)
    below[0xA001], below[0xA005] = 0xFFFF, {1: "R03"}
    Image.fromarray(levels()).save(tmp_path / "a.jpg", exif=exif.tobytes())
    icc = read_picture(tmp_path / "a.jpg").icc
    assert icc is not None
    assert icc == make_profile(ADOBE_RGB, colours=3)
    assert np.abs(shown(icc, (200, 100, 50)) - (227, 100, 42)).max() <= 2


def test_profiles_made_here_agree_with_those_of_others(tmp_path: Path):
    pyvips.Image.black(2, 2, bands=3).copy(interpretation="srgb").pngsave(
        str(tmp_path / "p3.png"), profile="p3"
    )
    other: Any = pyvips.Image.pngload(str(tmp_path / "p3.png")).get("icc-profile-data")
    for rgb in ((200, 100, 50), (10, 250, 128), (255, 0, 0), (128, 128, 128)):
        ours = shown(make_profile(space_of_codes(12, 13), colours=3), rgb)
        assert np.abs(ours - shown(bytes(other), rgb)).max() <= 2
        assert np.abs(shown(make_profile(ColourSpace(), colours=3), rgb) - rgb).max() <= 1


GAIN_MAP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description dc:title="hill"
xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" hdrgm:GainMapMax="2.5">
<Container:Directory><rdf:Seq><rdf:li Item:Semantic="GainMap"/></rdf:Seq></Container:Directory>
</rdf:Description></x:xmpmeta>"""


def test_the_description_of_a_gain_map_goes_with_the_gain_map_and_that_is_said(tmp_path: Path, caplog):
    Image.fromarray(levels()).save(tmp_path / "a.jpg", xmp=GAIN_MAP)
    xmp = read_picture(tmp_path / "a.jpg").metadata.xmp
    assert xmp is not None
    assert b"GainMap" not in xmp
    assert b"hdrgm:Version" not in xmp
    assert b'dc:title="hill"' in xmp
    assert "gain map (HDR) is left out" in caplog.text


def test_exif_that_imagemagick_wrote_into_a_text_of_a_png_is_read(tmp_path: Path):
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = 6, "Maker"
    block = exif.tobytes()
    for kind in ("exif", "APP1"):
        text = PngImagePlugin.PngInfo()
        text.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(block):8d}\n{block.hex()}\n", zip=True)
        Image.fromarray(levels()).save(tmp_path / "a.png", pnginfo=text)
        write_picture(tmp_path / "out.png", read_picture(tmp_path / "a.png"))
        with Image.open(tmp_path / "out.png") as out:
            assert out.size == (HEIGHT, WIDTH)
            assert (out.getexif()[0x10F], out.getexif()[0x112]) == ("Maker", 1)


ATTRIBUTE = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:D tiff:Orientation="%d" dc:title="hill"/></x:xmpmeta>'
ELEMENT = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:D><tiff:Orientation>%d</tiff:Orientation></r:D></x:xmpmeta>'
)


def turned(path: Path, xmp: bytes, how: str) -> Path:
    image = Image.fromarray(levels())
    if how == "raw profile":
        text = PngImagePlugin.PngInfo()
        text.add_text("Raw profile type xmp", f"\nxmp\n{len(xmp):8d}\n{xmp.hex()}\n", zip=True)
        image.save(path, pnginfo=text)
    elif path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(path, pnginfo=text)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, levels(), photometric="rgb", extratags=[(700, "B", len(xmp), xmp, True)])
    else:
        image.save(path, xmp=xmp, quality=95)
    return path


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("form", [ATTRIBUTE, ELEMENT], ids=["attribute", "element"])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.png", "text"),
        ("a.png", "raw profile"),
        ("a.jpg", ""),
        ("a.webp", ""),
        ("a.avif", ""),
        ("a.tif", ""),
    ],
)
def test_a_turn_that_only_xmp_tells_is_applied_once(
    tmp_path: Path, name: str, how: str, form: bytes, orientation: int
):
    path = turned(tmp_path / name, form % orientation, how)
    upright = np.asarray(
        {3: np.rot90(levels(), 2), 6: np.rot90(levels(), -1), 8: np.rot90(levels())}[orientation]
    )
    assert np.abs(hwc(path).astype(int) - upright).mean() < 4
    write_picture(tmp_path / "out.png", read_picture(path))
    seen = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "out.png")).convert("RGB"))
    assert np.abs(seen.astype(int) - upright).mean() < 4


def test_exif_counts_before_xmp(tmp_path: Path):
    exif = Image.Exif()
    exif[0x112] = 1
    Image.fromarray(levels()).save(tmp_path / "a.jpg", xmp=ATTRIBUTE % 6, exif=exif.tobytes())
    assert hwc(tmp_path / "a.jpg").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("keyword", [b"Caf\xe9", b"Raw profile type \xe9"])
def test_a_png_with_a_text_that_is_no_utf_8_is_read(tmp_path: Path, keyword: bytes):
    content = io.BytesIO()
    Image.fromarray(levels()).save(content, "PNG")
    text = b"tEXt" + keyword + b"\0caf\xe9"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    place = content.getvalue().index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content.getvalue()[:place] + chunk + content.getvalue()[place:])
    assert np.array_equal(hwc(tmp_path / "a.png"), levels())


def test_exif_turns_no_avif_whose_own_turn_counts_alone(tmp_path: Path):
    """As its standard (MIAF) says and Pillow reads; the result, which says upright, looks the same."""
    exif = Image.Exif()
    exif[0x112] = 1
    image = pyvips.Image.new_from_array(levels()).copy(interpretation="srgb")
    blob: Any = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    image.set_type(pyvips.GValue.blob_type, "exif-data", blob)
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    content = bytes(image.heifsave_buffer(compression="av1"))
    upright = b"\x01\x12\0\x03\0\0\0\x01\0\x01"
    assert content.count(upright) == 1 and b"irot" not in content
    (tmp_path / "a.avif").write_bytes(content.replace(upright, upright[:-1] + b"\x06"))
    write_picture(tmp_path / "out.png", read_picture(tmp_path / "a.avif"))
    for name in ("a.avif", "out.png"):
        with Image.open(tmp_path / name) as opened:
            shown = ImageOps.exif_transpose(opened).convert("RGB")
        assert np.abs(np.asarray(shown).astype(int) - levels()).mean() < 4


@pytest.mark.parametrize("ink", [(255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0), (0, 200, 220, 20)])
@pytest.mark.parametrize("embedded", [True, False])
def test_cmyk_is_converted_with_black_as_black(tmp_path: Path, ink: tuple, embedded: bool):
    """As littlecms does it: relative, with black-point compensation."""
    profile: Any = pyvips.Operation.call("profile_load", "cmyk")
    options: dict[str, Any] = {"icc_profile": bytes(profile)} if embedded else {}
    Image.new("CMYK", (8, 8), ink).save(tmp_path / "a.tif", **options)
    expected: Any = ImageCms.profileToProfile(
        Image.new("CMYK", (1, 1), ink),
        ImageCms.ImageCmsProfile(io.BytesIO(bytes(profile))),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert np.abs(hwc(tmp_path / "a.tif")[0, 0].astype(int) - expected.getpixel((0, 0))).max() <= 2
