"""How long evidence is kept: the rules of ``EKYC_RETAIN``, and until when a verification is kept by them. Pure.

    my=6y,*=5y,sg/reject=2y@closed

An entry is `<region>[/<decision>]=<period>[@<clock>]`; `*` is any region, or any decision. A period is `6y`, `18m`
(months), `90d` or `never`. The clock is `decided` or `closed`. Of the entries that fit, the most specific one counts:
region and decision, then region, then decision, then `*`. What no entry says comes from the defaults.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from worker.enqueue_request import canonical_region
from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Stands for any region or any decision.
ANY: Final = "*"

#: The longest text and the most entries: six regions with a dozen decisions each.
LONGEST: Final = 4000
MOST_ENTRIES: Final = 100

#: The longest period, so that a misspelt number is a fault.
MOST_YEARS: Final = 100

_ENTRY: Final = re.compile(
    r"(?P<region>\*|[a-z]{2,10})(?:/(?P<decision>\*|[a-z][a-z0-9_]{0,63}))?"
    r"=(?P<period>never|[1-9][0-9]{0,4}[dmy])(?:@(?P<clock>[a-z]{1,10}))?"
)

_FORM: Final = "write <region>[/<decision>]=<period>[@decided|@closed], such as my=6y or sg/reject=2y@decided"


class Clock(StrEnum):
    """The moment from which a period counts."""

    #: The decision; without one, when the newest file was stored, without reviews and marks.
    DECIDED = "decided"
    #: The end of the business relationship. Until a pipeline or a person names it, the evidence is kept.
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Period:
    """A period of the calendar. Zero months and days: it never ends."""

    months: int = 0
    days: int = 0

    @property
    def is_endless(self) -> bool:
        return not self.months and not self.days

    def after(self, moment: datetime) -> datetime | None:
        """Return the end of the period that begins at `moment`; None: there is none, or it is after the year 9999.

        A day that the last month does not have becomes the first of the next month: the laws say *at least*.
        """
        if self.is_endless:
            return None
        years, month = divmod(moment.month - 1 + self.months, 12)
        year, month = moment.year + years, month + 1
        if year > MAXYEAR:
            return None
        if moment.day > calendar.monthrange(year, month)[1]:
            year, month, day = (year + 1, 1, 1) if month == 12 else (year, month + 1, 1)  # noqa: PLR2004 - December
        else:
            day = moment.day
        try:
            return moment.replace(year=year, month=month, day=day) + timedelta(days=self.days)
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        if self.is_endless:
            return "never"
        if self.days:
            return f"{self.days}d"
        return f"{self.months}m" if self.months % 12 else f"{self.months // 12}y"


NEVER: Final = Period()


@dataclass(frozen=True, slots=True)
class Rule:
    """A period and its clock."""

    period: Period
    clock: Clock

    def __str__(self) -> str:
        return f"{self.period}@{self.clock.value}"


@dataclass(frozen=True, slots=True)
class Source:
    """The default of a region and the law behind it. Every one of them counts from the end of the relationship."""

    period: Period
    law: str
    says: str
    url: str = ""


def _years(number: int) -> Period:
    return Period(months=12 * number)


#: The default period of each region, and its source. docs/retention.md has the same table.
SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        "sg": Source(
            _years(5),
            "MAS Notice 626, paragraph 12; CDSA 1992, section 36",
            "customer due diligence: at least 5 years after business relations end",
            "https://sso.agc.gov.sg/Act/CDTOSCCBA1992",
        ),
        "ph": Source(
            _years(5),
            "RA 9160 (AMLA), section 9(b); BSP MORB, section 925",
            "identification records: at least 5 years after the account is closed",
            "https://morb.bsp.gov.ph/925-record-keeping/",
        ),
        "th": Source(
            _years(5),
            "AMLA B.E. 2542, sections 22 and 22/1",
            "identification and due diligence: 5 years after the account is closed; AMLO may extend it for a customer",
            "https://www.amlo.go.th",
        ),
        "my": Source(
            _years(6),
            "AMLATFPUAA 2001 (AMLA), section 17(1)",
            "records: at least 6 years after the account is closed or the relationship ends",
            "https://mylaw.my/legislation/amendment-act-2014-a1467/section-17",
        ),
        "vn": Source(
            _years(5),
            "Law on Anti-Money Laundering 14/2022/QH15, article 38",
            "identification records: at least 5 years after the transaction ends or the account is closed",
            "https://english.luatvietnam.vn/law-on-anti-money-laundering-no-14-2022-qh15-of-the-national-assembly-237800-doc1.html",
        ),
        "global": Source(
            _years(5),
            "FATF Recommendation 11",
            "due diligence records: at least 5 years after the relationship ends or the occasional transaction",
            "https://www.cfatf-gafic.org/index.php/documents/fatf-40r/377-fatf-recommendation-11-record-keeping",
        ),
    }
)

#: Decisions after which there is no account that could be closed. Any other decision, also one of your own table, may
#: lead to an account, so its period begins when that is closed.
NO_ACCOUNT: Final = frozenset({"reject", "recapture", "unsupported", "abandoned"})

#: The name of a verification without a decision: dropped, or never decided.
UNDECIDED: Final = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the setting. `clock`: None if it names none."""

    region: str
    decision: str
    period: Period
    clock: Clock | None


