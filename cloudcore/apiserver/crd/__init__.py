"""Custom resources: definitions (``definition_kind``, ``definition_rules``, ``schema_rules``), and the kinds that they make
(``custom_kind``), which ``definitions`` puts into the registry.

Beside them pure parts: ``structural`` compiles schemas, ``pruning`` and ``defaulting`` bring objects into shape,
``validation`` and ``list_types`` say what is wrong with them, ``pattern`` and ``automaton`` match regular expressions in
bounded time, ``columns`` and ``jsonpath`` print.
"""
