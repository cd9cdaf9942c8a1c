"""Looking at a running MQTT broker: metrics for Prometheus, and what ``keadm ctl broker`` shows.

The view is HTTP on a unix socket that only its owner (root, mostly) can open, for it names clients, users and topics; metrics
name nobody and may also be served on a TCP address. Nothing can be changed through either. For who runs a broker:

    nursery.start_soon(partial(serve_view, broker, path, version="edgecore 1.0"))
    port = await nursery.start(partial(serve_metrics, broker, "127.0.0.1", 9234, version="edgecore 1.0"))
"""
