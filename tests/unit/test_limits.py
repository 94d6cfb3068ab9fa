"""Rate limits, and the brake on guessing passwords."""

from __future__ import annotations

import pytest

from crust.clock import ManualClock
from crust.errors import RateLimited
from crust.services.limits import SWEEP_FROM, LoginThrottle, TokenBuckets, site
from crust.settings import Limits

HOME, ELSEWHERE = "192.0.2.7", "198.51.100.9"


def buckets(clock: ManualClock, **limits: int | bool) -> TokenBuckets:
    return TokenBuckets.of(Limits(**{"messages_per_second": 2, "messages_burst": 4} | limits), clock)  # type: ignore[arg-type]  # mixed


class Guessing:
    """Attempts at one account, on a clock of their own."""

    def __init__(self, **limits: float | bool) -> None:
        self.clock = ManualClock()
        settings = {"login_failures": 5, "login_window_s": 900.0, "login_delay_max_s": 60.0} | limits
        self.throttle = LoginThrottle(Limits(**settings), self.clock)  # type: ignore[arg-type]  # mixed

    def fail(self, times: int, address: str = HOME, name: str = "ana") -> None:
        for _ in range(times):
            self.throttle.begin(name, address)

    def fail_patiently(self, times: int, address: str) -> None:
        for _ in range(times):
            self.clock.advance(self.wait(address))
            self.throttle.begin("ana", address)

    def wait(self, address: str = HOME, name: str = "ana") -> float:
        """How long an attempt would have to wait now."""
        return max(0.0, self.throttle._wait(*self.throttle._find(name, address)))


# ---- token buckets


