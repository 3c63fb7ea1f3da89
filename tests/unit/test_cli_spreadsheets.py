"""CSV as spreadsheets write it: separators, `sep=`, Excel's Unicode text, the vendor's own name for the id."""

from __future__ import annotations

import io
import time
import tracemalloc
from contextlib import suppress
from itertools import product

import pytest

from schemas.enqueue import EnqueueRequest
from worker.cli.csv_table import BadRow
from worker.cli.rows import Defaults, read
from worker.errors import InvalidInput

SG = Defaults(region=None, context=None, regions=("ph", "sg"))

ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with BOM": lambda text: text.encode("utf-8-sig"),
    "UTF-16 with BOM": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16 big": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without BOM": lambda text: text.encode("utf-16-le"),
}


def rows(raw: bytes, defaults: Defaults = SG) -> list[EnqueueRequest | BadRow]:
    return list(read(io.BytesIO(raw), defaults))


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        rows(text.encode())
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "signature_id;region;context\r\npass-1;sg;\r\n",
        "sep=;\r\nsignature_id;region\r\npass-1;sg\r\n",
        "sep=,\r\nsignature_id,region,context\r\npass-1,sg,\r\n",
        '"sep=;"\nsignature_id;region\npass-1;sg\n',
        "sep=\t\nsignature_id\tregion\npass-1\tsg\n",
        "signature_id;region;;\r\npass-1;sg;;\r\n",
        "sep=;;;\r\nsignature_id;region;;\r\npass-1;sg;;\r\n",
        "signature_id,region,,\npass-1,sg\n",
        "SEP=|\nsignature_id|region\npass-1|sg\n",
        '"signature_id",    "region"\n"pass-1",    "sg"\n',
        "signature_id\tregion\r\npass-1\tsg\r\n",
        "signatureId,region\r\npass-1,sg\r\n",
        "region|SignatureID\nsg|pass-1",
    ],
)
@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_what_spreadsheets_write_is_read(text: str, encode: object, end: str) -> None:
    text = text.replace("\r\n", "\n").replace("\n", end)
    assert callable(encode)
    assert rows(encode(text)) == [EnqueueRequest("pass-1", "sg")]


def test_json_with_commas_needs_no_more_quotes_under_another_separator() -> None:
    assert rows(b'signature_id;region;context\na;sg;"{""m"": 1, ""n"": 2}"\nb;sg;[1,2]\n') == [
        EnqueueRequest("a", "sg", '{"m":1,"n":2}'),
        EnqueueRequest("b", "sg", "[1,2]"),
    ]


def test_a_bad_row_is_named_by_its_line_in_the_file_also_behind_sep() -> None:
    found = rows(b"sep=;\nsignature_id;region\na;sg\nnot an id;sg\nb,sg\n")
    assert [str(row) for row in found if isinstance(row, BadRow)] == [
        "line 4: signature_id: must be 1 to 64 of letters, digits, - and _",
        "line 5: is separated by commas, the header by semicolons",
    ]


def test_a_row_with_too_many_cells_names_the_separator_that_is_not_quoted() -> None:
    found = rows(b"signature_id\tregion\na\tsg\t1\n")
    assert str(found[0]) == "line 2: has 3 columns, the header 2: is a tab not quoted?"


def test_a_separator_that_is_not_what_sep_says_is_named() -> None:
    assert refusal("sep=,\nsignature_id;region\na;sg\n") == (
        "line 1 names commas as separators, but line 2 is separated by semicolons: correct or delete line 1"
    )


@pytest.mark.parametrize(
    "text", ["sep=a\nsignature_idaregion\n", "sep=;;\nsignature_id;;region\n", "sep=\nsignature_id\n"]
)
def test_a_separator_that_cannot_be_one_is_refused(text: str) -> None:
    assert refusal(text) == "line 1: sep= must name a comma, a semicolon, a tab or a |"


@pytest.mark.parametrize("separator", [":", " ", "^"])
def test_a_header_under_no_known_separator_asks_for_the_separator(separator: str) -> None:
    assert refusal(f"signature_id{separator}region\na{separator}sg\n") == (
        "line 1 must be the header, such as signature_id,region,context,pipeline, separated by commas, semicolons, "
        "tabs or |: column 1 is not one of signature_id,region,context,pipeline"
    )


@pytest.mark.parametrize("raw", [b"\xff\xfes\0i\0g", b"\xff\xfe\x00\xd8\x41\x00", b"PK\x03\x04\x14\0\0\0"])
def test_half_a_character_and_a_workbook_are_refused_in_one_line(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        rows(raw)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_no_text_is_named_and_the_others_are_read() -> None:
    raw = "signature_id;region\na;sg\nb;s".encode("utf-16") + b"\x00\xd8" + "\nc;sg".encode("utf-16-le")
    found = rows(raw)
    assert [row for row in found if isinstance(row, EnqueueRequest)] == [
        EnqueueRequest("a", "sg"),
        EnqueueRequest("c", "sg"),
    ]
    assert str(found[1]) == "line 3: region: must be text without NUL, in UTF-8 or UTF-16"


@pytest.mark.parametrize(("encode", "separator"), [*product(["utf-8", "utf-16"], [",", ";"])])
def test_memory_does_not_grow_with_the_file(encode: str, separator: str) -> None:
    """1, 2, 4 and 8 times the rows: one at a time is in memory."""
    peaks = []
    for times in (1, 2, 4, 8):
        lines = [f"signature_id{separator}region", *(f"a{n}{separator}sg" for n in range(500 * times))]
        stream = io.BytesIO("\r\n".join(lines).encode(encode))
        tracemalloc.start()
        assert sum(1 for _ in read(stream, SG)) == 500 * times
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[-1] < 2 * peaks[0] + 100_000


@pytest.mark.parametrize("filling", [" ", "\r", '"', "\t", '" ', "; "])
def test_a_line_of_sep_takes_time_in_proportion_to_its_length(filling: str) -> None:
    def took_s(times: int) -> float:
        text = f"sep={filling * times}x\n".encode()
        began = time.thread_time()
        with suppress(InvalidInput):
            rows(text)
        return time.thread_time() - began

    took_s(2000)
    # Four times off; where the time grows with the square, it is 64 times as long.
    assert took_s(16_000) < 32 * max(took_s(2000), 1e-3)
