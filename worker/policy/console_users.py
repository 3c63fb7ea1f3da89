"""The users of the console: the file that lists them, what each may do, and the hashes of their passwords.

    [[user]]
    name = "ann"
    roles = ["viewer", "operator"]
    password = "$argon2id$…"    # without it, the user comes through a trusted proxy only

The file is written by `ekyc console user`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from worker.errors import ConfigError
from worker.policy.toml_text import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: The name of a user, which appears in logs, timelines and the audit log. An address of a mailbox is one.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")

#: A longer text is no misspelt role.
_LONGEST_WORD: Final = 16

#: Users of one file.
MAX_USERS: Final = 10_000

#: An argon2id hash in PHC format. https://github.com/P-H-C/phc-string-format
_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=\d{1,7},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,172}"
)


class Role(StrEnum):
    """What a user may do. Every user may see what a viewer sees."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"


#: What a role adds, for help texts and docs.
ROLES: Final[Mapping[Role, str]] = {
    Role.VIEWER: "sees the fleet, verifications, quarantine, deliveries and the decision table",
    Role.OPERATOR: "retries, drops, nudges, resends, pauses and resumes",
    Role.REVIEWER: "looks at evidence, and notes a verdict",
    Role.AUDITOR: "reads and exports the audit log",
}


@dataclass(frozen=True, slots=True)
class User:
    """One user. `password`: the argon2id hash; "": the user has no password."""

    name: str
    roles: frozenset[Role]
    password: str = field(default="", repr=False)

    def may(self, role: Role) -> bool:
        """Return whether the user may do what needs `role`."""
        return role is Role.VIEWER or role in self.roles


def entry(user: User) -> str:
    """Return the lines of the file for a user."""
    roles = ", ".join(f'"{role}"' for role in Role if role in user.roles)
    lines = ["[[user]]", f'name = "{user.name}"', f"roles = [{roles}]"]
    if user.password:
        lines.append(f'password = "{user.password}"')
    return "\n".join(lines)


def parse(text: str) -> tuple[User, ...]:
    """Return the users of a file. Raises ``ConfigError`` with a line for each fault, which quotes a valid
    name, and no other value.
    """
    document = parsed(text, "EKYC_CONSOLE_USERS_FILE")
    entries = document.pop("user", [])
    faults = ["write each user as [[user]], and nothing else"] if document else []
    if not isinstance(entries, list) or len(entries) > MAX_USERS:
        faults.append(f"give 0 to {MAX_USERS} users, each as [[user]]")
        entries = []
    users: list[User] = []
    for number, raw in enumerate(entries, start=1):
        found = list(_faults(raw))
        faults += [f"user {number}{_called(raw)}: {fault}" for fault in found]
        if not found:
            users.append(User(raw["name"], frozenset(map(Role, raw["roles"])), raw.get("password", "")))
    if len({user.name for user in users}) < len(users):
        faults.append("two users have the same name")
    if faults:
        raise ConfigError("\n".join(f"EKYC_CONSOLE_USERS_FILE: {fault}" for fault in faults))
    return tuple(users)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_roles(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(one in tuple(Role) for one in value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


_KEYS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (_is_name, "must be 1 to 64 of letters, digits, . _ @ + -"),
    "roles": (_is_roles, f"must be a list of {', '.join(Role)}"),
    "password": (_is_hash, "must be an argon2id hash: run `ekyc console user add`"),
}


def _faults(raw: Any) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield "write it as [[user]]"
        return
    for key in ("name", "roles"):
        if key not in raw:
            yield f"{key} is missing"
    for key, value in raw.items():
        if key not in _KEYS:
            yield "it has a key that does not exist: there are name, roles and password"
        elif not _KEYS[key][0](value):
            yield f"{key} {_KEYS[key][1]}{_meant(value) if key == 'roles' else ''}"


def _called(raw: Any) -> str:
    name = raw.get("name") if isinstance(raw, dict) else None
    return f" ({name})" if _is_name(name) else ""


def _meant(roles: Any) -> str:
    """Return the role that a wrong word may stand for. The word itself is not quoted: it may be anything."""
    words = [one for one in (roles if isinstance(roles, list) else []) if isinstance(one, str)]
    strange = [one for one in words if one not in tuple(Role) and len(one) <= _LONGEST_WORD]
    close = [found for one in strange for found in get_close_matches(one.lower(), list(Role), 1, 0.7)]
    return f": did you mean {close[0]}?" if close else ""
