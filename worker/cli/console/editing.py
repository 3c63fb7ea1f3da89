"""Changes to the text of the file of users. Comments and all other users stay as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, InvalidInput
from worker.policy.console_users import Role, entry, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.policy.console_users import User

_HEADER: Final = re.compile(r"[ \t]*\[\[[ \t]*user[ \t]*\]\][ \t]*(#.*)?")
_KEY: Final = re.compile(r"[ \t]*([a-z]+)[ \t]*=")


@dataclass(frozen=True, slots=True)
class UsersText:
    """The text of a file and the users in it. Raises ``ConfigError`` for a file that `web` would not read."""

    text: str
    users: tuple[User, ...]

    @classmethod
    def of(cls, text: str) -> UsersText:
        return cls(text, parse(text))

    def find(self, name: str) -> User:
        """Return the user of a name. Raises ``InvalidInput``."""
        for user in self.users:
            if user.name == name:
                return user
        raise InvalidInput(f"there is no user {name} in the file: see `ekyc console user list`")

    def add(self, user: User) -> UsersText:
        """Return the file with one more user. Raises ``InvalidInput`` if the name is taken."""
        if any(other.name == user.name for other in self.users):
            raise InvalidInput(
                f"there is a user {user.name} already: see `ekyc console user password` and `ekyc console user roles`"
            )
        before = f"{self.text.rstrip()}\n\n" if self.text.strip() else ""
        return _checked(f"{before}{entry(user)}\n", (*self.users, user))

    def remove(self, name: str) -> UsersText:
        """Return the file without a user. Comments below the last key of the user stay."""
        self.find(name)
        blocks = self._blocks()
        kept = [
            _below(block) if self._is_of(index, name) else block
            for index, block in enumerate(blocks, start=-1)
        ]
        users = tuple(user for user in self.users if user.name != name)
        return _checked("".join(line for block in kept for line in block), users)

    def change(self, name: str, *, roles: frozenset[Role] | None = None, password: str = "") -> UsersText:
        """Return the file with other roles, or another password hash, of a user."""
        before = self.find(name)
        after = replace(before, roles=roles or before.roles, password=password or before.password)
        lines = {line.partition(" =")[0]: f"{line}\n" for line in entry(after).splitlines()[2:]}
        wanted = {key: line for key, line in lines.items() if (roles if key == "roles" else password)}
        changed = [
            _with(block, wanted) if self._is_of(index, name) else block
            for index, block in enumerate(self._blocks(), start=-1)
        ]
        users = tuple(after if user.name == name else user for user in self.users)
        return _checked("".join(line for block in changed for line in block), users)

    def _blocks(self) -> list[list[str]]:
        """Return the lines before the first user, and those of each user."""
        blocks: list[list[str]] = [[]]
        for line in self.text.splitlines(keepends=True):
            if _HEADER.fullmatch(line.rstrip("\r\n")):
                blocks.append([])
            blocks[-1].append(line if line.endswith("\n") else f"{line}\n")
        if len(blocks) != len(self.users) + 1:
            raise _unfamiliar()
        return blocks

    def _is_of(self, index: int, name: str) -> bool:
        return index >= 0 and self.users[index].name == name


def _below(block: Sequence[str]) -> list[str]:
    """Return the lines below the last key of a user: a comment there is about the next one."""
    last = max((at for at, line in enumerate(block) if _KEY.match(line)), default=0)
    return list(block[last + 1 :])


def _with(block: Sequence[str], wanted: dict[str, str]) -> list[str]:
    """Return the lines of a user with other lines for the keys of `wanted`."""
    lines, missing = list(block), dict(wanted)
    last = 0
    for at, line in enumerate(lines):
        if found := _KEY.match(line):
            last = at
            if found[1] in missing:
                lines[at] = missing.pop(found[1])
    lines[last + 1 : last + 1] = missing.values()
    return lines


def _checked(text: str, users: tuple[User, ...]) -> UsersText:
    """Return the new file. Raises ``InvalidInput`` if it would not hold exactly these users."""
    try:
        found = parse(text)
    except ConfigError:
        raise _unfamiliar() from None
    if found != users:
        raise _unfamiliar()
    return UsersText(text, users)


def _unfamiliar() -> InvalidInput:
    return InvalidInput(
        "the file has another form than `ekyc console user` writes, such as a value over several lines: edit it by hand"
    )
