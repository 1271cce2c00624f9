"""What the tests of the configuration start from: a folder with `segjob.yaml`, and an environment that says nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from segjob.config import Settings, load
from segjob.errors import ConfigurationError

SHOP = {
    "source": "public.customer_features",
    "key": "customer_id",
    "features": ["annual_income"],
    "n_clusters": 8,
}


def shop(*left_out: str, **keys: Any) -> dict[str, Any]:
    """A configuration with one segmentation, `shop`: the least that is valid, changed by the keys."""
    segmentation = {**SHOP, **keys}
    return {"segmentations": {"shop": {key: value for key, value in segmentation.items() if key not in left_out}}}


@dataclass
class Project:
    """The folder in which the configuration lies; it is also the current one."""

    folder: Path

    def write(self, content: str | Mapping[str, Any]) -> Path:
        text = content if isinstance(content, str) else yaml.safe_dump(dict(content), sort_keys=False)
        (self.folder / "segjob.yaml").write_text(text, encoding="utf-8")
        return Path("segjob.yaml")

    def load(self, content: str | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Settings:
        self.write(content)
        return load(overrides=overrides)

    def refusal(self, content: str | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> str:
        """The message with which the configuration is refused."""
        with pytest.raises(ConfigurationError) as refused:
            self.load(content, overrides)
        assert refused.value.exit_code == 78
        assert refused.value.__cause__ is None, "a cause would show in the log, with the values"
        return str(refused.value)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in os.environ:
        if name.upper() == "DATABASE_URL" or name.upper().startswith("SEGJOB_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("segjob.config.loading.DEFAULT_SECRETS", tmp_path / "no-secrets")
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)
