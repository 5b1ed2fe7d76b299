"""How many damaged photos and pairs the detectors of `hfmoe doctor` catch, and how many clean ones they flag.

    python benchmarks/doctor.py PHOTOS [--images 40] [--seed 0]

Clean photos of the named folder are damaged here: JPEG, enlarged, moved, lightened, flipped, cropped.
Each row gives the share that is flagged, and a median of what was measured.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from hfmoe.doctor.artefacts import estimate_noise, find_quantisation, find_rhythm
from hfmoe.doctor.duplicates import near_pairs, small_copy, stack
from hfmoe.doctor.findings import (
    LEAST_LIKENESS,
    LEAST_RHYTHM,
    LOWEST_QUALITY,
    MOST_BRIGHTNESS,
    MOST_NOISE,
    MOST_SHIFT,
)
from hfmoe.doctor.images import Unreadable, luma_of, measure_image, middle
from hfmoe.doctor.pairs import Alignment, align
from hfmoe.image.files import list_images

KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
Change = Callable[[Image.Image], Image.Image]


def main() -> None:
    """Print the rows of every detector."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    files = list_images(options.photos)
    chosen = np.random.default_rng(options.seed).permutation(len(files))[: options.images]
    photos = [Image.open(files[index]).convert("RGB") for index in sorted(chosen)]
    print(f"{len(photos)} photos of {options.photos.name}")
    with tempfile.TemporaryDirectory() as folder:
        rate_enlarged(photos)
        rate_jpeg(photos, Path(folder))
        rate_noise(photos)
        rate_likeness(photos)
        rate_pairs(photos)
        rate_truncated(photos, Path(folder))


def rate_enlarged(photos: Sequence[Image.Image]) -> None:
    """Enlarged and clean photos, and what could be taken for enlarged."""
    rows: dict[str, Change] = {"clean": lambda photo: photo}
    for sigma in (1, 2):
        rows[f"defocused, sigma {sigma}"] = lambda photo, s=sigma: photo.filter(ImageFilter.GaussianBlur(s))
    rows["shrunk by 2"] = lambda photo: enlarge(photo, 0.5, "bicubic")
    rows["JPEG 50"] = lambda photo: jpeg(photo, 50)
    for kernel in KERNELS:
        for scale in (1.5, 2, 3, 4):
            rows[f"{kernel} x{scale:g}"] = lambda photo, s=scale, k=kernel: enlarge(photo, s, k)
    rows["bicubic x2, then JPEG 95"] = lambda photo: jpeg(enlarge(photo, 2, "bicubic"), 95)
    for name, change in rows.items():
        strengths = [find_rhythm(part(change(photo))).strength for photo in photos]
        row("enlarged", name, [strength > LEAST_RHYTHM for strength in strengths], strengths)


def rate_jpeg(photos: Sequence[Image.Image], folder: Path) -> None:
    """Decoded JPEGs without their file, cropped ones, and photos that never were."""
    rows: dict[str, Change] = {"clean": lambda photo: photo, "x2": lambda photo: enlarge(photo, 2, "bicubic")}
    for quality in (10, 20, 30, 50, 70, 80, 85, 90, 95):
        rows[f"quality {quality}"] = lambda photo, q=quality: jpeg(photo, q)
    for quality in (30, 80):
        rows[f"quality {quality}, cropped by (3, 5)"] = lambda photo, q=quality: jpeg(photo, q).crop(
            (3, 5, photo.width - 4, photo.height - 1)
        )
    for name, change in rows.items():
        found = [find_quantisation(part(change(photo))) for photo in photos]
        qualities = [quantised.quality for quantised in found if quantised]
        flagged = [quantised is not None and quantised.quality <= LOWEST_QUALITY for quantised in found]
        row("jpeg", name, flagged, qualities)
    for quality in (50, 90, 95):
        qualities = [file_quality(photo, quality, folder) for photo in photos]
        flagged = [found is not None and found <= LOWEST_QUALITY for found in qualities]
        row(
            "jpeg", f"file of quality {quality}", flagged, [found for found in qualities if found is not None]
        )


def rate_noise(photos: Sequence[Image.Image]) -> None:
    """White noise on photos."""
    generator = np.random.default_rng(0)
    for sigma in (0, 5, 10, 25):
        found = []
        for photo in photos:
            image = np.asarray(photo, dtype=np.float32)
            noisy = image + generator.normal(0, sigma, image.shape)
            found.append(estimate_noise(part(Image.fromarray(levels(noisy)))))
        row("noisy", f"sigma {sigma} in each channel", [sigma > MOST_NOISE for sigma in found], found)


def rate_likeness(photos: Sequence[Image.Image]) -> None:
    """Second versions of photos found among all others, and pairs of photos taken for one."""
    originals = stack([copy_of(photo) for photo in photos])
    rows: dict[str, Change] = {
        "JPEG 30": lambda photo: jpeg(photo, 30),
        "half the size": lambda photo: enlarge(photo, 0.5, "bilinear"),
        "lightened by a tenth": lambda photo: photo.point([min(255, round(1.1 * x)) for x in range(256)] * 3),
        "mirrored": lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "turned": lambda photo: photo.transpose(Image.Transpose.ROTATE_90),
        "transposed, JPEG 70": lambda photo: jpeg(photo.transpose(Image.Transpose.TRANSPOSE), 70),
        "cropped by 1 % a side": lambda photo: cropped(photo, 0.01),
        "cropped by 2 % a side": lambda photo: cropped(photo, 0.02),
        "cropped by 4 % a side": lambda photo: cropped(photo, 0.04),
    }
    for name, change in rows.items():
        pairs = set(near_pairs(stack([copy_of(change(photo)) for photo in photos]), originals))
        row("near-duplicate", name, [(index, index) in pairs for index in range(len(photos))], [])
    print(f"{'near-duplicate':15} {'clean':32} {len(near_pairs(originals))} pairs of {len(photos)} photos")


