"""The accounts above a line, and what they allow.

Rule 1: a chain begins at the line's account and ends below the root. The root is no level: nobody bills it.
Rule 2: an answer that concerns a level names it, so that a dealer sees at once where in the tree a call was refused.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.core.draft import Draft
from kemi.core.kept import KeptOfAll
from kemi.core.outcome import Reject
from kemi.core.request import E164
from kemi.records import Account, AccountKind, Lock, ReplyOverride, Status, Subscriber

ATTEMPTS_MAX: Final = 16  # of any call: nobody waits for more
CHAINS_KEPT: Final = 4_096  # of which it is kept what follows from their accounts, per process, < 1 kB each
LEVELS_MAX: Final = 8  # three chains of 8 levels are the most that one hold can merge


class Chain(NamedTuple):
    """levels: accounts from the line's own upwards, 1 … 8, root excluded. root: what stands above them.

    The rest follows from these, so it is made once for the same accounts (`_made`).
    replies: the tenants' own answers, nearest account first. routing: the routing profile in force, the nearest one
    that says anything, () when none does. carrier_owners: the accounts whose carriers the line may use, nearest first,
    never anybody else's: those that own some, up to the nearest of them that uses its own only. offline: the account
    whose word lets calls in that cannot be held, the nearest that gives one, None: none go then; a 0 anywhere in the
    chain forbids it for all below. is_relayed: whether the sound of its calls goes through our relay, as the nearest
    account says that says anything. attempts: how many servers may be tried, as the nearest account says, 0 = none
    does. inactive: the nearest level that is not active, and its account; the root counts, it may stop everything.
    lock_most: the strongest lock of any, the root included. has_barred: whether a level bars prefixes.
    """

    levels: tuple[Account, ...]
    root: Account
    replies: tuple[ReplyOverride, ...]
    routing: tuple[str, ...]
    carrier_owners: tuple[Account, ...]
    offline: Account | None
    is_relayed: bool
    attempts: int
    inactive: tuple[int, Account] | None
    lock_most: int
    has_barred: bool

    @property
    def offline_s(self) -> int:
        """For how long a call goes on beyond what is held for it while the store is down; 0 = not at all."""
        account = self.offline
        return account.offline_s if account else 0

    def attempts_max(self, default: int) -> int:
        """Return how many servers may be tried: what the nearest account says that says anything, else the default."""
        return min(self.attempts or default, ATTEMPTS_MAX)

    def is_under(self, account_id: int) -> bool:
        """Whether `account_id` is one of the levels or the root: whether the line is in its subtree."""
        return any(account.id == account_id for account in (*self.levels, self.root))


def _made(accounts: tuple[Account, ...]) -> Chain:
    """Return the chain of accounts that follow each other, the root last."""
    nearest = enumerate(accounts, 1)
    levels = accounts[:-1]
    return Chain(
        levels=levels,
        root=accounts[-1],
        replies=tuple(reply for account in accounts for reply in account.replies),
        routing=next((account.routing for account in accounts if account.routing), ()),
        carrier_owners=_carrier_owners(accounts),
        offline=_offline(accounts),
        is_relayed=next((account.media for account in accounts if account.media), "") == "relay",
        attempts=next((account.attempts_max for account in accounts if account.attempts_max > 0), 0),
        inactive=next(((level, account) for level, account in nearest if account.status != Status.ACTIVE), None),
        lock_most=max(account.lock for account in accounts),
        has_barred=any(account.barred for account in levels),
    )


def _carrier_owners(accounts: tuple[Account, ...]) -> tuple[Account, ...]:
    owners: list[Account] = []
    for account in accounts:
        if account.owns_carriers:
            owners.append(account)
            if account.carriers == "own_only":
                break
    return tuple(owners)


def _offline(accounts: tuple[Account, ...]) -> Account | None:
    if any(account.offline_calls == 0 for account in accounts):
        return None
    return next((account for account in accounts if account.offline_calls > 0), None)


_MADE: Final = KeptOfAll(_made, CHAINS_KEPT)


def climb(draft: Draft, account_id: int) -> Chain | None:
    """Return the chain of an account, None where it is broken.

    Broken: an account is missing; there are more than 8 levels, or a circle; the line hangs on the root itself, where
    nobody would pay; or an account that is not the root has no parent, as all that stands above it would be passed by.
    """
    levels: list[Account] = []
    next_id = account_id
    while len(levels) <= LEVELS_MAX:
        account = draft.known.account(next_id)
        if account is None:
            draft.note(f"account {next_id} does not exist")
            return None
        if account.kind == AccountKind.ROOT:
            return _climbed(draft, _MADE.of((*levels, account))) if levels else None
        if account.parent_id == 0:
            draft.note(f"account {next_id} has nobody above it, and is not the root")
            return None
        levels.append(account)
        next_id = account.parent_id
    draft.note(f"account {account_id} has more than {LEVELS_MAX} levels above it")
    return None


def _climbed(draft: Draft, chain: Chain) -> Chain:
    """Note of a chain what holds for the whole call, whichever side of it the chain is on."""
    draft.media = draft.media or chain.is_relayed
    return chain


def may_call(
    draft: Draft, chain: Chain, subscriber: Subscriber | None, callee: E164, *, is_foreign: bool
) -> Reject | None:
    """Return the refusal "suspended", "quarantined", "locked" or "barred", None when every level allows the call.

    subscriber: None where no line calls, but a user, a group or a callflow of the account leads a call on. is_foreign:
    it would leave to a carrier.
    """
    if subscriber is not None and subscriber.status != Status.ACTIVE:
        sentence = f"sub {subscriber.username}@{subscriber.domain} is {_word(subscriber.status)}"
        return draft.refuse("suspended", sentence, subscriber.account_id)
    shut = _shut(draft, chain)
    if shut is not None:
        return shut
    least = Lock.FOREIGN if is_foreign else Lock.OUTGOING
    if subscriber is not None and subscriber.lock >= least:
        sentence = f"sub {subscriber.username}@{subscriber.domain} is locked: {lock_word(subscriber.lock)}"
        return draft.refuse("locked", sentence, subscriber.account_id)
    locked = first_locked(chain, least)
    if locked is not None:
        level, account = locked
        sentence = f"level {level} account {account.id} is locked: {lock_word(account.lock)}"
        return draft.refuse("locked", sentence, account.id)
    for level, account in enumerate(chain.levels, 1) if chain.has_barred else ():
        for prefix in account.barred:
            if callee.startswith(prefix):
                return draft.refuse("barred", f"level {level} account {account.id} bars {prefix or 'all'}", account.id)
    return None


def _shut(draft: Draft, chain: Chain) -> Reject | None:
    """Return the refusal of a chain that may make no calls at all, None when it may."""
    if chain.inactive is not None:
        level, account = chain.inactive
        return draft.refuse("suspended", f"level {level} account {account.id} is {_word(account.status)}", account.id)
    quarantined = _first_quarantined(draft.facts.quarantine.accounts, chain)
    if quarantined is not None:
        level, account = quarantined
        return draft.refuse("quarantined", f"level {level} account {account.id} is in quarantine", account.id)
    return None


def _first_quarantined(accounts: frozenset[int], chain: Chain) -> tuple[int, Account] | None:
    """Return the nearest level, the root included, that is in quarantine, and its account."""
    if not accounts:
        return None
    levels = enumerate((*chain.levels, chain.root), 1)
    return next(((level, account) for level, account in levels if account.id in accounts), None)


def first_locked(chain: Chain, least: Lock) -> tuple[int, Account] | None:
    """Return the nearest level, the root included, whose lock is `least` or stronger, and its account."""
    if chain.lock_most < least:
        return None
    accounts = enumerate((*chain.levels, chain.root), 1)
    return next(((level, account) for level, account in accounts if account.lock >= least), None)


def lock_word(lock: int) -> str:
    """Return the name of a lock; one that this release does not know is the strongest."""
    return (Lock(lock) if lock in Lock.__members__.values() else Lock.GLOBAL).name.lower()


def _word(status: int) -> str:
    return "closed" if status == Status.CLOSED else "suspended"
