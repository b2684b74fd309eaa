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
def since(when: datetime) -> str:
    """Return how long ago a time was, in its largest unit alone: 3 hours."""
    return timesince(when, depth=1)


@register.filter
def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent, with one decimal where it has one; a tiny one is not shown as none."""
    if 0 < share < SMALLEST_SHARE:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
