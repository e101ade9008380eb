"""Finds out which of torchrun's attempts this is: ranks that are started anew find the old ones' keys."""

from __future__ import annotations

import hashlib
import json
import time
import uuid

from torch.distributed import PrefixStore, Store

_PATIENCE_S = 2.0
_POLL_S = 0.02


def new_attempt(store: Store, rank: int, world_size: int, limit_s: float) -> Store:
    """Return the store with a prefix that only the ranks alive now share.

    The agents of torchrun keep their store over restarts, and count restarts differently on each node. So
    every rank makes a random name for itself, rank 0 proposes the names that it finds, and only when each
    rank has found its own among them does the attempt begin.

    Args:
        store: as torchrun gives it.
        rank: of this process.
        world_size: number of ranks.
        limit_s: seconds to wait for the others.

    Raises:
        RuntimeError: not all ranks came within the limit; names those that did not.
    """
    name = uuid.uuid4().hex
    store.set(_name(rank), name)
    deadline = time.monotonic() + limit_s
    token = _propose(store, world_size, deadline) if rank == 0 else _agree(store, rank, name, deadline)
    if token is None:
        missing = [str(other) for other in range(world_size) if not store.check([_name(other)])]
        who = f"rank {' and rank '.join(missing)}" if missing else "a rank that had come up before"
        raise RuntimeError(f"{who} did not come up within {limit_s:.0f} s")
    return PrefixStore(f"attempt/{token}", store)


def _propose(store: Store, world_size: int, deadline: float) -> str | None:
    keys = [_name(rank) for rank in range(world_size)]
    while time.monotonic() < deadline:
        if not store.check(keys):
            time.sleep(_POLL_S)
            continue
        names = [store.get(key).decode() for key in keys]
        token = hashlib.sha256(json.dumps([names, uuid.uuid4().hex]).encode()).hexdigest()[:16]
        store.set("proposal", json.dumps({"token": token, "names": names}))
        agreed = [f"agreed/{token}/{rank}" for rank in range(1, world_size)]
        patience = min(deadline, time.monotonic() + _PATIENCE_S)
        while time.monotonic() < patience:
            if not agreed or store.check(agreed):
                store.set(f"begun/{token}", "1")
                return token
            time.sleep(_POLL_S)
    return None


def _agree(store: Store, rank: int, name: str, deadline: float) -> str | None:
    token = ""
    while time.monotonic() < deadline:
        if store.check(["proposal"]):
            proposal = json.loads(store.get("proposal"))
            if proposal["names"][rank] == name and proposal["token"] != token:
                token = proposal["token"]
                store.set(f"agreed/{token}/{rank}", "1")
        if token and store.check([f"begun/{token}"]):
            return token
        time.sleep(_POLL_S)
    return None


def _name(rank: int) -> str:
    return f"name/{rank}"
