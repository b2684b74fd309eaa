"""Lists of items, page by page, as the API has them. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from responses_api.convert.items import Item
from responses_api.errors import ItemNotFoundError, RequestError

MAX_LIMIT = 100


class Paging(NamedTuple):
    """Which page of a list is asked for."""

    after: str = ""
    limit: int = 20
    ascending: bool = False


def paging(query: dict[str, str]) -> Paging:
    """Return what the parameters of a URL ask for.

    Raises:
        RequestError: naming the one that makes no sense.
    """
    limit, order = query.get("limit", "20"), query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(MAX_LIMIT)) and 1 <= int(limit) <= MAX_LIMIT):
        raise RequestError(f"'limit' is a number from 1 to {MAX_LIMIT}.", param="limit")
    if order not in {"asc", "desc"}:
        raise RequestError("'order' is 'asc' or 'desc'.", param="order")
    return Paging(query.get("after", ""), int(limit), order == "asc")


def listed(items: Sequence[Item], *, has_more: bool) -> dict[str, Any]:
    """Return a page of items as the API lists them."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


def page(items: Sequence[Item], asked: Paging) -> dict[str, Any]:
    """Return one page of all these items, which stand in their order and have an id each.

    Raises:
        ItemNotFoundError: if the page is to begin behind an item that is not there.
    """
    ordered = [*items] if asked.ascending else [*reversed(items)]
    if asked.after:
        place = next((place for place, item in enumerate(ordered) if item["id"] == asked.after), None)
        if place is None:
            raise ItemNotFoundError(asked.after, param="after")
        ordered = ordered[place + 1 :]
    return listed(ordered[: asked.limit], has_more=len(ordered) > asked.limit)
