"""What `segjob.yaml` may say: every key with its default and what it means.

Finding, merging and reporting is in `config.py`; these models only know what is valid.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from segjob.config import resources
from segjob.config.fields import (
    EMBEDDED,
    Count,
    Folder,
    MemorySize,
    Model,
    OptionalText,
    SchemaName,
    SegmentationName,
    ServerUrl,
    Text,
)
from segjob.config.segmentation import Segmentation
from segjob.errors import ConfigurationError, InternalError
from segjob.spelling import nearest


class Database(Model):
    """The server, the two schemas on it, and the roles that may use them."""

    url: ServerUrl = Field(
        default=None,
        description="libpq URL (postgresql://…, postgres://… or postgresql+psycopg://…), or embedded:PATH for the "
        "bundled server with its data in PATH, relative to this file. Default: the PG* variables decide.",
    )
    source_url: ServerUrl = Field(
        default=None,
        description="Read the customers from this server, a standby may be; locks and results always use url. "
        "Default: url.",
    )
    public_schema: SchemaName = Field(
        default="segments", alias="schema", description="The schema with the views that analysts see."
    )
    private_schema: SchemaName = Field(
        default="segjob", description="The schema in which the job keeps versions, labels and its own records."
    )
    analysts: tuple[Text, ...] = Field(default=(), description="Roles to which `segjob migrate` grants the views.")
    job_role: OptionalText = Field(
        default=None,
        description="The role that runs the job and owns the labels. Default: the role that migrates.",
    )

    @model_validator(mode="after")
    def _two_schemas(self) -> Self:
        if self.public_schema == self.private_schema:
            raise ValueError(f"schema and private_schema must be two schemas, not both {self.public_schema}")
        return self

    @property
    def embedded_dir(self) -> Path | None:
        """The data folder of the bundled server; None when the server is another one."""
        return Path(self._url.removeprefix(EMBEDDED)) if self._url.startswith(EMBEDDED) else None

    @property
    def conninfo(self) -> str:
        """A libpq URL; empty when the PG* variables decide. The bundled server has none before it is started."""
        if self.embedded_dir is not None:
            raise InternalError("database.url is embedded: start the bundled server and take its URL")
        return self._url

    @property
    def source(self) -> Database | None:
        """The place that the customers are read from, where it is another."""
        return self.model_copy(update={"url": self.source_url}) if self.source_url else None

    @property
    def _url(self) -> str:
        return self.url.get_secret_value() if self.url else ""


class Resources(Model):
    """What the job may use; everything defaults to what the container allows."""

    memory: MemorySize | None = Field(
        default=None,
        description="Memory of the whole process, such as 1GiB, 900MB or a number of bytes; at most a quarter of it "
        "holds customers, the others wait in spool_dir. Default: the container's limit, or without one half of the "
        "machine's memory and at most 4 GiB.",
    )
    connections: Count = Field(
        default=4, description="The most connections that read customers or write labels at the same time."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the clustering runs; auto takes a GPU when there is one."
    )
    spool_dir: Folder = Field(
        default=None,
        description="Folder for customers that do not fit into memory. Default: the system's temporary folder.",
    )

    @property
    def memory_budget(self) -> int:
        """Bytes that the whole process may use."""
        return int(self.memory) if self.memory is not None else resources.default_memory()

    @property
    def spool_folder(self) -> Path:
        """The folder that takes what does not fit into memory."""
        try:
            return self.spool_dir or Path(tempfile.gettempdir())
        except FileNotFoundError as error:
            raise ConfigurationError(
                "resources.spool_dir: no temporary folder can be written to; name a folder that can"
            ) from error


class Settings(Model):
    """The whole file."""

    database: Database = Field(default=Database(), description="The server, the two schemas, and who may use them.")
    resources: Resources = Field(default=Resources(), description="What the job may use of its machine.")
    segmentations: Annotated[dict[SegmentationName, Segmentation], Field(min_length=1)] = Field(
        description="The segmentations by name: a small letter, then small letters, digits and underscores.",
        json_schema_extra={"additionalProperties": False},
    )
    _file: Path = PrivateAttr(default=Path("segjob.yaml"))

    def model_post_init(self, context: Any) -> None:
        if context and "file" in context:
            self._file = Path(context["file"])

    @property
    def file(self) -> Path:
        """Where the configuration lies, for messages."""
        return self._file

    def segmentation(self, name: str) -> Segmentation:
        """Return what the file says of one segmentation.

        Raises
        ------
        ConfigurationError
            When the file has none of that name.
        """
        if name not in self.segmentations:
            raise ConfigurationError(
                f"{self.file}: segmentations.{name}: unknown segmentation; {nearest(name, self.segmentations)}"
            )
        return self.segmentations[name]