def rate_pairs(photos: Sequence[Image.Image]) -> None:
    """Pairs that fit, and pairs that are moved, noisy, lightened or of two photos."""
    generator = np.random.default_rng(0)
    for scale in (1, 2, 4):
        for move in (0, 1, 2, 3):
            fits = [paired(photo, scale=scale, move=move) for photo in photos]
            shifts = [max(abs(fit.dx), abs(fit.dy)) * scale for fit in fits]
            flagged = [shift > MOST_SHIFT * scale for shift in shifts]
            row("misaligned", f"x{scale}, moved by {move} target pixels", flagged, shifts)
    for sigma in (15, 50):
        noise = [generator.normal(0, sigma, np.asarray(photo).shape) for photo in photos]
        fits = [
            align(levels(np.asarray(p) + n), np.asarray(p), scale=1)
            for p, n in zip(photos, noise, strict=True)
        ]
        flagged = [max(abs(fit.dx), abs(fit.dy)) > MOST_SHIFT for fit in fits]
        row("misaligned", f"x1, noise of {sigma}", flagged, [abs(fit.dx) for fit in fits])
        row("mismatched", f"x1, noise of {sigma}", unlike(fits), [fit.likeness for fit in fits])
        row("brightness", f"x1, noise of {sigma}", uneven(fits), [fit.brightness for fit in fits])
    for gain in (1.0, 1.02, 1.1):
        fits = [align(levels(np.asarray(p) * gain), np.asarray(p), scale=1) for p in photos]
        row("brightness", f"x1, gain {gain:g}", uneven(fits), [fit.brightness for fit in fits])
    others = [photo.resize(photos[0].size) for photo in photos]
    fits = [align(np.asarray(a), np.asarray(b), scale=1) for a, b in zip(others, others[1:], strict=False)]
    row("mismatched", "x1, two photos", unlike(fits), [fit.likeness for fit in fits])


def rate_truncated(photos: Sequence[Image.Image], folder: Path) -> None:
    """Files whose end is missing."""
    for suffix in (".png", ".jpg", ".webp"):
        for share in (0.5, 0.9, 0.99):
            flagged = []
            for photo in photos[:10]:
                photo.crop((0, 0, 200, 200)).save(folder / f"whole{suffix}")
                data = (folder / f"whole{suffix}").read_bytes()
                (folder / f"cut{suffix}").write_bytes(data[: int(share * len(data))])
                flagged.append(isinstance(measure_image(folder / f"cut{suffix}"), Unreadable))
            row("unreadable", f"{share:.0%} of a {suffix} file", flagged, [])


def paired(photo: Image.Image, *, scale: int, move: int) -> Alignment:
    """How a pair fits whose degraded side was cut `move` target pixels further right and down."""
    width, height = ((side - 8) // scale * scale for side in photo.size)
    target = photo.crop((0, 0, width, height))
    moved = photo.crop((move, move, width + move, height + move))
    degraded = moved.resize((width // scale, height // scale), KERNELS["bicubic"])
    return align(np.asarray(degraded), np.asarray(target), scale=scale)


def unlike(fits: Sequence[Alignment]) -> list[bool]:
    """Which pairs are said to show two things."""
    return [fit.likeness < LEAST_LIKENESS for fit in fits]


def uneven(fits: Sequence[Alignment]) -> list[bool]:
    """Which pairs are said to differ in brightness."""
    return [fit.brightness > MOST_BRIGHTNESS for fit in fits]


def enlarge(photo: Image.Image, scale: float, kernel: str) -> Image.Image:
    """A photo resized by a kernel of Pillow."""
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), KERNELS[kernel])


def jpeg(photo: Image.Image, quality: int) -> Image.Image:
    """A photo as a JPEG of 4:2:0 gives it back."""
    with tempfile.SpooledTemporaryFile() as file:
        photo.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")


def file_quality(photo: Image.Image, quality: int, folder: Path) -> int | None:
    """The quality that is told of a JPEG file."""
    photo.save(folder / "photo.jpg", quality=quality, subsampling=0)
    look = measure_image(folder / "photo.jpg")
    return None if isinstance(look, Unreadable) else look.quality()


def cropped(photo: Image.Image, share: float) -> Image.Image:
    """A photo without a share of each side."""
    x, y = round(share * photo.width), round(share * photo.height)
    return photo.crop((x, y, photo.width - x, photo.height - y))


def copy_of(photo: Image.Image) -> np.ndarray:
    """The small gray copy that likeness compares."""
    return small_copy(luma_of(np.asarray(photo)))


def part(photo: Image.Image) -> np.ndarray:
    """The luma that detectors measure."""
    return luma_of(middle(np.asarray(photo), 512))


def levels(image: np.ndarray) -> np.ndarray:
    """Values rounded to 8 bits."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def row(detector: str, name: str, flagged: Sequence[bool], measured: Sequence[float]) -> None:
    """Print one row."""
    middle_one = f"median {statistics.median(measured):8.2f}" if measured else ""
    print(f"{detector:15} {name:32} flagged {np.mean(flagged):6.1%}  {middle_one}", flush=True)


if __name__ == "__main__":
    main()
