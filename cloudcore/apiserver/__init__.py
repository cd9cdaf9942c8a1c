"""The embedded Kubernetes API of the stand-alone cloud: SQLite below, the Kubernetes protocol above.

From the bottom up: ``store`` and ``history`` keep objects and their recent changes; ``kinds`` and its like (``pod_kind``,
``node_kind``, ``data_kinds``; ``registry`` lists them) know how each kind behaves, ``schema`` and ``shapes`` what it looks
like; ``api`` has the verbs, which our own controllers use too (``binder``, ``node_lifecycle``, ``namespaces``, ``events``);
``request``, ``body``, ``resources``, ``watch``, ``tables``, ``discovery`` and ``openapi`` are those verbs over HTTP; ``app``
puts them behind ``authn``, and ``server`` starts it all.
"""

from cloudcore.apiserver.server import serve
from cloudcore.apiserver.settings import ApiServerSettings

__all__ = ["ApiServerSettings", "serve"]
