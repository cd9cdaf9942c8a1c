"""The broker that is measured, in a process of its own: prints its ports, plain and TLS, and serves until it is killed.

``--nothing`` is the program without a broker, whose memory is to be known, too.
"""

from __future__ import annotations

import argparse
import resource
import ssl
from pathlib import Path

import trio


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nothing", action="store_true")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--journal", type=Path, help="where sessions that stay are kept")
    words = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    trio.run(_nothing) if words.nothing else trio.run(_broker, words)


async def _nothing() -> None:
    print(0, 0, flush=True)
    await trio.sleep_forever()


async def _broker(words: argparse.Namespace) -> None:
    from mqtt.broker import Config, serve
    from mqtt.limits import Limits
    from mqtt.listeners import Listener

    listeners = [Listener(port=0)]
    if words.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(words.certificate, words.key)
        listeners.append(Listener(port=0, tls=context))
    async with trio.open_nursery() as nursery:
        config = Config(listeners, Limits(connections=20_000))
        if words.journal is not None:
            from mqtt.durable import Durable

            config.journal = Durable(words.journal)
        broker = await nursery.start(serve, config)
        print(*broker.ports, flush=True)


if __name__ == "__main__":
    main()
