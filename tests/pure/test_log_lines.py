from launcher import log_lines

CORE = "(EngineCore pid=18109) "
PREFIX = CORE + "INFO 11-21 08:26:15 [core.py:133] "


def test_what_a_progress_bar_overwrote_is_a_line() -> None:
    assert len(log_lines.lines("Fetching 4 files:   0%|  | 0/4\rFetching 4 files:  50%|##  | 2/4\n")) == 2


def test_the_tail_has_forty_lines_without_colours_and_blanks() -> None:
    log = "".join(f"\x1b[36mline {number}\x1b[0m\n\n" for number in range(100))
    assert log_lines.tail(log).splitlines() == [f"line {number}" for number in range(60, 100)]


def test_the_tail_leaves_out_the_list_of_routes() -> None:
    log = f"before\n{PREFIX}Route: /v1/models, Methods: GET\nafter"
    assert log_lines.tail(log) == "before\nafter"


def test_secrets_are_blotted_out_longest_first_and_short_words_are_left() -> None:
    text = "key=abcdefgh-and-more token hf_AbCdEfGhIjKlMnOpQr on abcdefgh"
    assert log_lines.redact(text, ["abcdefgh", "abcdefgh-and-more", "on", ""]) == (
        "key=[redacted] token [redacted] on [redacted]"
    )
