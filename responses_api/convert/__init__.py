"""Responses API to chat completions and back. Pure: ids and times are arguments.

`request` with `items`, `parts` and `tools` makes the engine's request; `generation` reads its answer; `resource` writes
ours. `exchange` binds them, one class an API.
"""
