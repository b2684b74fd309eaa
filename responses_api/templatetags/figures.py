"""Numbers as people read them."""

from django import template

register = template.Library()

SMALLEST_SHARE = 0.001


@register.filter
def grouped(number: int) -> str:
    """Return a whole number with its thousands apart: 1,234,567."""
    return f"{number:,}"


@register.filter
def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent, with one decimal where it has one; a tiny one is not shown as none."""
    if 0 < share < SMALLEST_SHARE:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
