"""apps/v1 of the embedded API: Deployments, ReplicaSets, DaemonSets and their revisions, and the collection of what they leave.

``kinds``, ``kind_rules`` and ``tables`` say what the objects look like; ``rolling``, ``scaling``, ``victims``, ``placement``
and the like decide, as plain functions; ``replica_sets``, ``deployments``, ``daemon_sets`` and ``garbage`` act on the API,
each by the key of what has changed (``keyed``), with ``ownership`` to know what belongs to whom.
"""