def test_a_burst_then_the_rate() -> None:
    """`burst` requests pass at once; then one for each token that time brings, and `retry_after` says when."""
    clock = ManualClock()
    limiter = buckets(clock)
    assert [limiter.take("messages", "s").remaining for _ in range(4)] == [3, 2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        limiter.take("messages", "s")
    assert refused.value.retry_after == pytest.approx(0.5)
    clock.advance(0.5)
    assert limiter.take("messages", "s").remaining == 0


def test_an_allowance_says_when_all_is_back() -> None:
    """`limit` is the burst, `reset_s` the time until the bucket is full again."""
    allowance = buckets(ManualClock()).take("messages", "s")
    assert (allowance.limit, allowance.remaining, allowance.reset_s) == (4, 3, 0.5)


def test_buckets_are_apart_by_key_and_by_class() -> None:
    """One caller's requests cost another nothing, and messages cost no reads."""
    limiter = buckets(ManualClock(), reads_per_second=1, reads_burst=1)
    for _ in range(4):
        limiter.take("messages", "one")
    assert limiter.take("messages", "two").remaining == 3
    assert limiter.take("reads", "one").remaining == 0


def test_the_wall_clock_fills_no_bucket() -> None:
    """Setting the machine's clock gives nobody anything."""
    clock = ManualClock()
    limiter = buckets(clock)
    for _ in range(4):
        limiter.take("messages", "s")
    clock.advance(-3600)
    with pytest.raises(RateLimited):
        limiter.take("messages", "s")


def test_per_minute_classes() -> None:
    """Uploads and sockets are counted by the minute: all of it at once, then a share a second."""
    clock = ManualClock()
    limiter = buckets(clock, uploads_per_minute=30)
    for _ in range(30):
        limiter.take("uploads", "s")
    with pytest.raises(RateLimited) as refused:
        limiter.take("uploads", "s")
    assert refused.value.retry_after == pytest.approx(2.0)


def test_full_buckets_are_forgotten() -> None:
    """Memory is bounded by the keys of the last seconds, not by all keys ever seen."""
    clock = ManualClock()
    limiter = buckets(clock)
    for key in range(20 * SWEEP_FROM):
        limiter.take("messages", str(key))
        clock.advance(0.01)
    assert len(limiter) <= SWEEP_FROM


def test_limits_that_are_off_let_everything_through() -> None:
    """`limits.enabled = false` is for load tests."""
    limiter = buckets(ManualClock(), enabled=False)
    assert {limiter.take("messages", "s").remaining for _ in range(1000)} == {4}


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("<local>", "<local>"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(address: str, same: str) -> None:
    """One customer has a whole /64, so its addresses count as one; IPv4 inside IPv6 is IPv4."""
    assert site(address) == same


# ---- logins


def test_failures_are_free_then_cost_a_doubling_delay() -> None:
    """`login_failures` cost nothing; then 1 s, 2 s, 4 s … up to the longest."""
    guessing = Guessing()
    waits = []
    for _ in range(13):
        waits.append(guessing.wait())
        guessing.fail_patiently(1, HOME)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_refused_attempt_does_not_count() -> None:
    """Knocking while one has to wait makes the wait no longer."""
    guessing = Guessing()
    guessing.fail(5)
    for _ in range(50):
        with pytest.raises(RateLimited) as refused:
            guessing.throttle.begin("ana", HOME)
        assert refused.value.retry_after == pytest.approx(1.0)
    guessing.clock.advance(1)
    guessing.throttle.begin("ana", HOME)


def test_many_at_once_do_not_slip_through() -> None:
    """An attempt counts from its beginning: of a hundred at once, five are evaluated."""
    guessing = Guessing()
    passed = 0
    for _ in range(100):
        try:
            guessing.throttle.begin("ana", HOME)
        except RateLimited:
            continue
        passed += 1
    assert passed == 5


def test_the_name_counts_as_typed_whether_there_is_such_an_account_or_not() -> None:
    """Case and surrounding space make no new account; nothing here knows which accounts there are."""
    guessing = Guessing()
    for name in ("Ana", "ANA", " ana", "ana ", "aNa"):
        guessing.throttle.begin(name, HOME)
    with pytest.raises(RateLimited):
        guessing.throttle.begin("ana", HOME)
    guessing.throttle.begin("bob", HOME)


def test_success_forgets_the_failures_from_there() -> None:
    """A person who remembered the password starts from nothing."""
    guessing = Guessing()
    guessing.fail(4)
    guessing.throttle.begin("ana", HOME)
    guessing.throttle.succeeded("ana", HOME)
    guessing.fail(5)
    assert guessing.wait() == 1


def test_nobody_can_be_locked_out_from_elsewhere() -> None:
    """However many fail at an account, the first attempt from another address is evaluated, and what others do afterwards does not
    lengthen that one's wait."""
    guessing = Guessing()
    for number in range(200):
        guessing.fail(1, f"203.0.113.{number}")
    guessing.throttle.begin("ana", HOME)  # a typo
    assert guessing.wait() == 60
    for number in range(200):
        guessing.fail(1, f"198.51.100.{number}")
    guessing.clock.advance(60)
    guessing.throttle.begin("ana", HOME)


def test_an_address_that_signed_in_before_answers_for_itself_alone() -> None:
    """Whoever has signed in from an address keeps the free attempts there while strangers guess."""
    guessing = Guessing()
    guessing.throttle.begin("ana", HOME)
    guessing.throttle.succeeded("ana", HOME)
    for number in range(200):
        guessing.fail(1, f"203.0.113.{number}")
    guessing.fail(5)
    assert guessing.wait() == 1


def test_guesses_from_many_addresses_make_the_delay_grow_as_those_from_one() -> None:
    """An attacker with many addresses gets one guess from each, then waits as for all of them together."""
    guessing = Guessing()
    for number in range(20):
        guessing.fail(1, f"203.0.113.{number}")
    assert [guessing.wait(f"203.0.113.{number}") for number in range(20)] == [60] * 20


def test_one_network_of_ipv6_is_one_address() -> None:
    """Changing the address within one's /64 gives no further attempts."""
    guessing = Guessing()
    for number in range(5):
        guessing.fail(1, f"2001:db8::{number + 1}")
    with pytest.raises(RateLimited):
        guessing.throttle.begin("ana", "2001:db8::ffff")


def test_another_persons_success_from_one_address_does_not_help_the_guesser() -> None:
    """Signing in to one's own account in between resets nothing of the account that is guessed at."""
    guessing = Guessing()
    guessing.fail(5, ELSEWHERE)
    guessing.throttle.begin("mallory", ELSEWHERE)
    guessing.throttle.succeeded("mallory", ELSEWHERE)
    with pytest.raises(RateLimited):
        guessing.throttle.begin("ana", ELSEWHERE)


def test_success_at_home_does_not_help_the_guesser_elsewhere() -> None:
    """The owner's sign-ins take back the owner's failures only."""
    guessing = Guessing()
    guessing.fail_patiently(9, ELSEWHERE)
    before = guessing.wait(ELSEWHERE)
    guessing.throttle.begin("ana", HOME)
    guessing.throttle.succeeded("ana", HOME)
    assert guessing.wait(ELSEWHERE) == before == 16


def test_the_window_ends() -> None:
    """Before a delay failures count for `login_window_s`; after it, until that long was quiet."""
    guessing = Guessing()
    guessing.fail(4)
    guessing.clock.advance(900)
    guessing.fail(5)
    guessing.clock.advance(899)
    guessing.fail(1)
    assert guessing.wait() == 2
    guessing.clock.advance(900)
    guessing.fail(5)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up names cannot fill the memory; the longest untouched are forgotten first."""
    monkeypatch.setattr("crust.services.limits.PAIRS_MAX", 100)
    guessing = Guessing()
    for number in range(1000):
        guessing.fail(1, name=f"nobody{number}")
    guessing.fail(5)
    assert guessing.wait() == 1
    assert len(guessing.throttle._pairs) <= 100
    assert len(guessing.throttle._accounts) <= 100


def test_the_throttle_can_be_off() -> None:
    """`limits.enabled = false` turns it off too."""
    guessing = Guessing(enabled=False)
    guessing.fail(1000)
    guessing.throttle.succeeded("ana", HOME)