@dataclass(frozen=True, slots=True)
class Retention:
    """The rules: the entries of the setting over the defaults."""

    entries: Mapping[tuple[str, str], Entry]

    def rule(self, region: str, decision: str) -> Rule:
        """Return the rule for a region and a decision's name, `UNDECIDED` if there is none."""
        entry = next((found for key in _keys(region, decision) if (found := self.entries.get(key))), None)
        clock = Clock.DECIDED if decision in {UNDECIDED, *NO_ACCOUNT} else Clock.CLOSED
        if entry is None:
            return Rule(SOURCES[region].period, clock)
        return Rule(entry.period, entry.clock or clock)

    def until(
        self, region: str, decision: str, *, decided: datetime, closed: datetime | None = None
    ) -> datetime | None:
        """Return until when the evidence is kept; None: without an end, or no closing time is known.

        A closing time also delays a period that counts from the decision, and never shortens it.
        """
        rule = self.rule(region, decision)
        if rule.clock is Clock.CLOSED and closed is None:
            return None
        starts = decided if closed is None else max(decided, closed)
        return rule.period.after(starts.astimezone(UTC))

    def shorter(self) -> Iterator[str]:
        """Yield a line for each region and decision whose evidence is kept for less time than the region's law says."""
        named = {decision for _, decision in self.entries if decision != ANY}
        start = datetime(2001, 1, 1, tzinfo=UTC)
        for region, source in SOURCES.items():
            for decision in sorted({"approve", "reject"} | named):
                period = self.rule(region, decision).period
                given, least = period.after(start), source.period.after(start)
                if given is not None and least is not None and given < least:
                    yield f"{region}/{decision} is kept for {period}, less than {source.period}: {source.law}"


def parse(text: str) -> Retention:
    """Return the rules of a setting; an empty text is the defaults. Raises ``ValueError`` with one line."""
    if len(text) > LONGEST:
        raise ValueError(f"must be at most {LONGEST} characters")
    entries: dict[tuple[str, str], Entry] = {}
    parts = [part.strip() for part in text.replace("\n", ",").split(",")]
    for number, part in enumerate(filter(None, parts), start=1):
        if number > MOST_ENTRIES:
            raise ValueError(f"must have at most {MOST_ENTRIES} entries")
        try:
            entry = _entry(part)
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}") from None
        key = (entry.region, entry.decision)
        if key in entries:
            raise ValueError(f"entry {number}: {_name(entry)} is given twice")
        entries[key] = entry
    return Retention(MappingProxyType(entries))


def load(text: str) -> Retention:
    """Return the rules of ``EKYC_RETAIN``. Raises ``ConfigError``."""
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"EKYC_RETAIN: {error}") from None


def _entry(text: str) -> Entry:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise ValueError(_FORM)
    region = found["region"] if found["region"] == ANY else canonical_region(found["region"])
    clock = found["clock"]
    if clock is not None and clock not in {*Clock}:
        raise ValueError("the clock is decided or closed: end it with @decided or @closed")
    return Entry(region, found["decision"] or ANY, _period(found["period"]), Clock(clock) if clock else None)


def _period(text: str) -> Period:
    if text == "never":
        return NEVER
    number, unit = int(text[:-1]), text[-1]
    months, days = {"y": (12 * number, 0), "m": (number, 0), "d": (0, number)}[unit]
    if months > 12 * MOST_YEARS or days > 366 * MOST_YEARS:
        raise ValueError(f"a period is at most {MOST_YEARS}y: for evidence that is never erased, write never")
    return Period(months, days)


def _keys(region: str, decision: str) -> Sequence[tuple[str, str]]:
    return ((region, decision), (region, ANY), (ANY, decision), (ANY, ANY))


def _name(entry: Entry) -> str:
    return entry.region if entry.decision == ANY else f"{entry.region}/{entry.decision}"
