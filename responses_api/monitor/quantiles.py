"""What a histogram of latencies still tells of the latencies themselves. Pure."""

from collections.abc import Sequence


def quantile(share: float, counts: Sequence[int], bounds: Sequence[float]) -> float | None:
    """Return the value that this share of the counted ones does not exceed, as if each step were filled evenly.

    `bounds` are the steps' upper ends, the last of them infinite: of what lies there, only the lower end is known.
    None if nothing was counted.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, below, low = share * total, 0, 0.0
    for count, high in zip(counts, bounds, strict=True):
        if count and below + count >= wanted:
            return low if high == float("inf") else low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return low
