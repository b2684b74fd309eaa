"""Responses API to chat completions and back. Pure: ids and times are arguments.

`request` with `items`, `parts`, `tools` and `side_channel` makes the engine's request: docs/converters.md says of what.
`generation` reads its answer; `resource` writes ours. A streamed answer is read by `gathering` and written by
`translator` with `life`. `exchange` binds them, one class an API.
"""
