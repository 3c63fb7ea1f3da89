"""What a short text that a person writes must not have: numbers and dates that identify somebody.

A reason or a note is shown and kept in places that hold nothing personal. Names cannot be told from other words, so the
form asks for none. A text that only looks like such data is refused, too: it can be written differently.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: The longest text that is examined, in characters. Callers refuse longer ones.
LONGEST: Final = 1000

#: What may stand between two digits that belong together: no letter and no digit.
_BETWEEN: Final = r"[\W_]{0,3}"

_DIGITS: Final = re.compile(rf"\+?[0-9](?:{_BETWEEN}[0-9])*")

#: Fewer digits are no number of a document and no phone number: a count, a year, the number of a case.
_FEWEST_DIGITS: Final = 7
_MOST_PHONE_DIGITS: Final = 15

#: Letters, then digits, as passports have them; a letter may follow.
_PASSPORT: Final = re.compile(r"(?<![A-Z0-9])[A-Z]{1,3}(?:[ -]?[0-9]){6,9}[ -]?[A-Z]?(?![A-Z0-9])")

#: The sign of an e-mail address, spelt out.
_AT: Final = re.compile(r"[(\[{<] ?AT ?[)\]}>]")

#: In English, Malay, Indonesian and Filipino.
_MONTH: Final = (
    r"(?:JAN(?:UARY|UARI)?|FEB(?:RUARY|RUARI)?|MAR(?:CH|ET)?|MAC|APR(?:IL)?|MAY|MEI|JUNE?|JUNI|JULY?|JULI|AUG(?:UST)?"
    r"|AGU(?:STUS)?|OGOS|SEPT?(?:EMBER)?|OCT(?:OBER)?|OKT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?|DES(?:EMBER)?"
    r"|DIS(?:EMBER)?|ENERO|PEBRERO|MARSO|ABRIL|MAYO|HUNYO|HULYO|AGOSTO|SETYEMBRE|OKTUBRE|NOBYEMBRE|DISYEMBRE)(?![A-Z])"
)

_DAY_OF_MONTH: Final = r"[0-9]{1,2}(?:ST|ND|RD|TH)?"

#: Of somebody who is alive. With a year in full, signs between the numbers of a date are not those of a time or a list.
_YEAR: Final = r"(?:19|20)[0-9]{2}"

_DATES: Final = (
    re.compile(r"(?<![0-9])[0-9]{1,2} ?[./-] ?[0-9]{1,2} ?[./-] ?[0-9]{2,4}(?![0-9])"),
    re.compile(r"(?<![0-9])[0-9]{4} ?[./-] ?[0-9]{1,2} ?[./-] ?[0-9]{1,2}(?![0-9])"),
    re.compile(rf"(?<![0-9])[0-9]{{1,2}}[\W_]{{1,3}}[0-9]{{1,2}}[\W_]{{1,3}}{_YEAR}(?![0-9])"),
    re.compile(rf"(?<![0-9]){_YEAR}[\W_]{{1,3}}[0-9]{{1,2}}[\W_]{{1,3}}[0-9]{{1,2}}(?![0-9])"),
    re.compile(
        rf"(?<![0-9]){_DAY_OF_MONTH}(?: OF)?[\W_]{{0,3}}{_MONTH}[\W_]{{0,3}}(?:[0-9]{{4}}|[0-9]{{2}})(?![0-9])"
    ),
    re.compile(rf"(?<![A-Z]){_MONTH}[\W_]{{0,3}}{_DAY_OF_MONTH}[\W_]{{1,3}}[0-9]{{4}}(?![0-9])"),
    re.compile(rf"(?<![0-9]){_YEAR}[\W_]{{0,3}}{_MONTH}[\W_]{{0,3}}[0-9]{{1,2}}(?![0-9])"),
)

#: A day of the years 1900 to 2099 in eight digits.
_DAY: Final = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")


def found_in(text: str) -> str | None:
    """Return what a text has that looks personal, such as `an id number`; None: nothing. Takes linear time."""
    plain = _plain(text)
    if _AT.search(plain) or any("@" in word.strip("@") for word in plain.split()):
        return "an e-mail address"
    if any(date.search(plain) for date in _DATES):
        return "a date, such as a date of birth"
    for run in _DIGITS.findall(plain):
        digits = re.sub(r"[^0-9]", "", run)
        if _DAY.fullmatch(digits):
            return "a date, such as a date of birth"
        if len(digits) >= _FEWEST_DIGITS:
            is_phone = run.startswith(("+", "0")) and len(digits) <= _MOST_PHONE_DIGITS
            return "a phone number" if is_phone else "an id number"
    return "an id number" if _PASSPORT.search(plain) else None


def _plain(text: str) -> str:
    """Return the text in capitals, with digits of all scripts as ASCII, and without invisible characters."""
    return "".join(map(_as_plain, unicodedata.normalize("NFKC", text[:LONGEST]))).upper()


def _as_plain(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    if character in "年月日":
        return "-"
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in {"Cf", "Mn", "Me"}:
        return ""
    if category == "Pd":
        return "-"
    return " " if category.startswith(("Z", "C")) else character
