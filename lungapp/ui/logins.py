"""Logins: sessions that the server alone knows, and passwords, where wrong ones must not keep right ones waiting."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from asyncio import sleep
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from lungapp.users import verify

CAPACITY = 10_000
"""Sessions, clients and names that are remembered; the longest unused are forgotten."""

TRIES_AT_ONCE = 2
"""How many passwords are tried at a time; each takes memory and a tenth of a second."""

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 16.0
"""After a wrong password; twice as long after each further one of the same client or for the same name, up to this."""

SUSPECT_AFTER = 3
"""Wrong passwords of a client, after which its tries wait for one another instead of for everybody."""

FORGET_SECONDS = 900.0
"""Without a wrong password, after which those before are forgotten."""

MOST_PENDING, MOST_PENDING_IN_ALL = 64, 1024
"""Tries of a client, and of all, that may be under way, waiting or paused; more are refused untried."""


class TooManyTries(Exception):
    """Refused without a look at the password."""


class Sessions:
    """Who has logged in, by random tokens. A session ends on request, when it is not used, and when it is old."""

    def __init__(
        self, idle_seconds: float, longest_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle, self._longest, self._clock = idle_seconds, longest_seconds, clock
        self._entries: OrderedDict[str, tuple[str, float, float]] = OrderedDict()  # user, began, last used
        self._lock = threading.Lock()

    def begin(self, user: str, token: str = "") -> str:
        """A session of ``user``'s, and its token."""
        token, now = token or secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._entries[token] = user, now, now
            while len(self._entries) > CAPACITY:
                self._entries.popitem(last=False)
        return token

    def user_of(self, token: str) -> str:
        """Whose session it is, which is thereby used; empty where it is none, or has ended."""
        now = self._clock()
        with self._lock:
            user, began, used = self._entries.get(token, ("", 0.0, 0.0))
            if not user:
                return ""
            if now - used > self._idle or now - began > self._longest:
                del self._entries[token]
                return ""
            self._entries[token] = user, began, now
            self._entries.move_to_end(token)
        return user

    def end(self, token: str) -> None:
        with self._lock:
            self._entries.pop(token, None)


class _Failures:
    """How many wrong passwords there were of each key, lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._clock = clock

    def count(self, key: str) -> int:
        count, last = self._counts.get(key, (0, 0.0))
        return count if self._clock() - last < FORGET_SECONDS else 0

    def add(self, key: str) -> int:
        count = self.count(key) + 1
        self._counts[key] = count, self._clock()
        self._counts.move_to_end(key)
        while len(self._counts) > CAPACITY:
            self._counts.popitem(last=False)
        return count

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)


class Logins:
    """Tries names and passwords. A right one is answered at once; a wrong one the later, the more there were."""

    def __init__(
        self, users: Mapping[str, str], sessions: Sessions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.sessions = sessions
        self._users = users
        self._clients, self._names = _Failures(clock), _Failures(clock)
        self._pending: Counter[str] = Counter()
        # A client that guesses takes one of three places, whatever it sends: the others' tries go beside it.
        self._lanes = {False: asyncio.Semaphore(TRIES_AT_ONCE), True: asyncio.Semaphore(1)}
        self._key = secrets.token_bytes(32)

    async def try_password(self, address: str, name: str, password: str) -> bool:
        """Whether they belong together; neither is logged. Raises `TooManyTries`."""
        client = client_of(address)
        if self._pending[client] >= MOST_PENDING or self._pending.total() >= MOST_PENDING_IN_ALL:
            raise TooManyTries
        self._pending[client] += 1
        try:
            async with self._lanes[self._clients.count(client) >= SUSPECT_AFTER]:
                right = await asyncio.to_thread(verify, self._users, name, password[:1024])
            if right:
                self._names.forget(name)
                return True
            count = max(self._clients.add(client), self._names.add(name[:64]))
            await sleep(min(PAUSE_SECONDS * 2 ** min(count - 1, 10), LONGEST_PAUSE_SECONDS))
            return False
        finally:
            self._pending[client] -= 1
            if not self._pending[client]:
                del self._pending[client]

    async def user_by_header(self, address: str, name: str, password: str) -> str:
        """The user who sends name and password with each request (HTTP Basic); they are tried anew only when a session
        would have ended. Empty where they are wrong. Raises `TooManyTries`.
        """
        text = f"{name}:{password}".encode("utf-8", "surrogatepass")
        token = hmac.digest(self._key, text, hashlib.sha256).hex()
        if user := self.sessions.user_of(token):
            return user
        if not await self.try_password(address, name, password):
            return ""
        self.sessions.begin(name, token)
        return name


def client_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network that one subscriber has of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
