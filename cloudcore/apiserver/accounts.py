"""Service accounts: TokenRequest, TokenReview, and whom a bearer token speaks for."""

from __future__ import annotations

from typing import Any

from cloudcore.apiserver import body
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.request import Target
from cloudcore.apiserver.tokens import Account, InvalidToken, Tokens
from kube import field_errors, status
from kube.objects import Object, timestamp, uid
from kube.objects import spec as spec_of
from kube.resources import PODS, SERVICE_ACCOUNTS, TOKEN_REQUESTS

_DEFAULT_SECONDS = 3600
_LEAST_SECONDS = 600


class Accounts:
    """What is done with the tokens of service accounts. A token ends with its account, and with the pod that it is bound to."""

    def __init__(self, api: Api, tokens: Tokens) -> None:
        self._api = api
        self._tokens = tokens

    def of_token(self, token: str, audiences: list[str] | None = None) -> Account:
        """Raises InvalidToken."""
        account = self._tokens.verify(token, audiences=audiences)
        entry = self._api.store.get(SERVICE_ACCOUNTS.qualified, account.namespace, account.name)
        if entry is None or uid(entry.obj) != account.uid:
            raise InvalidToken("its service account does not exist any more")
        if account.pod:
            pod = self._api.store.get(PODS.qualified, account.namespace, account.pod)
            if pod is None or uid(pod.obj) != account.pod_uid:
                raise InvalidToken("the pod that it is bound to does not exist any more")
        return account

    def issue(self, target: Target, asked: Any) -> Object:
        """The answer to a TokenRequest.

        Raises ApiError: no such account, or a request of the wrong shape.
        """
        request, _ = body.shaped("TokenRequest", asked)
        entry = self._api.get(self._api.registry.of(SERVICE_ACCOUNTS), target.namespace, target.name)
        spec = request.get("spec", {})
        if spec.get("expirationSeconds", _DEFAULT_SECONDS) < _LEAST_SECONDS:
            why = "may not specify a duration less than 10 minutes"
            fault = field_errors.invalid("spec.expirationSeconds", spec["expirationSeconds"], why)
            raise status.invalid(TOKEN_REQUESTS, "", [fault])
        account = Account(target.namespace, target.name, uid(entry.obj), *self._bound(target, spec.get("boundObjectRef", {})))
        token, end = self._tokens.mint(
            account, seconds=spec.get("expirationSeconds", _DEFAULT_SECONDS), audiences=spec.get("audiences", [])
        )
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "uid": uid(entry.obj),
                "creationTimestamp": timestamp(),
            },
            "spec": {"expirationSeconds": _DEFAULT_SECONDS, "boundObjectRef": None, **spec},
            "status": {"token": token, "expirationTimestamp": timestamp(end)},
        }

    def _bound(self, target: Target, wanted: Object) -> tuple[str, str]:
        """Name and uid of the pod that a token is to be bound to. Kubernetes 1.32: pkg/registry/core/serviceaccount/storage."""
        if not wanted:
            return "", ""
        if wanted.get("kind") != "Pod" or wanted.get("apiVersion", "v1") != "v1":
            raise status.bad_request(f"cannot bind token to object of type {wanted.get('kind')!r}; only pods are served")
        name, asked = wanted.get("name", ""), wanted.get("uid", "")
        pod = self._api.get(self._api.registry.of(PODS), target.namespace, name).obj
        if asked and asked != uid(pod):
            raise status.uid_conflict(PODS, name, asked, uid(pod))
        if spec_of(pod).get("serviceAccountName") != target.name:
            why = f"cannot bind token for serviceaccount {target.name!r} to pod running with different serviceaccount name."
            raise status.bad_request(why)
        return name, uid(pod)

    def review(self, asked: Any) -> Object:
        """The answer to a TokenReview.

        Raises ApiError.
        """
        spec = asked.get("spec") if isinstance(asked, dict) else None
        token = spec.get("token") if isinstance(spec, dict) else None
        audiences = spec.get("audiences") if isinstance(spec, dict) else None
        if not isinstance(token, str) or not token:
            raise status.bad_request("spec.token: Required value")
        if audiences is not None and not (isinstance(audiences, list) and all(isinstance(one, str) for one in audiences)):
            raise status.bad_request("spec.audiences: expected an array of strings")
        try:
            account = self.of_token(token, audiences)
        except InvalidToken as error:
            answer: Object = {"authenticated": False, "error": str(error)}
        else:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated"]
            answer = {"authenticated": True, "user": {"username": account.user, "uid": account.uid, "groups": groups}}
        return {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "status": answer}
