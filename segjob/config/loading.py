"""The configuration, loaded once: command line over environment over secrets directory over file.

This is the only reader of the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from segjob.config.fields import Model
from segjob.config.file import Interpolation, read_document
from segjob.config.layers import Layer, holds, leaves, overlaid, place_of_variable, related, structured, uncovered
from segjob.config.problems import Place, Problem, problems_of, written
from segjob.config.rules import colliding_names
from segjob.config.settings import Database, Settings
from segjob.errors import ConfigurationError
from segjob.spelling import nearest

DEFAULT_FILE = Path("segjob.yaml")
DEFAULT_SECRETS = Path("/run/secrets/segjob")
SECRET_PLACES = (("database", "url"), ("database", "source_url"))

M = TypeVar("M", bound=Model)


def load(config_path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Load and validate the whole configuration.

    Parameters
    ----------
    config_path : the file; without it SEGJOB_CONFIG, else segjob.yaml in the current folder
    overrides : what the command line says, nested as in the file; None means not given

    Raises
    ------
    ConfigurationError
        One line for each thing that is wrong: file, place, what was expected, the nearest valid name.
    """
    file = config_file(config_path)
    configuration = merged(file, read_document(file), overrides)
    settings = configuration.validated(Settings, configuration.values)
    configuration.refuse(list(colliding_names(settings)))
    return settings


def load_database(config_path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Database:
    """Load what says where the database is, for a command that works before there is a file, such as `segjob init`."""
    file = config_file(config_path)
    document = read_document(file) if file.exists() else {}
    configuration = merged(file, {"database": document.get("database", {})}, overrides)
    return configuration.validated(Database, configuration.values["database"], ("database",))


def config_file(config_path: Path | None = None) -> Path:
    """Return where the configuration should be, whether or not it is there."""
    return config_path or Path(os.environ.get("SEGJOB_CONFIG") or DEFAULT_FILE)


def layer_above(overrides: Mapping[str, Any], secrets: Mapping[str, Path]) -> Layer:
    """Collect secrets, environment and command line; the later ones win, and an empty variable counts as not set."""
    layer = Layer()
    for name, file in sorted(secrets.items()):
        if (place := place_of_variable(name)) and (text := secret_text(file)):
            layer.put(place, structured(text), f"secret {file}", secret=True)
    for name, text in sorted(os.environ.items()):
        if text and (place := place_of_variable(name)):
            layer.put(place, structured(text), f"variable {name}")
    for place, value in leaves(overrides):
        layer.put(place, value, "command line")
    return layer


# Secrets


def secret_files() -> dict[str, Path]:
    """Return the files of the secrets directory by their names in capitals."""
    named = os.environ.get("SEGJOB_SECRETS_DIR")
    directory = Path(named) if named else DEFAULT_SECRETS
    if not directory.is_dir():
        if named:
            raise ConfigurationError(f"SEGJOB_SECRETS_DIR: {directory} is not a folder")
        return {}
    try:
        return {file.name.upper(): file for file in sorted(directory.iterdir()) if file.is_file()}
    except OSError as error:
        raise ConfigurationError(f"secrets directory {directory}: can not be read: {error.strerror}") from None


def secret_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"secret {file}: can not be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"secret {file}: is not UTF-8") from None


# All together


@dataclass
class Configuration:
    """All values merged, and what is needed to say where a wrong one comes from."""

    file: Path
    document: dict[str, Any]
    values: dict[str, Any]
    layer: Layer
    replaced: set[Place]

    def validated(self, model: type[M], values: Any, above: Place = ()) -> M:
        """Make a model of some values; `above` is where they stand in the file."""
        context = {"folder": self.file.parent, "file": self.file}
        try:
            return model.model_validate(values, context=context)
        except ValidationError as error:
            problems = problems_of(error, model, lambda place: self.is_secret((*above, *place)))
        self.refuse([Problem((*above, *problem.place), problem.sentence) for problem in problems])
        raise AssertionError("unreachable: a validation error has at least one problem")

    def refuse(self, problems: list[Problem]) -> None:
        """Raise one error with a line for each problem, if there is one."""
        if problems:
            raise ConfigurationError("\n".join(self.line(problem) for problem in problems))

    def line(self, problem: Problem) -> str:
        origin = self.origin(problem.place)
        return ": ".join(part for part in (origin, written(problem.place), problem.sentence) if part)

    def origin(self, place: Place) -> str:
        """Name what set a value, or something in it: a variable, a secret or the command line, else the file."""
        above = [(set_by, words) for set_by, words in self.layer.origins.items() if related(set_by, place)]
        exact = [words for set_by, words in above if len(set_by) <= len(place)]
        if exact:
            return exact[-1]
        return above[-1][1] if above and not holds(self.document, place) else str(self.file)

    def is_secret(self, place: Place) -> bool:
        """Tell whether a value may be a password: then no message shows it."""
        hidden = (*SECRET_PLACES, *self.layer.secret, *self.replaced)
        return any(related(secret, place) for secret in hidden)


def merged(file: Path, document: dict[str, Any], overrides: Mapping[str, Any] | None) -> Configuration:
    """Lay everything above the file over it, after `${VAR}` in what is left of the file."""
    secrets = secret_files()
    layer = layer_above(overrides or {}, secrets)
    interpolation = Interpolation(lambda name: variable(name, secrets))
    lower = interpolation.apply(uncovered(document, layer.values))
    configuration = Configuration(file, document, overlaid(lower, layer.values), layer, interpolation.replaced)
    configuration.refuse([*interpolation.problems, *unknown_segmentations(document, layer)])
    return configuration


def variable(name: str, secrets: Mapping[str, Path]) -> str | None:
    """Return what `${name}` stands for: the environment's value, else the secret of that name."""
    if name in os.environ:
        return os.environ[name]
    file = secrets.get(name.upper())
    return secret_text(file) if file else None


def unknown_segmentations(document: Mapping[str, Any], layer: Layer) -> Iterator[Problem]:
    """Yield each variable or option that sets a key of a segmentation which nobody defines."""
    defined = document.get("segmentations")
    known = [str(name) for name in defined] if isinstance(defined, Mapping) else []
    known += [str(place[1]) for place in layer.origins if place[0] == "segmentations" and len(place) == 2]
    for place in layer.origins:
        if place[0] == "segmentations" and len(place) > 2 and str(place[1]) not in known:
            yield Problem(place, f"unknown segmentation; {nearest(str(place[1]), known)}")
