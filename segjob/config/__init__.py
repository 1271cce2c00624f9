"""The configuration: found, merged, checked once, and handed on as frozen models.

`loading.py` is the only reader of the environment; the models in the other files only know what is valid.
"""

from segjob.config.loading import config_file, load, load_database
from segjob.config.schema import config_schema
from segjob.config.settings import Settings

__all__ = ["Settings", "config_file", "config_schema", "load", "load_database"]
