"""How often is too often: the one mechanism behind every rate limit, and the brake on guessing passwords.

Both count in this process alone: several nodes grant the sum of what each grants.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from crust.clock import Clock
from crust.errors import RateLimited
from crust.settings import Limits

SWEEP_FROM = 1024  # buckets; below that, looking for full ones isn't worth it
PAIRS_MAX = 50_000  # account and address pairs that are remembered; about 10 MB
IPV6_SITE_BITS = 64  # what one customer gets (RFC 6177 and practice); single addresses inside it cost nothing

Key = TypeVar("Key")


def site(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one. Anything else (a unix socket) is itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False))


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate class: `per_second` in the long run, `burst` at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request: of `limit` at once there are `remaining`; all of it again in `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float

    def fill(self, rate: Rate, now: float) -> None:
        self.tokens = min(float(rate.burst), self.tokens + (now - self.at) * rate.per_second)
        self.at = now


class TokenBuckets:
    """Token buckets, one for each pair of rate class and key.

    A full bucket is the same as none, so full ones are forgotten: what is kept is bounded by the requests of the time that a bucket
    takes to fill.

    Args:
        rates: the rate classes by name.
        clock: its monotonic time fills the buckets.
        enabled: False lets everything through.
    """

    def __init__(self, rates: Mapping[str, Rate], clock: Clock, *, enabled: bool = True) -> None:
        self._rates = dict(rates)
        self._clock = clock
        self._enabled = enabled
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._sweep_at = SWEEP_FROM

    @classmethod
    def of(cls, limits: Limits, clock: Clock) -> TokenBuckets:
        """The classes messages, writes, reads, uploads and sockets, as the settings have them."""
        rates = {
            "messages": Rate(limits.messages_per_second, limits.messages_burst),
            "writes": Rate(limits.writes_per_second, limits.writes_burst),
            "reads": Rate(limits.reads_per_second, limits.reads_burst),
            "uploads": Rate(limits.uploads_per_minute / 60, limits.uploads_per_minute),
            "sockets": Rate(limits.sockets_per_minute / 60, limits.sockets_per_minute),
        }
        return cls(rates, clock, enabled=limits.enabled)

    @property
    def rates(self) -> Mapping[str, Rate]:
        """The classes that are limited; none where nothing is."""
        return self._rates if self._enabled else {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, key: str) -> Allowance:
        """Take one token of the class `name` from the bucket of `key`.

        Raises:
            RateLimited: the bucket is empty; `retry_after` is when the next token comes.
        """
        rate = self._rates[name]
        if not self._enabled:
            return Allowance(rate.burst, rate.burst, 0.0)
        bucket = self._bucket((name, key), rate)
        if bucket.tokens < 1:
            wait = (1 - bucket.tokens) / rate.per_second
            raise RateLimited(f"Too many {name}; the next one is possible in {wait:.1f} s.", retry_after=wait)
        bucket.tokens -= 1
        return Allowance(rate.burst, int(bucket.tokens), (rate.burst - bucket.tokens) / rate.per_second)

    def _bucket(self, key: tuple[str, str], rate: Rate) -> _Bucket:
        now = self._clock.monotonic()
        if (bucket := self._buckets.get(key)) is not None:
            bucket.fill(rate, now)
            return bucket
        if len(self._buckets) >= self._sweep_at:
            self._forget_full(now)
        return self._buckets.setdefault(key, _Bucket(float(rate.burst), now))

    def _forget_full(self, now: float) -> None:
        for key, bucket in list(self._buckets.items()):
            rate = self._rates[key[0]]
            bucket.fill(rate, now)
            if bucket.tokens >= rate.burst:
                del self._buckets[key]
        self._sweep_at = max(SWEEP_FROM, 2 * len(self._buckets))  # so that sweeping costs each request a constant


@dataclass(slots=True)
class _Failures:
    """Failed attempts; `known` is whether a password was right from here before."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0
    known: bool = False


class LoginThrottle:
    """Makes guessing passwords slow without giving anybody the power to lock another out.

    Failures are counted per account (the name that was typed, whether there is such an account or not) and per pair of account and
    address. The first `login_failures` within `login_window_s` cost nothing; from then on there is a delay of 1 s that doubles with
    every failure up to `login_delay_max_s`, and the count ends after a window without failures.

    How long the delay is, and who waits for it, are two things:

    - it grows with the failures of the whole account, so that guesses from a thousand addresses make it as long as those from one;
    - it is waited for by the pair alone, from the pair's own last failure on. The first attempt from an address is always evaluated,
      so whoever types the right password gets in, whatever goes on elsewhere, and nobody can push another's wait further away;
    - an address from which the account has signed in before answers for its own failures only: strangers don't make it wait at all.

    An attempt counts as failed from its beginning, so that many at once don't slip through while the first is being evaluated. One
    that is refused here doesn't count.

    Args:
        limits: `enabled = false` turns this off too.
        clock: its monotonic time is used.
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._accounts: OrderedDict[str, _Failures] = OrderedDict()
        self._pairs: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def begin(self, name: str, address: str) -> None:
        """Say that a password is about to be evaluated. Call `succeeded` if it was right, and nothing if it was wrong.

        Raises:
            RateLimited: it must not be evaluated now; `retry_after` says when it may.
        """
        if not self._limits.enabled:
            return
        account, pair = self._find(name, address)
        wait = self._wait(account, pair)
        if wait > 0:
            raise RateLimited("Too many attempts; try again later.", retry_after=wait)
        self._count(account)
        self._count(pair)

    def succeeded(self, name: str, address: str) -> None:
        """Say that the password was right: the failures of this account from this address are forgotten."""
        if not self._limits.enabled:
            return
        account, pair = self._find(name, address)
        account.count = max(0, account.count - pair.count)
        pair.count, pair.known = 0, True

    def _find(self, name: str, address: str) -> tuple[_Failures, _Failures]:
        key = name.strip().casefold()
        account, pair = _entry(self._accounts, key), _entry(self._pairs, (key, site(address)))
        self._expire(account)
        self._expire(pair)
        return account, pair

    def _expire(self, failures: _Failures) -> None:
        """Before there is a delay the window runs from the first failure, then from the last."""
        quiet = self._clock.monotonic() - (failures.first if failures.count < self._limits.login_failures else failures.last)
        if quiet >= self._limits.login_window_s and not self._delay(failures.count) > quiet:
            failures.count = 0

    def _count(self, failures: _Failures) -> None:
        failures.last = self._clock.monotonic()
        if failures.count == 0:
            failures.first = failures.last
        failures.count += 1

    def _wait(self, account: _Failures, pair: _Failures) -> float:
        if pair.count == 0:
            return 0.0
        delay = self._delay(pair.count if pair.known else max(account.count, pair.count))
        return pair.last + delay - self._clock.monotonic()

    def _delay(self, failures: int) -> float:
        over = failures - self._limits.login_failures
        if over < 0:
            return 0.0
        return min(self._limits.login_delay_max_s, 2.0 ** min(over, 32))  # 2^32 s is more than any setting


def _entry(entries: OrderedDict[Key, _Failures], key: Key) -> _Failures:
    """The failures of `key`, now the most recent ones; the longest untouched are forgotten when there are too many."""
    failures = entries.setdefault(key, _Failures())
    entries.move_to_end(key)
    if len(entries) > PAIRS_MAX:
        entries.popitem(last=False)
    return failures
