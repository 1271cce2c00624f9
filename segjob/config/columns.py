"""What `segjob.yaml` may say of columns: the key, and the features by which customers are compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from segjob.config.fields import Clip, Model, PositiveNumber, Text
from segjob.records.source import FeatureSpec, Impute, Scale, Transform

MAX_COLUMNS = 128
RESERVED_COLUMNS = {
    *("segment_id", "segment_name", "distance", "simplified_silhouette", "runner_up_segment_id", "version_id"),
    *(
        "published_at",
        "reason",
        "feature",
        "valid_from",
        "valid_to",
        "publication",
        "piece",
        "carried_segment_id",
        "new_segment_id",
        "old_distance",
        "was_there",
        "is_there",
        "excluded_by",
    ),
}


def as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a column, or a list of up to 3 columns")
    return value


def usable_key(key: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(key) <= 3:
        raise ValueError(f"must be one to three columns, not {len(key)}")
    refuse_repeated(key)
    reserved = next((column for column in key if column in RESERVED_COLUMNS), None)
    if reserved is not None:
        raise ValueError(
            f"{reserved} is also a column of the labels or of the views on them; "
            f"give the key another name in a view or query, such as SELECT {reserved} AS customer_{reserved}, …"
        )
    return key


def refuse_repeated(columns: tuple[str, ...]) -> None:
    repeated = next((column for column in columns if columns.count(column) > 1), None)
    if repeated is not None:
        raise ValueError(f"the column {repeated} is given twice; name each column once")


KeyColumns = Annotated[
    tuple[Text, ...],
    BeforeValidator(
        as_list,
        json_schema_input_type=Annotated[str, Field(min_length=1)]
        | Annotated[list[Text], Field(min_length=1, max_length=3)],
    ),
    AfterValidator(usable_key),
]


class Feature(Model):
    """A column by which customers are compared. The order is: impute, clip, transform, scale, weight."""

    column: Text = Field(description="A numeric, boolean, date or timestamp column; with encode also text and enum.")
    transform: Transform = Field(default="none", description="log1p takes ln(1 + x); values of -1 or less are missing.")
    scale: Scale = Field(
        default="standard",
        description="standard: mean 0, deviation 1; robust: median 0, interquartile range 1; minmax: 0 to 1; none.",
    )
    impute: Impute = Field(
        default="median",
        description="What replaces a missing value; exclude leaves the customer without a segment, with the reason.",
    )
    clip: Clip = Field(default=None, description="Two quantiles [low, high] to which values are clipped. Default: off.")
    weight: PositiveNumber = Field(default=1.0, description="Multiplies the scaled value.")
    encode: Literal["onehot"] | None = Field(
        default=None,
        description="onehot: a column of 0 and 1 for each category; missing, rare and unseen ones share `other`.",
    )

    @model_validator(mode="after")
    def _onehot_alone(self) -> Self:
        defaults = {name: Feature.model_fields[name].default for name in ("transform", "scale", "impute", "clip")}
        useless = [name for name, default in defaults.items() if getattr(self, name) != default]
        if self.encode and useless:
            raise ValueError(
                f"encode: onehot makes columns of 0 and 1 of {self.column}, to which {' and '.join(useless)} can not "
                "apply (missing values go to the category `other`); remove one or the other"
            )
        return self

    def spec(self) -> FeatureSpec:
        return FeatureSpec(
            column=self.column,
            transform=self.transform,
            scale=self.scale,
            impute=self.impute,
            clip=self.clip,
            weight=self.weight,
            onehot=self.encode == "onehot",
        )


def columns_as_features(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of columns")
    if not 1 <= len(value) <= MAX_COLUMNS:
        raise ValueError(f"must be 1 to {MAX_COLUMNS} columns, not {len(value)}")
    return [{"column": feature} if isinstance(feature, str) else feature for feature in value]


def each_column_once(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    refuse_repeated(tuple(feature.column for feature in features))
    return features


Features = Annotated[
    tuple[Feature, ...],
    BeforeValidator(
        columns_as_features,
        json_schema_input_type=Annotated[list[Text | Feature], Field(min_length=1, max_length=MAX_COLUMNS)],
    ),
    AfterValidator(each_column_once),
]
