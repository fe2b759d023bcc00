"""Transforms of torchvision, ported: pixels of made images against PIL and numpy, random ones against their distribution.

The expected pixels say what torchvision documents for PIL images; they were compared with torchvision 0.29.1 itself, v1 and
v2, which has no build for the torch of these tests.
"""

from __future__ import annotations

import importlib
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import mindspore
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from porter.convert import convert_source
from porter.table import load_table

HEAD = """\
import torch
from PIL import Image
import torchvision.transforms as T
import torchvision.transforms.v2 as V
import torchvision.transforms.functional as TF
from torchvision.transforms import InterpolationMode as IM

"""


def chw(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def unit(image: Image.Image) -> np.ndarray:
    return chw(image).astype(np.float32) / np.float32(255)


def box(image: Image.Image, top: int, left: int, height: int, width: int) -> Image.Image:
    return image.crop((left, top, left + width, top + height))


def corners(image: Image.Image, height: int, width: int) -> list[Image.Image]:
    h, w = image.height, image.width
    places = [(0, 0), (0, w - width), (h - height, 0), (h - height, w - width), (round((h - height) / 2), round((w - width) / 2))]
    return [box(image, top, left, height, width) for top, left in places]


def colour(image: Image.Image, value: int) -> Any:
    return value if image.mode == "L" else (value,) * 3


def padded(image: Image.Image, left: int, top: int, right: int, bottom: int, mode: str) -> np.ndarray:
    pixels = np.asarray(image)
    return np.pad(pixels, [(top, bottom), (left, right)] + [(0, 0)] * (pixels.ndim - 2), mode)


def turned_hue(image: Image.Image, by: int) -> Image.Image:
    if image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda v: (v + by) % 256), saturation, value)).convert("RGB")


def turned(image: Image.Image, angle: float, scale: float) -> Image.Image:
    """The pixel at (x, y) comes from where a turn and a scale around the middle took it."""
    c, s = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    x, y = image.width / 2, image.height / 2
    return image.transform(image.size, Image.Transform.AFFINE, (c, s, x - c * x - s * y, -s, c, y + s * x - c * y))


def inside(image: Image.Image, height: int, width: int) -> np.ndarray:
    """The middle of an image, with 0 around it where it is too small."""
    made = np.zeros((height, width, *np.asarray(image).shape[2:]), np.uint8)
    h, w = image.height, image.width
    top, left = (height - h) // 2, round((w - width) / 2)
    made[top : top + h] = np.asarray(image)[:, left : left + width]
    return made


