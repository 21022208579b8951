"""Soft shapes: their masks are drawn at twice the size and reduced, for smooth edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from .palette import Colour, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = tuple[int, int]
Outline = list[tuple[float, float]]
Box = tuple[int, int, int, int]
WHITE: Colour = (255, 255, 255)
_INK: Colour = (10, 10, 30)
_SPOT = Image.radial_gradient("L")
_KNEE = 110
"""Grey value at which a ramp is at its middle colour."""


def box_of(outline: Outline, size: Point) -> Box:
    """The part of a picture that an outline touches."""
    xs, ys = zip(*outline, strict=True)
    return (
        max(int(min(xs)), 0),
        max(int(min(ys)), 0),
        min(int(max(xs)) + 1, size[0]),
        min(int(max(ys)) + 1, size[1]),
    )


def polygon(outline: Outline, box: Box) -> Image.Image:
    """The mask of an outline, cut to a box."""
    left, top, right, bottom = box
    mask = Image.new("L", ((right - left) * 2, (bottom - top) * 2))
    ImageDraw.Draw(mask).polygon([((x - left) * 2, (y - top) * 2) for x, y in outline], fill=255)
    return mask.reduce(2)


def oval(reach: Point) -> Image.Image:
    """The mask of an ellipse with these half axes."""
    mask = Image.new("L", (reach[0] * 4, reach[1] * 4))
    ImageDraw.Draw(mask).ellipse((0, 0, reach[0] * 4 - 1, reach[1] * 4 - 1), fill=255)
    return mask.reduce(2)


def around(centre: Point, reach: Point) -> Box:
    """The box of these half sides around a point."""
    (x, y), (wide, high) = centre, reach
    return (x - wide, y - high, x + wide, y + high)


def disc(picture: Image.Image, centre: Point, reach: Point, colour: Colour) -> None:
    """A flat ellipse."""
    picture.paste(colour, around(centre, reach), oval(reach))


def glow(picture: Image.Image, centre: Point, reach: Point, colour: Colour) -> None:
    """An ellipse that fades out from its middle: light, or a shadow."""
    halo = _SPOT.resize((reach[0] * 2, reach[1] * 2), box=(37, 37, 219, 219)).point(_FADE)
    picture.paste(colour, around(centre, reach), halo)


_FADE = [round(max(1 - value / 126, 0) ** 1.5 * 190) for value in range(256)]


def sphere(picture: Image.Image, centre: Point, radius: int, colour: Colour, side: int) -> None:
    """A ball that is lit from the left (`side` -1) or the right (1)."""
    reach = (radius, radius)
    window = (43 - 30 * side, 73, 213 - 30 * side, 243)
    shade = _SPOT.resize((radius * 2, radius * 2), Image.Resampling.BILINEAR, box=window)
    ball = ramp(shade, (mix(colour, WHITE, 0.55), colour, mix(colour, _INK, 0.55)))
    picture.paste(ball, around(centre, reach), oval(reach))


def cylinder(picture: Image.Image, foot: Point, reach: Point, colour: Colour) -> None:
    """A low drum on its foot; `reach` is its half width and its height."""
    half, tall = reach
    flat = half // 4
    grey = Image.linear_gradient("L").rotate(90).resize((half * 2, tall + flat * 2))
    stops = (mix(colour, WHITE, 0.3), colour, mix(colour, _INK, 0.4))
    body = ramp(grey.point([abs(value - 90) for value in range(256)]), stops)
    mask = Image.new("L", (half * 4, (tall + flat * 2) * 2))
    draw = ImageDraw.Draw(mask)
    draw.rectangle((0, flat * 2, half * 4, (tall + flat) * 2), fill=255)
    draw.ellipse((0, tall * 2, half * 4 - 1, (tall + flat * 2) * 2 - 1), fill=255)
    picture.paste(body, (foot[0] - half, foot[1] - tall - flat), mask.reduce(2))
    disc(picture, (foot[0], foot[1] - tall), (half, flat), mix(colour, WHITE, 0.45))


def ramp(grey: Image.Image, stops: Sequence[Colour]) -> Image.Image:
    """A grey picture in three colours: the first for black, the last for white."""
    channels = zip(*stops, strict=True)
    return Image.merge("RGB", [grey.point(_slope(*channel)) for channel in channels])


def _slope(first: int, middle: int, last: int) -> list[int]:
    rising = [first + (middle - first) * value // _KNEE for value in range(_KNEE)]
    rest = range(256 - _KNEE)
    return rising + [middle + (last - middle) * min(value, _KNEE) // _KNEE for value in rest]
