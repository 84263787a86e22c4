"""Who may log in: names with hashed passwords, as ``LUNGAPP_USERS`` holds them.

    python -m lungapp.users NAME      asks for a password, prints the pair for ``LUNGAPP_USERS``

A pair is ``name:scrypt.n.r.p.salt.key``, the last two in URL-safe base64; pairs are separated by blanks, lines or
commas. Nothing in one needs quoting in a shell, a compose file or a Space's secret. The password itself is written
down nowhere.

References
----------
scrypt: RFC 7914.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Mapping, Sequence

from lungapp.errors import InvalidSetting

COST, BLOCK, PARALLEL = 2**15, 8, 1
"""Of scrypt, for new pairs: 32 MiB and roughly a tenth of a second a try."""

MAX_COST, MAX_BLOCK, MAX_PARALLEL = 2**17, 16, 4
"""Of pairs that are read, so that a slip in the setting cannot take the machine's memory at each login."""

KEY_BYTES, SALT_BYTES = 32, 16
SHORTEST = 12
"""Fewest letters of a new password."""

PAIR = re.compile(
    r"(?P<name>[A-Za-z0-9._@-]{1,64}):scrypt\.(?P<cost>\d{1,7})\.(?P<block>\d{1,2})\.(?P<parallel>\d)"
    r"\.(?P<salt>[A-Za-z0-9_-]{16,86}={0,2})\.(?P<key>[A-Za-z0-9_-]{43}={0,2})"
)


def read_users(text: str) -> dict[str, str]:
    """Hashes by name. Raises `InvalidSetting`, which quotes no part of a hash."""
    users: dict[str, str] = {}
    for number, pair in enumerate(re.split(r"[\s,]+", text.strip()), start=1):
        found = PAIR.fullmatch(pair)
        if not found or not _affordable(found):
            raise InvalidSetting(
                f"Expected LUNGAPP_USERS to hold pairs made by `python -m lungapp.users NAME`. Received: another text "
                f"as pair {number}."
            )
        if int(found["cost"]) * int(found["block"]) < COST * BLOCK:
            raise InvalidSetting(
                f"Expected hashes in LUNGAPP_USERS of at least scrypt.{COST}.{BLOCK}.{PARALLEL}. Received: a weaker "
                f"one for {found['name']}. Make it anew with `python -m lungapp.users {found['name']}`."
            )
        if found["name"] in users:
            raise InvalidSetting(f"Expected every name in LUNGAPP_USERS once. Received: {found['name']} twice.")
        users[found["name"]] = pair.partition(":")[2]
    return users


def _affordable(found: re.Match[str]) -> bool:
    cost, block, parallel = (int(found[part]) for part in ("cost", "block", "parallel"))
    power_of_two = cost > 1 and not cost & (cost - 1)
    return power_of_two and cost <= MAX_COST and 1 <= block <= MAX_BLOCK and 1 <= parallel <= MAX_PARALLEL


def hash_password(password: str) -> str:
    """``scrypt.n.r.p.salt.key`` of ``password``, under a new salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt.{COST}.{BLOCK}.{PARALLEL}.{_encode(salt)}.{_encode(key)}"


def verify(users: Mapping[str, str], name: str, password: str) -> bool:
    """Whether ``password`` is that of ``name``; takes as long for a name that is not there."""
    known = users.get(name)
    _, cost, block, parallel, salt, key = (known or NOBODY).split(".")
    try:
        tried = _scrypt(password, _decode(salt), int(cost), int(block), int(parallel))
        return hmac.compare_digest(tried, _decode(key)) and known is not None
    except (ValueError, binascii.Error):  # a surrogate in the password, or a salt that is no base64
        return False


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    room = 2 * 128 * cost * block + 2**20
    return hashlib.scrypt(
        password.encode("utf-8"), salt=salt, n=cost, r=block, p=parallel, maxmem=room, dklen=KEY_BYTES
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


NOBODY = f"scrypt.{COST}.{BLOCK}.{PARALLEL}.{_encode(bytes(SALT_BYTES))}.{_encode(bytes(KEY_BYTES))}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask for a password twice, or read it once where the input is no terminal; print the pair."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if len(names) != 1 or not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", names[0]):
        print("Expected: python -m lungapp.users NAME, of letters, digits and . _ @ -", file=sys.stderr)
        return 2
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        same = password == getpass.getpass("Once more: ")
    else:
        password, same = sys.stdin.readline().rstrip("\r\n"), True
    if not same or len(password) < SHORTEST:
        print(f"Expected the same password twice, of {SHORTEST} letters or more.", file=sys.stderr)
        return 1
    print(f"{names[0]}:{hash_password(password)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
