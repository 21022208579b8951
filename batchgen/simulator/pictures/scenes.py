"""The motifs: each paints one small picture, which scaling up makes large and soft."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

from .palette import Colour, Palette, mix
from .shapes import (
    WHITE,
    Outline,
    Point,
    box_of,
    cylinder,
    disc,
    glow,
    polygon,
    ramp,
    sphere,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_BLACK: Colour = (0, 0, 0)
Wave = tuple[float, float, float]
"""Frequency, phase and amplitude."""


def dunes(size: Point, palette: Palette, dice: random.Random) -> Image.Image:
    """Hills in front of a low sun."""
    width, height = size
    picture = _sky(size, palette, dice)
    horizon = dice.uniform(0.42, 0.55) * height
    radius = round(min(size) * dice.uniform(0.10, 0.17))
    sun = (round(width * dice.uniform(0.25, 0.75)), round(horizon - radius * dice.uniform(0, 1)))
    glow(picture, sun, (radius * 3, radius * 3), mix(palette.light, WHITE, 0.5))
    disc(picture, sun, (radius, radius), mix(palette.light, palette.accent, 0.4))
    haze = mix(palette.far, palette.warm, 0.35)
    for layer in range(5):
        share = layer / 4
        base = horizon + (height - horizon) * share * 0.72
        ridge = _ridge(size, base, min(size) * 0.055 * (1 + share), dice)
        _fill_below(picture, ridge, mix(haze, palette.near, share))
    return picture


def podium(size: Point, palette: Palette, dice: random.Random) -> Image.Image:
    """A ball on a plinth before an arch: a studio, lit from one side."""
    width, height = size
    unit = min(size)
    floor = round(height * 0.60)
    middle = round(width * dice.uniform(0.42, 0.58))
    side = dice.choice((-1, 1))
    picture = _sky(size, palette, dice)
    _arch(picture, (middle, floor), round(unit * 0.34), mix(palette.far, palette.warm, 0.45))
    picture.paste(mix(palette.warm, palette.far, 0.25), (0, floor, width, height))
    half, tall = round(unit * 0.19), round(unit * 0.12)
    foot = floor + round(unit * 0.10)
    dark = mix(palette.near, palette.far, 0.4)
    glow(picture, (middle + side * half // 2, foot), (round(half * 1.7), half // 3), dark)
    cylinder(picture, (middle, foot), (half, tall), mix(palette.light, palette.warm, 0.3))
    radius = round(unit * dice.uniform(0.10, 0.14))
    _ball(picture, (middle, foot - tall), radius, palette.accent, side)
    small = round(radius * 0.45)
    _ball(picture, (middle - side * (half + small * 2), foot + small), small, palette.far, side)
    return picture


def papercut(size: Point, palette: Palette, dice: random.Random) -> Image.Image:
    """Wobbling openings in sheets of paper, each throwing its shadow on the next."""
    width, height = size
    centre = (round(width * dice.uniform(0.4, 0.6)), round(height * dice.uniform(0.34, 0.44)))
    waves: list[Wave] = [
        (dice.randint(2, 5), dice.uniform(0, math.tau), dice.uniform(0.03, 0.09)) for _ in "123"
    ]
    dark = mix(palette.near, palette.far, 0.35)
    picture = Image.new("RGB", size, palette.near)
    for layer in range(5):
        share = layer / 4
        radius = math.hypot(width, height) * (0.46 - 0.35 * share)
        turned = [(count, phase + share * 1.5, swing) for count, phase, swing in waves]
        _inlay(picture, _blob(centre, radius, turned), mix(dark, palette.light, share))
    sphere(picture, centre, round(min(size) * 0.08), palette.accent, dice.choice((-1, 1)))
    return picture


def orbs(size: Point, palette: Palette, dice: random.Random) -> Image.Image:
    """Balls of many sizes afloat in coloured light, the nearest last."""
    width, height = size
    picture = _sky(size, palette, dice)
    tints = (palette.far, palette.accent, palette.warm, palette.near)
    for index in range(9):
        radius = round(min(size) * (0.03 + 0.017 * index * dice.uniform(0.6, 1.2)))
        centre = (
            round(width * dice.uniform(0.05, 0.95)),
            round(height * dice.uniform(0.05, 0.72)),
        )
        tint = mix(tints[index % 4], palette.light, 0.5 * (1 - index / 8))
        sphere(picture, centre, radius, tint, -1)
    return picture


SCENES: tuple[Callable[[Point, Palette, random.Random], Image.Image], ...] = (
    dunes,
    podium,
    papercut,
    orbs,
)


def _sky(size: Point, palette: Palette, dice: random.Random) -> Image.Image:
    """A mesh of a few colours, blown up until they run into each other."""
    mesh = Image.new("RGB", (3, 4))
    for y in range(4):
        base = mix(palette.warm, palette.light, y / 3)
        for x in range(3):
            cloud = dice.uniform(0, 0.35 if y < 2 else 0.1)  # noqa: PLR2004 - the upper half
            mesh.putpixel((x, y), mix(base, palette.far, cloud))
    return mesh.resize(size, Image.Resampling.BICUBIC)


def _ridge(size: Point, base: float, swing: float, dice: random.Random) -> Outline:
    width, height = size
    waves: list[Wave] = [
        (dice.uniform(0.6, 1.4) * count, dice.uniform(0, math.tau), swing / count)
        for count in (1, 2, 5)
    ]
    step = max(width // 64, 1)
    crest: Outline = [
        (x, base + _sum(waves, math.tau * x / width)) for x in range(0, width + step, step)
    ]
    return [(0, height), *crest, (width, height)]


def _blob(centre: Point, radius: float, waves: list[Wave]) -> Outline:
    angles = [math.tau * step / 96 for step in range(96)]
    reaches = [radius * (1 + _sum(waves, angle)) for angle in angles]
    return [
        (centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle))
        for angle, reach in zip(angles, reaches, strict=True)
    ]


def _sum(waves: list[Wave], angle: float) -> float:
    return sum(swing * math.sin(count * angle + phase) for count, phase, swing in waves)


def _fill_below(picture: Image.Image, ridge: Outline, colour: Colour) -> None:
    """Only the band that the crest crosses needs a mask; below it all is one colour."""
    width, height = picture.size
    top = max(int(min(y for _, y in ridge)) - 1, 0)
    bottom = min(int(max(y for _, y in ridge[1:-1])) + 1, height)
    band = (0, top, width, max(bottom, top + 1))
    picture.paste(colour, band, polygon(ridge, band))
    picture.paste(colour, (0, bottom, width, height))


def _inlay(picture: Image.Image, outline: Outline, colour: Colour) -> None:
    box = box_of(outline, picture.size)
    mask = polygon(outline, box)
    soft = mask.resize((mask.width // 4 + 1, mask.height // 4 + 1), Image.Resampling.BILINEAR)
    light = soft.filter(ImageFilter.GaussianBlur(2)).resize(mask.size, Image.Resampling.BILINEAR)
    edge = light.point([min(max(255 - value, 0), 110) for value in range(256)])
    picture.paste(ramp(edge, (colour, mix(colour, _BLACK, 0.4), _BLACK)), box, mask)


def _ball(picture: Image.Image, foot: Point, radius: int, colour: Colour, side: int) -> None:
    """A ball that lies on its foot, with its shadow away from the light."""
    x, y = foot
    glow(
        picture,
        (x + side * radius // 2, y),
        (radius, max(radius // 4, 1)),
        mix(colour, _BLACK, 0.6),
    )
    sphere(picture, (x, y - radius + radius // 8), radius, colour, -side)


def _arch(picture: Image.Image, foot: Point, half: int, colour: Colour) -> None:
    spring = foot[1] - round(half * 0.55)
    disc(picture, (foot[0], spring), (half, half), colour)
    picture.paste(colour, (foot[0] - half, spring, foot[0] + half, foot[1]))
