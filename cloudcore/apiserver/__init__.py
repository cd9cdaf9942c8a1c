"""The embedded Kubernetes API of the stand-alone cloud: SQLite below, the Kubernetes protocol above."""

from cloudcore.apiserver.server import serve
from cloudcore.apiserver.settings import ApiServerSettings

__all__ = ["ApiServerSettings", "serve"]
