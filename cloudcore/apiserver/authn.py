"""Who asks, and what they may. Administrators hold a client certificate of the API's own authority (system:masters)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloudcore.apiserver.credentials import ADMINISTRATORS
from cloudcore.apiserver.request import Request, Target
from kube import status


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...]


def authenticate(request: Request) -> User:
    """Raises ApiError (401) for a request without a certificate of ours."""
    peer: Any = request.scope.get("state", {}).get("peer")
    if peer is None or not peer.common_name:
        raise status.unauthorized()
    return User(peer.common_name, (*peer.organizations, "system:authenticated"))


def authorize(user: User, request: Request, target: Target) -> None:
    """The embedded API has no roles: administrators may do everything, others nothing but look at what is served.

    Raises ApiError (403).
    """
    if ADMINISTRATORS in user.groups:
        return
    what = f"{target.plural}.{target.group}" if target.group else target.plural
    text = f'{what} is forbidden: User "{user.name}" cannot {request.method.lower()} resource "{target.plural}"'
    raise status.make(403, "Forbidden", f'{text} in API group "{target.group}"', {"kind": target.plural})
