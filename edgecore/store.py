"""The edge's durable memory: tables ``meta`` and ``meta_v2`` with KubeEdge's names, so that its database can be taken over.

Source: KubeEdge 1.23: edge/pkg/metamanager/dao (DDL read back from a database made by the real program).
Every function here runs in the writer's thread; the MetaManager calls them through ``beehive.sqlite.Database.write``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import peewee

from beehive.sqlite import Database


class Meta(peewee.Model):
    """One object. ``key`` is the short resource path, ``type`` its second word, ``value`` the JSON text."""

    key = peewee.TextField(primary_key=True)
    type = peewee.TextField()
    value = peewee.TextField()

    class Meta:
        table_name = "meta"


class MetaV2(peewee.Model):
    """The same object as the local API server sees it."""

    key = peewee.TextField(primary_key=True)
    group_version_resource = peewee.TextField()
    namespace = peewee.TextField()
    name = peewee.TextField()
    resource_version = peewee.IntegerField()
    value = peewee.TextField()

    class Meta:
        table_name = "meta_v2"


class State(peewee.Model):
    """What this program has to remember about the database itself. KubeEdge knows no such table and does not mind it."""

    key = peewee.TextField(primary_key=True)
    value = peewee.TextField()

    class Meta:
        table_name = "edgecore_state"


class SubTopic(peewee.Model):
    """A topic filter that a rule of the cloud has asked for."""

    topic = peewee.TextField(primary_key=True)

    class Meta:
        table_name = "sub_topics"


class Row(NamedTuple):
    """A row of ``meta``."""

    key: str
    type: str
    value: str


def _create(database: peewee.SqliteDatabase) -> None:
    database.execute_sql("CREATE TABLE IF NOT EXISTS meta (key text PRIMARY KEY, type text, value text)")
    database.execute_sql("CREATE INDEX IF NOT EXISTS edgecore_meta_type ON meta (type)")
    database.execute_sql(
        "CREATE TABLE IF NOT EXISTS meta_v2 (key text PRIMARY KEY, group_version_resource text, namespace text, "
        "name text, resource_version integer, value text)"
    )
    database.execute_sql("CREATE TABLE IF NOT EXISTS edgecore_state (key text PRIMARY KEY, value text NOT NULL)")


def _add_topics(database: peewee.SqliteDatabase) -> None:
    database.execute_sql("CREATE TABLE IF NOT EXISTS sub_topics (topic text, PRIMARY KEY (topic))")


MIGRATIONS: Final[tuple[Callable[[peewee.SqliteDatabase], None], ...]] = (_create, _add_topics)


class Store:
    """The tables of one database file. The methods block: run them inside ``database.write``."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, MIGRATIONS)

    def get(self, key: str) -> str | None:
        """The JSON text of an object."""
        query = Meta.select(Meta.value).where(Meta.key == key).tuples()
        for (value,) in query.execute(self.database.peewee):
            return str(value) if value is not None else None
        return None

    def rows(self, type_: str) -> list[Row]:
        """All objects of a type, by key."""
        query = Meta.select(Meta.key, Meta.type, Meta.value).where(Meta.type == type_).order_by(Meta.key).tuples()
        return [Row(str(key), str(kind or ""), str(value or "")) for key, kind, value in query.execute(self.database.peewee)]

    def keys(self, type_: str) -> set[str]:
        """The keys of all objects of a type."""
        query = Meta.select(Meta.key).where(Meta.type == type_).tuples()
        return {str(key) for (key,) in query.execute(self.database.peewee)}

    def put(self, key: str, type_: str, value: str) -> None:
        """Inserts or replaces."""
        Meta.insert(key=key, type=type_, value=value).on_conflict_replace().execute(self.database.peewee)

    def delete(self, key: str) -> bool:
        """Returns whether there was such a row."""
        return bool(Meta.delete().where(Meta.key == key).execute(self.database.peewee))

    def delete_v2(self, resource: str, namespace: str, name: str) -> None:
        """Removes an object from the local API server's table, whatever its API group, by its plural."""
        key = f"/{resource}/{namespace}/{name}"
        MetaV2.delete().where(MetaV2.key.endswith(key)).execute(self.database.peewee)

    def topics(self) -> list[str]:
        """The topic filters of rules."""
        return [str(topic) for (topic,) in SubTopic.select(SubTopic.topic).tuples().execute(self.database.peewee)]

    def add_topic(self, topic: str) -> None:
        """One that is there already stays."""
        SubTopic.insert(topic=topic).on_conflict_ignore().execute(self.database.peewee)

    def remove_topic(self, topic: str) -> None:
        SubTopic.delete().where(SubTopic.topic == topic).execute(self.database.peewee)

    def state(self, key: str) -> str | None:
        """A remembered fact about this database."""
        for (value,) in State.select(State.value).where(State.key == key).tuples().execute(self.database.peewee):
            return str(value)
        return None

    def set_state(self, key: str, value: str) -> None:
        """Remembers a fact about this database."""
        State.insert(key=key, value=value).on_conflict_replace().execute(self.database.peewee)
