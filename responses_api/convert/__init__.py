"""Responses API to chat completions and back. Pure: ids and times are arguments.

`request` with `items`, `parts` and `tools` makes the engine's request; `generation` reads its answer; `resource` writes
ours. A streamed answer is read by `gathering` and written by `translator` with `life`. `exchange` binds them, one class
an API.
"""
