"""What clients might do with what is stored: requests about responses and conversations, in any order and harmed; and
what they might send over a WebSocket.

A name in NAMES stands for the id of something that is there.
"""

from typing import NamedTuple
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz import bodies
from tests.fuzz.bodies import Some, of, one, rarely
from tests.fuzz.mutation import Draw, anything, dump, harmed, spoiled

NAMES = ("$response", "$working", "$conversation", "$item", "$said")

known = of(*NAMES)
ids = st.one_of(
    known,
    known,
    known,
    of("resp_0", "conv_0", "\x00", "..", ".", " ", "a/b", "x" * 300, "é", "%00"),
    st.text(max_size=6),
)


class Request(NamedTuple):
    """One request of a story."""

    method: str
    path: str
    body: bytes = b""

    def about(self, made: dict[str, str]) -> "Request":
        """Return the request with the ids of what is there."""
        path, body = self.path, self.body
        for name, found in made.items():
            path = path.replace(quote(name, safe=""), found)
            body = body.replace(name.encode(), found.encode())
        return Request(self.method, path, body)


paths = st.one_of(
    st.tuples(of("/responses/{}", "/responses/{}/input_items", "/responses/{}/cancel"), of("$response", "$working")),
    st.tuples(of("/conversations/{}", "/conversations/{}/items"), of("$conversation")),
    st.tuples(of("/conversations/$conversation/items/{}"), of("$item", "$said")),
    st.tuples(
        of("/responses/{}", "/responses/{}/input_items", "/responses/{}/cancel", "/conversations/{}")
        | of("/conversations/{}/items", "/conversations/$conversation/items/{}", "/conversations/{}/items/$item"),
        ids,
    ),
).map(lambda pair: quote(pair[0].replace("{}", "\x01"), safe="/").replace("%01", quote(pair[1], safe="")))
queries = st.lists(
    st.one_of(
        st.tuples(of("limit"), of("1", "2", "100", "0", "101", "-1", "1e2", "", "²", "0" * 5000 + "1")),
        st.tuples(of("order"), of("asc", "desc", "", "up")),
        st.tuples(of("after", "before"), ids),
        st.tuples(of("stream"), of("true", "false", "", "1")),
        st.tuples(of("starting_after"), of("0", "1", "3", "999999999", "-1", "-2", "x", "", "1" * 5000)),
        st.tuples(of("include", "include[]", "\x00", "", "x"), st.text(max_size=6)),
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs))

items = st.lists(
    st.one_of(
        bodies.turns,
        one(type="item_reference", id=known).map(lambda item: [item]),
        one(role="user", content="hi", id=known | bodies.text).map(lambda item: [item]),
    ),
    max_size=3,
).map(lambda found: [item for turn in found for item in turn])
metadata = of({"a": "b"}, {}, None, {"a": "\x00"}, {"a": 1}, {"": "x" * 600})
about_state = st.one_of(
    st.just(b""), harmed(one(may={"items": items, "metadata": metadata})), harmed(one(items=items)), anything.map(dump)
)
asked_again = harmed(
    one(
        model="tiny",
        input=bodies.text | items,
        may={
            "stream": st.booleans(),
            "store": st.booleans(),
            "background": rarely(True),
            "previous_response_id": known,
            "conversation": known | one(id=known),
        },
    )
)


@st.composite
def requests(draw: Draw) -> Request:
    """Return a request about what is stored, or one that goes on from it."""
    kind = draw(of("stored", "stored", "stored", "goes on", "conversation"))
    if kind == "goes on":
        path = draw(of("/responses", "/responses", "/responses/compact", "/responses/input_tokens"))
        return Request("POST", path, draw(asked_again))
    if kind == "conversation":
        return Request("POST", "/conversations", draw(spoiled(about_state)))
    method = draw(of("GET", "GET", "POST", "DELETE", "PUT", "HEAD"))
    path = f"{draw(paths)}?{draw(queries)}"
    return Request(method, path, draw(about_state) if method in {"POST", "PUT"} else b"")


class Frame(NamedTuple):
    """A message over a WebSocket, and whether it says that it is text."""

    data: bytes
    is_text: bool


turn = one(
    type=of(*["response.create"] * 9, "response.cancel"),
    model="tiny",
    input=bodies.inputs,
    may={
        "previous_response_id": of("$last", "$last", "resp_0", "", None),
        "generate": of(False, True, None),
        "store": st.booleans(),
        "stream": rarely(True),
        "background": rarely(True),
        "conversation": rarely("conv_0"),
        "tools": st.lists(bodies.function, max_size=2),
        "instructions": bodies.text | st.none(),
    },
)
texts: Some = st.one_of(*[spoiled(harmed(turn))] * 3, anything.map(dump), st.just(b""))
frames = st.one_of(
    st.builds(Frame, texts, st.booleans()),
    st.builds(Frame, texts, st.just(value=True)),
    st.builds(Frame, st.binary(max_size=40), st.booleans()),
)
