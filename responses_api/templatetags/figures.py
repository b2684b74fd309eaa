"""Numbers as people read them."""

from datetime import datetime

from django import template
from django.utils.timesince import timesince

register = template.Library()

SMALLEST_SHARE = 0.001


@register.filter
def grouped(number: int) -> str:
    """Return a whole number with its thousands apart: 1,234,567."""
    return f"{number:,}"


@register.filter
def compact(number: float) -> str:
    """Return a number in about three figures: 0.25, 950, 12.3 K, 4 M. Trailing zeros are left out."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " K")):
        if number >= size:
            scale = 1e3 if letter == " K" else size
            return f"{number / scale:.1f}".removesuffix(".0") + letter
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.2g}"  # noqa: PLR2004


@register.filter
def duration(milliseconds: float | None) -> str:
    """Return a time in its own unit: 20 ms, 1.5 s, 5 min; a dash for none."""
    if milliseconds is None:
        return "-"
    for size, unit in ((120_000, "min"), (1_000, "s")):
        if milliseconds >= size:
            return f"{milliseconds / (60_000 if unit == 'min' else 1_000):.3g} {unit}"
    return f"{milliseconds:.3g} ms"


@register.filter
def since(when: datetime) -> str:
    """Return how long ago a time was, in its largest unit alone: 3 hours."""
    found = timesince(when, depth=1)
    return "under a minute" if found.startswith("0") else found


@register.filter
def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent, with one decimal where it has one; a tiny one is not shown as none."""
    if 0 < share < SMALLEST_SHARE:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
