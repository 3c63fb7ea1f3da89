"""Reading verifications out of CSV."""

from __future__ import annotations

import io
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.enqueue import EnqueueRequest
from worker.cli.csv_table import BadRow
from worker.cli.rows import Defaults, read
from worker.enqueue_request import SIGNATURE_ID
from worker.errors import InvalidInput

PH = Defaults(region="ph", context=None, regions=("ph", "sg"))
NO_REGION = Defaults(region=None, context=None, regions=("ph", "sg"))


def rows(text: str | bytes, defaults: Defaults = PH) -> list[EnqueueRequest | BadRow]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read(io.BytesIO(raw), defaults))


def problems(text: str | bytes, defaults: Defaults = PH) -> list[str]:
    return [str(row) for row in rows(text, defaults) if isinstance(row, BadRow)]


def test_each_row_is_a_request() -> None:
    found = rows('signature_id,region,context\na,ph,"{""n"": 1}"\nb,SG,\nc,,[1]\n')
    assert found == [
        EnqueueRequest("a", "ph", '{"n":1}'),
        EnqueueRequest("b", "sg"),
        EnqueueRequest("c", "ph", "[1]"),
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_bom_and_line_ends_of_every_kind_are_read(bom: bytes, end: bytes) -> None:
    assert rows(bom + end.join([b"signature_id", b"a", b"b"])) == [
        EnqueueRequest("a", "ph"),
        EnqueueRequest("b", "ph"),
    ]


def test_columns_stand_in_any_order_and_case_and_only_the_id_is_needed() -> None:
    assert rows(" Region ,SIGNATURE_ID\nsg,a\n", NO_REGION) == [EnqueueRequest("a", "sg")]
    assert rows("signature_id\na\n") == [EnqueueRequest("a", "ph")]


def test_defaults_count_only_where_a_row_says_nothing() -> None:
    defaults = Defaults(region="ph", context={"from": "option"}, regions=("ph", "sg"))
    found = rows("signature_id,region,context\na,sg,1\nb,,\nc\n", defaults)
    assert found == [
        EnqueueRequest("a", "sg", "1"),
        EnqueueRequest("b", "ph", '{"from":"option"}'),
        EnqueueRequest("c", "ph", '{"from":"option"}'),
    ]


def test_empty_lines_and_the_empty_rows_that_spreadsheets_leave_are_no_rows() -> None:
    assert rows("signature_id,region\n\na,ph\n,\n\n") == [EnqueueRequest("a", "ph")]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("not an id,ph,", "signature_id: must be 1 to 64 of letters, digits, - and _"),
        (f"{'a' * 65},ph,", "signature_id: must be 1 to 64 of letters, digits, - and _"),
        (",ph,", "signature_id: must be 1 to 64 of letters, digits, - and _"),
        ("a,mars,", "region: unknown region, use one of sg, ph, th, my, vn, global"),
        ("a,th,", "region: is not in ADVANCE_REGIONS (ph, sg): no worker would poll it"),
        ("a,ph,{", "context: must be JSON"),
        ("a,ph,NaN", "context: must be JSON"),
        (f"a,ph,{'[' * 100_000}", "context: must be JSON"),
        (f"a,ph,{'1' * 10_000}", "context: must be JSON"),
        ('a,ph,"""\\ud800"""', "context: must be JSON"),
        (f'a,ph,"""{"x" * 5000}"""', "context: must be at most 4096 bytes of JSON, is 5002"),
        ('a,ph,{"m": 1, "n": 2}', "has 4 columns, the header 3: is a comma not quoted?"),
        ("a\0,ph,", "signature_id: must be text without NUL, in UTF-8 or UTF-16"),
        ('"a"b,ph,', "is not CSV: ',' expected after '\"'"),
        (f"a,ph,{'x' * 200_000}", "has a field of more than 131,072 characters; is a quote left open?"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_line_field_and_problem_and_the_next_is_read(
    row: str, problem: str
) -> None:
    found = rows(f"signature_id,region,context\nfirst,ph,\n{row}\nlast,ph,\n")
    assert [str(bad) for bad in found if isinstance(bad, BadRow)] == [f"line 3: {problem}"]
    assert [good.signature_id for good in found if isinstance(good, EnqueueRequest)] == ["first", "last"]


def test_bytes_that_are_no_utf_8_spoil_their_row_only() -> None:
    assert rows(b"signature_id,context\nb\xe9b\xe9,\na,\n")[1] == EnqueueRequest("a", "ph")
    assert problems(b'signature_id,context\na,"""caf\xe9"""\n') == [
        "line 2: context: must be text without NUL, in UTF-8 or UTF-16"
    ]


def test_a_row_without_any_region_says_where_one_may_come_from() -> None:
    assert problems("signature_id,region\na,\n", NO_REGION) == [
        "line 2: region: is empty, and --region is not given"
    ]


def test_a_context_may_run_over_several_lines() -> None:
    text = 'signature_id,context\na,"{\n""n"": 1\n}"\nbad id,\n'
    assert rows(text)[0] == EnqueueRequest("a", "ph", '{"n":1}')
    assert problems(text) == ["line 5: signature_id: must be 1 to 64 of letters, digits, - and _"]


def test_a_row_of_several_lines_that_cannot_be_used_counts_once() -> None:
    (bad,) = rows('signature_id,context\nbad id,"{\n""n"": 1\n}"\n')
    assert isinstance(bad, BadRow)
    assert (bad.first_line, bad.last_line, bad.rows) == (2, 4, 1)


def test_a_quote_that_is_never_closed_names_all_lines_that_it_swallowed_and_counts_each() -> None:
    (bad,) = rows('signature_id,context\na,"{\nb,\nc,\n')
    assert str(bad) == "lines 2 to 4: is not CSV: a quote is opened and never closed"
    assert isinstance(bad, BadRow)
    assert bad.rows == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "signature_id is missing"),
        (b"\n\n", "signature_id is missing"),
        (b"region,context\n", "signature_id is missing"),
        (b"f302f5d2454a85c2,ph\n", "column 1 is not one of signature_id,region,context"),
        (b"signature_id:region\n", "column 1 is not one of signature_id,region,context"),
        (b"signature_id,region,name\n", "column 3 is not one of signature_id,region,context"),
        (b"signature_id,region,region\n", "column 3 is repeated"),
        ("signature_id\ud800\r\na\r\n".encode("utf-16", "surrogatepass"), "not a CSV file in UTF-8"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0", "not a CSV file in UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "not a CSV file in UTF-8"),
        (b'"signature_id', "line 1: is not CSV: a quote is opened and never closed"),
        (b"\0" * 2_000_000, "line 1 is longer than 1,000,000 characters"),
        (b"signature_id\n" + b"a" * 2_000_000, "line 2 is longer than 1,000,000 characters"),
    ],
)
def test_what_is_no_such_file_is_refused_without_quoting_it(text: bytes, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rows(text)
    assert problem in str(refused.value)
    assert "f302f5d2454a85c2" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@given(st.binary(max_size=300), st.sampled_from([b"", b"signature_id\n", b"signature_id,region,context\n"]))
def test_any_bytes_are_read_or_refused_and_what_is_read_can_be_enqueued(body: bytes, header: bytes) -> None:
    """Nothing but ``InvalidInput`` gets out, and nothing gets in that the ledger could not hold."""
    try:
        found = rows(header + body)
    except InvalidInput:
        return
    for row in found:
        if isinstance(row, EnqueueRequest):
            assert row.region in PH.regions
            assert SIGNATURE_ID.fullmatch(row.signature_id)
        else:
            assert 2 <= row.first_line <= row.last_line


def test_a_row_of_any_number_of_lines_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # Less than in use, so that the test is quick.
    monkeypatch.setattr("worker.cli.csv_table.MAX_LINE_CHARACTERS", 200_000)

    def peak(times: int) -> int:
        text = io.BytesIO(b"signature_id,region\na,ph\n" + b'"a\n",' * times)
        tracemalloc.start()
        try:
            with suppress(InvalidInput):
                for _ in read(text, PH):
                    pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(200_000) < 1.5 * peak(50_000)


def test_a_row_of_too_many_lines_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        rows(b"signature_id,region\na,ph\n" + b'"a\n",' * 500_000)
    assert str(caught.value) == (
        "lines 3 to 200003 are one row of more than 1,000,000 characters: is a quote left open?"
    )