Picture = Image.Image
CASES: dict[str, Callable[[Picture], Any]] = {
    "T.Resize(32)": lambda i: i.resize((32, 32 * i.height // i.width) if i.width < i.height else (32 * i.width // i.height, 32), 2),
    "T.Resize((20, 31))": lambda i: i.resize((31, 20), 2),
    "T.Resize((64, 50), IM.BICUBIC)": lambda i: i.resize((50, 64), 3),
    "T.Resize((9, 25), interpolation=IM.NEAREST)": lambda i: i.resize((25, 9), 0),
    "T.Resize((9, 25), Image.LANCZOS)": lambda i: i.resize((25, 9), 1),
    "T.Resize((9, 25), IM.LANCZOS)": lambda i: i.resize((25, 9), 1),
    "T.Resize((9, 25), IM.BOX)": lambda i: i.resize((25, 9), 4),
    "T.Resize((9, 25), IM.HAMMING)": lambda i: i.resize((25, 9), 5),
    "T.Resize((9, 25), IM.BILINEAR)": lambda i: i.resize((25, 9), 2),
    "T.Resize(30, max_size=32)": lambda i: i.resize((32, int(32 * 30 / int(30 * i.width / i.height))) if i.width > i.height
                                                   else (int(32 * 30 / int(30 * i.height / i.width)), 32), 2),
    "T.CenterCrop(21)": lambda i: corners(i, 21, 21)[4],
    "T.CenterCrop((70, 20))": lambda i: inside(i, 70, 20),
    "T.FiveCrop((9, 12))": lambda i: corners(i, 9, 12),
    "T.TenCrop(9)": lambda i: corners(i, 9, 9) + corners(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 9, 9),
    "T.TenCrop((9, 12), vertical_flip=True)": lambda i: corners(i, 9, 12) + corners(i.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 9, 12),
    "T.Grayscale()": lambda i: i.convert("L"),
    "T.Grayscale(3)": lambda i: np.stack([np.asarray(i.convert("L"))] * 3, 2),
    "T.Pad(4, fill=7)": lambda i: ImageOps.expand(i, 4, colour(i, 7)),
    "T.Pad((3, 5))": lambda i: ImageOps.expand(i, (3, 5, 3, 5), 0),
    "T.Pad((1, 2, 3, 4), padding_mode='reflect')": lambda i: padded(i, 1, 2, 3, 4, "reflect"),
    "T.Pad((1, 2), 0, 'symmetric')": lambda i: padded(i, 1, 2, 1, 2, "symmetric"),
    "T.RandomHorizontalFlip(1.0)": lambda i: np.asarray(i)[:, ::-1],
    "T.RandomVerticalFlip(p=1.0)": lambda i: np.asarray(i)[::-1],
    "T.RandomHorizontalFlip(0.0)": lambda i: i,
    "T.RandomInvert(1.0)": lambda i: 255 - np.asarray(i),
    "T.RandomEqualize(1.0)": ImageOps.equalize,
    "T.RandomAutocontrast(1.0)": ImageOps.autocontrast,
    "T.RandomSolarize(100, 1.0)": lambda i: np.where(np.asarray(i) < 100, np.asarray(i), 255 - np.asarray(i)),
    "T.RandomPosterize(3, 1.0)": lambda i: np.asarray(i) & 0b11100000,
    "T.RandomGrayscale(1.0)": lambda i: i.convert("L").convert(i.mode),
    "T.RandomAdjustSharpness(2.5, 1.0)": lambda i: ImageEnhance.Sharpness(i).enhance(2.5),
    "T.ColorJitter(brightness=(1.4, 1.4))": lambda i: ImageEnhance.Brightness(i).enhance(1.4),
    "T.ColorJitter(0, (0.6, 0.6))": lambda i: ImageEnhance.Contrast(i).enhance(0.6),
    "T.ColorJitter(0, 0, (1.7, 1.7))": lambda i: ImageEnhance.Color(i).enhance(1.7),
    "T.ColorJitter(hue=(-0.2, -0.2))": lambda i: turned_hue(i, -51),
    "T.RandomRotation((30, 30))": lambda i: i.rotate(30, 0),
    "T.RandomRotation((-77, -77), IM.BILINEAR, True, None, 9)": lambda i: i.rotate(-77, 2, expand=True, fillcolor=colour(i, 9)),
    "T.RandomRotation((30, 30), center=(3, 4))": lambda i: i.rotate(30, 0, center=(3, 4)),
    "T.RandomAffine((20, 20), scale=(0.75, 0.75))": lambda i: turned(i, 20, 0.75),
    "T.RandomAffine((0, 0), (0.0, 0.0), None, (45, 45), center=(0, 0))": lambda i: i.transform(i.size, Image.Transform.AFFINE, (1, 1, 0, 0, 1, 0)),
    "T.RandomResizedCrop((17, 20), scale=(1, 1), ratio=(5, 5), interpolation=IM.BICUBIC)":
        lambda i: box(i, (i.height - round(i.width / 5)) // 2, 0, round(i.width / 5), i.width).resize((20, 17), 3),
    "T.RandomResizedCrop(17, (1, 1), (0.1, 0.1))":
        lambda i: box(i, 0, (i.width - round(i.height * 0.1)) // 2, i.height, round(i.height * 0.1)).resize((17, 17), 2),
    "T.RandomApply([T.Grayscale(), T.Pad(2)], 1.0)": lambda i: ImageOps.expand(i.convert("L"), 2, 0),
    "T.RandomApply([T.Pad(2)], p=0.0)": lambda i: i,
    "T.RandomChoice([T.Pad(2), T.Pad(3)], p=[0.0, 1.0])": lambda i: ImageOps.expand(i, 3, 0),
    "T.RandomOrder([T.Pad(2), T.Grayscale()])": lambda i: ImageOps.expand(i.convert("L"), 2, 0),
    "T.ToTensor()": unit,
    "T.PILToTensor()": chw,
    "T.Compose([T.ToTensor(), T.Normalize((0.4,), (0.2,))])": lambda i: (unit(i) - np.float32(0.4)) / np.float32(0.2),
    "T.Compose([T.ToTensor(), T.RandomHorizontalFlip(1.0)])": lambda i: unit(i)[:, :, ::-1],
    "T.Compose([T.ToTensor(), T.RandomVerticalFlip(1.0), T.CenterCrop((9, 12)), T.Pad((1, 2, 3, 4), fill=0.5)])":
        lambda i: np.pad(unit(corners(i, 9, 12)[4])[:, ::-1] if i.height % 2 else unit(corners(i.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 9, 12)[4]),
                         [(0, 0), (2, 4), (1, 3)], constant_values=0.5),
    "T.Compose([T.PILToTensor(), T.ConvertImageDtype(torch.float32)])": unit,
    "T.Compose([T.ToTensor(), T.ConvertImageDtype(torch.uint8)])": chw,
    "T.Compose([T.ToTensor(), T.ToPILImage()])": lambda i: i,
    "T.Compose([T.ToTensor(), T.Lambda(lambda x: x * 2)])": lambda i: unit(i) * 2,
    "T.Compose([T.ToTensor(), T.Lambda(lambda x: torch.flatten(x))])": lambda i: unit(i).reshape(-1),
    "T.Compose([T.ToTensor(), T.RandomErasing(0.0)])": unit,
    "T.Compose([T.ToTensor(), T.CenterCrop(2), T.LinearTransformation(torch.eye(4 * C) * 2, torch.ones(4 * C))])":
        lambda i: (unit(corners(i, 2, 2)[4]) - 1) * 2,
    "V.Compose([V.ToImage(), V.ToDtype(torch.float32, scale=True), V.Normalize([0.4], [0.2])])":
        lambda i: (chw(i).astype(np.float32) * np.float32(1 / 255) - np.float32(0.4)) / np.float32(0.2),
    "V.Compose([V.ToImage(), V.ToDtype(torch.float32)])": lambda i: chw(i).astype(np.float32),
    "V.Compose([V.Resize((20, 31)), V.CenterCrop(9), V.RandomHorizontalFlip(1.0), V.Identity()])":
        lambda i: np.asarray(corners(i.resize((31, 20), 2), 9, 9)[4])[:, ::-1],
    "V.RGB()": lambda i: i.convert("RGB"),
    "lambda i: TF.adjust_gamma(i, 2.0)": lambda i: i.convert("RGB").point([int(255.999 * (v / 255) ** 2) for v in range(256)] * 3).convert(i.mode),
    "lambda i: TF.adjust_brightness(i, 0.6)": lambda i: ImageEnhance.Brightness(i).enhance(0.6),
    "lambda i: TF.adjust_contrast(TF.adjust_saturation(i, 1.6), 2.0)": lambda i: ImageEnhance.Contrast(ImageEnhance.Color(i).enhance(1.6)).enhance(2.0),
    "lambda i: TF.adjust_hue(TF.adjust_sharpness(i, 0.2), 0.4)": lambda i: turned_hue(ImageEnhance.Sharpness(i).enhance(0.2), 102),
    "lambda i: TF.crop(i, -2, 3, 20, 22)": lambda i: box(i, -2, 3, 20, 22),
    "lambda i: TF.crop(TF.to_tensor(i), -2, 3, 20, 72)": lambda i: unit(box(i, -2, 3, 20, 72)),
    "lambda i: TF.resized_crop(i, 2, 3, 11, 12, (7, 9))": lambda i: box(i, 2, 3, 11, 12).resize((9, 7), 2),
    "lambda i: TF.resize(TF.rotate(i, 33, fill=4), [20, 21])": lambda i: i.rotate(33, fillcolor=colour(i, 4)).resize((21, 20), 2),
    "lambda i: TF.affine(i, 0, (2, 3), 1.0, 0)": lambda i: i.transform(i.size, Image.Transform.AFFINE, (1, 0, -2, 0, 1, -3)),
    "lambda i: TF.normalize(TF.pil_to_tensor(i).float() * 1.0, [3.0], [2.0])": lambda i: (chw(i).astype(np.float32) - 3) / 2,
    "lambda i: TF.hflip(TF.pad(i, 3, 1))": lambda i: np.asarray(ImageOps.expand(i, 3, colour(i, 1)))[:, ::-1],
    "lambda i: TF.invert(TF.vflip(TF.center_crop(i, 9)))": lambda i: 255 - np.asarray(corners(i, 9, 9)[4])[::-1],
    "lambda i: TF.equalize(TF.solarize(TF.posterize(i, 2), 128))": lambda i: ImageOps.equalize(ImageOps.solarize(ImageOps.posterize(i, 2), 128)),
    "lambda i: TF.autocontrast(TF.to_grayscale(i))": lambda i: ImageOps.autocontrast(i.convert("L")),
    "lambda i: TF.rgb_to_grayscale(i, 3)": lambda i: np.stack([np.asarray(i.convert("L"))] * 3, 2),
    "lambda i: TF.to_pil_image(TF.convert_image_dtype(TF.pil_to_tensor(i), torch.float32))": lambda i: i,
    "lambda i: TF.five_crop(i, 9) + TF.ten_crop(i, 9)": lambda i: [*corners(i, 9, 9)] * 2 + corners(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 9, 9),
    "lambda i: TF.get_image_size(i)": lambda i: [i.width, i.height],
}  # fmt: skip
RANDOM = {
    "crop": "T.RandomCrop((61, 30), padding=2, pad_if_needed=True, fill=9)", "resized": "T.RandomResizedCrop(8)",
    "flip": "T.RandomHorizontalFlip(0.3)", "erase": "T.RandomErasing(0.7, value=2.0)", "noise": "T.RandomErasing(1.0, value='random')",
    "jitter": "T.ColorJitter(0.4, (0.5, 0.9))", "turn": "T.RandomRotation(20)", "choice": "T.RandomChoice([lambda i: 0, lambda i: 1, lambda i: 2], p=[1, 2, 5])",
    "order": "T.RandomOrder([lambda t: t + 'a', lambda t: t + 'b', lambda t: t + 'c'])", "apply": "T.RandomApply([lambda i: 1], p=0.2)",
    "affine": "T.RandomAffine(0, translate=(0.25, 0.1))",
}  # fmt: skip


def source() -> str:
    lines = [*(f"        {i}: {e.replace('* C', '* channels')}," for i, e in enumerate(CASES)), *(f"        {n!r}: {e}," for n, e in RANDOM.items())]
    return HEAD + "\ndef made(channels):\n    return {\n" + "\n".join(lines) + "\n    }\n"


@pytest.fixture(scope="module")
def ported(tmp_path_factory: pytest.TempPathFactory) -> types.ModuleType:
    folder = tmp_path_factory.mktemp("transforms")
    result = convert_source(source(), path="ported_transforms.py")
    assert not result.diagnostics, "\n".join(map(str, result.diagnostics))
    (folder / "ported_transforms.py").write_text(result.text, "utf-8")
    (folder / "ms_extras.py").write_text(result.extras, "utf-8")
    sys.path.insert(0, str(folder))
    try:
        sys.modules.pop("ms_extras", None)
        return importlib.import_module("ported_transforms")
    finally:
        sys.path.remove(str(folder))


def made_image(height: int, width: int, mode: str) -> Image.Image:
    numbers = np.random.default_rng(height)
    return Image.fromarray(numbers.integers(0, 256, (height, width, 3) if mode == "RGB" else (height, width), dtype=np.uint8))


def arrays(value: Any) -> list[np.ndarray]:
    return [np.asarray(v) for v in value] if isinstance(value, (list, tuple)) else [np.asarray(value)]


@pytest.mark.parametrize("size, mode", [((33, 40), "RGB"), ((61, 27), "RGB"), ((40, 33), "L")])
def test_pixels_are_those_of_torchvision(ported: types.ModuleType, size: tuple[int, int], mode: str) -> None:
    image = made_image(*size, mode)
    transforms = ported.made(len(image.getbands()))
    for number, (text, expected) in enumerate(CASES.items()):
        theirs, ours = arrays(expected(image)), arrays(transforms[number](image))
        assert [a.shape for a in ours] == [a.shape for a in theirs], text
        for a, b in zip(ours, theirs):
            assert a.dtype == b.dtype, text
            assert np.abs(a.astype(np.float64) - b).max() <= (1e-6 if a.dtype == np.float32 else 0), text


def test_every_transform_has_a_case() -> None:
    short = {"torchvision.transforms.functional.": "TF.", "torchvision.transforms.InterpolationMode.": "IM.", "torchvision.transforms.": "T."}
    text = source()
    for row in load_table():
        if row.location.path.endswith("vision/transforms.yaml") and row.alternatives:
            # v2 has the same functions behind the same names, and a few of its own
            name = row.name.replace("transforms.v2.", "transforms.")
            prefix = next(p for p in short if name.startswith(p))
            assert short[prefix] + name.removeprefix(prefix) in text or f"V.{row.short_name}(" in text, row.name


def test_arrays_with_other_pixels_are_refused(ported: types.ModuleType) -> None:
    array = np.zeros((3, 8, 9), np.float32)
    transforms = ported.made(3)
    for text in ("T.Resize((20, 31))", "T.RandomRotation((30, 30))", "T.ColorJitter(0, 0, (1.7, 1.7))", "T.RandomEqualize(1.0)"):
        with pytest.raises(TypeError, match="PIL images only"):
            transforms[list(CASES).index(text)](array)


def test_what_gives_other_pixels_is_refused() -> None:
    for name in ("RandAugment()", "GaussianBlur(3)", "AutoAugment()", "RandomPerspective()"):
        result = convert_source(f"import torch\nfrom torchvision import transforms\n\nt = transforms.{name}\n")
        assert [d.code for d in result.diagnostics] == ["MSP201"], name


# --- random transforms -------------------------------------------------------------------------------------------------


def frequencies(values: list[Any], expected: dict[Any, float]) -> None:
    """A chi-squared test at 1e-4 for up to 12 outcomes."""
    found = {k: values.count(k) for k in expected}
    assert sum(found.values()) == len(values)
    statistic = sum((found[k] - p * len(values)) ** 2 / (p * len(values)) for k, p in expected.items())
    freedom = len(expected) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 3.72 * math.sqrt(2 / (9 * freedom))) ** 3
    assert statistic <= limit, (found, statistic, limit)


def test_random_transforms_have_torchvisions_distribution(ported: types.ModuleType) -> None:
    mindspore.set_seed(11)
    transforms = ported.made(3)
    ramp = Image.fromarray(np.arange(60 * 31, dtype=np.float32).reshape(60, 31) + 1, "F")
    # 64 x 35 after padding: four places from top to bottom, six from left to right; the top left pixel tells which
    tops = [int(np.asarray(transforms["crop"](ramp))[2, 2]) - 1 for _ in range(1200)]
    frequencies([v // 31 for v in tops], {0: 1 / 4, 1: 1 / 4, 2: 1 / 4, 3: 1 / 4})
    assert {v % 31 for v in tops} <= set(range(6))
    frequencies([v % 31 for v in tops], {i: 1 / 6 for i in range(6)})
    image = made_image(8, 8, "RGB")
    same = [np.array_equal(np.asarray(transforms["flip"](image)), np.asarray(image)) for _ in range(2000)]
    frequencies(same, {True: 0.7, False: 0.3})
    frequencies([transforms["choice"](image) for _ in range(2000)], {0: 1 / 8, 1: 2 / 8, 2: 5 / 8})
    orders = ["abc", "acb", "bac", "bca", "cab", "cba"]
    frequencies([transforms["order"]("") for _ in range(2000)], {o: 1 / 6 for o in orders})
    frequencies([transforms["apply"](0) for _ in range(2000)], {0: 0.8, 1: 0.2})


def test_random_numbers_have_torchvisions_distribution(ported: types.ModuleType) -> None:
    mindspore.set_seed(12)
    transforms = ported.made(3)
    # shares of area are uniform in scale, ratios are uniform on a logarithmic scale, among those that fit
    boxes = [transforms["resized"].box(1000, 1000) for _ in range(3000)]
    shares = np.array([h * w / 1e6 for _, _, h, w in boxes])
    small = shares[shares < 0.75]  # these always fit
    assert abs(small.mean() - (0.08 + 0.75) / 2) <= 0.02
    ratios = np.log([w / h for (_, _, h, w), s in zip(boxes, shares) if s < 0.75])
    assert abs(ratios.mean()) <= 0.02 and abs(ratios.std() - math.log(4 / 3) / math.sqrt(3)) <= 0.01
    places = np.array([top / (1000 - h) for top, _, h, _ in boxes if h < 900])
    assert abs(places.mean() - 0.5) <= 0.03 and abs(places.std() - 1 / math.sqrt(12)) <= 0.02
    # erased parts
    blank = np.zeros((3, 50, 40), np.float32)
    erased = np.array([(transforms["erase"](blank)[0] == 2).mean() for _ in range(1500)])
    assert abs((erased > 0).mean() - 0.7) <= 0.05
    assert erased[erased > 0].min() >= 0.015 and erased.max() <= 0.345 and abs(erased[erased > 0].mean() - 0.17) <= 0.02
    noise = np.concatenate([(e := transforms["noise"](blank))[e != 0] for _ in range(50)])
    assert abs(noise.mean()) <= 0.02 and abs(noise.std() - 1) <= 0.02
    # a grey pixel of 100 is moved by brightness alone; where contrast comes first it rounds to the same mean
    grey = Image.new("RGB", (1, 1), (100, 100, 100))
    factors = np.array([np.asarray(transforms["jitter"](grey))[0, 0, 0] for _ in range(1500)]) / 100
    assert abs(factors.mean() - 1) <= 0.03 and abs(factors.std() - 0.8 / math.sqrt(12)) <= 0.02 and 0.59 <= factors.min() <= 0.63
    # a turn moves a dot on the right edge up by the sine of the angle
    dot = Image.new("L", (201, 201))
    dot.paste(255, (185, 98, 191, 103))
    heights = [np.argwhere(np.asarray(transforms["turn"](dot)))[:, 0].mean() - 100 for _ in range(500)]
    angles = np.degrees(np.arcsin(np.array(heights) / 88))
    assert abs(angles.mean()) <= 2 and abs(angles.std() - 40 / math.sqrt(12)) <= 1 and np.abs(angles).max() <= 21
    point = Image.new("L", (41, 31))
    point.putpixel((20, 15), 255)
    shifts = np.array([np.argwhere(np.asarray(transforms["affine"](point)))[0] - (15, 20) for _ in range(1500)])
    assert np.abs(shifts).max(0).tolist() == [3, 10] and np.abs(shifts.mean(0)).max() <= 0.5
    assert abs(shifts[:, 1].std() - 20.5 / math.sqrt(12)) <= 0.3
