"""Who asks, and what they may. Administrators hold a client certificate of the API's own authority (system:masters).

Service accounts are known by their tokens, and may ask about themselves and see what is served, no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloudcore.apiserver.accounts import Accounts
from cloudcore.apiserver.credentials import ADMINISTRATORS
from cloudcore.apiserver.request import Request, Target
from cloudcore.apiserver.tokens import InvalidToken
from kube import status
from kube.resources import Resource


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...]


def authenticate(request: Request, accounts: Accounts) -> User:
    """Raises ApiError (401) for a request with neither a certificate of ours nor a valid token."""
    peer: Any = request.scope.get("state", {}).get("peer")
    if peer is not None and peer.common_name:
        return User(peer.common_name, (*peer.organizations, "system:authenticated"))
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise status.unauthorized()
    try:
        account = accounts.of_token(token.strip())
    except InvalidToken as error:
        raise status.unauthorized() from error
    return User(account.user, ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated"))


def authorize(user: User, request: Request, target: Target) -> None:
    """The embedded API has no roles: administrators may do everything, others nothing but look at what is served.

    Raises ApiError (403).
    """
    if ADMINISTRATORS in user.groups:
        return
    resource = Resource(target.group, target.version, "", target.plural, "", bool(target.namespace))
    what = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {_verb(request, target)} resource "{what}" in API group "{target.group}" {where}'
    raise status.forbidden(resource, target.name, why)


def _verb(request: Request, target: Target) -> str:
    """What the request does, in the words of RBAC."""
    if request.method in ("GET", "HEAD"):
        return "get" if target.name else "watch" if request.flag("watch") else "list"
    if request.method == "DELETE" and not target.name:
        return "deletecollection"
    return {"POST": "create", "PUT": "update"}.get(request.method, request.method.lower())
