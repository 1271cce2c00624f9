"""Runs, versions with their segments, centroids and constants, the published pointer, and the views over them."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE {private}.segmentation (
    segmentation text PRIMARY KEY,
    key_columns jsonb NOT NULL,
    feature_columns jsonb NOT NULL,
    fit_due boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    migrated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {private}.segmentation IS
    'One row a configured segmentation, with the key and features that its objects were made for.';

CREATE TABLE {private}.run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    segmentation text NOT NULL REFERENCES {private}.segmentation,
    kind text NOT NULL CHECK (kind IN ('run', 'score', 'choose_k', 'publish', 'rollback', 'prune', 'forget')),
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'succeeded', 'rejected', 'failed', 'stopped', 'lost')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    version_id integer,
    rows_read bigint,
    rows_labelled bigint,
    seconds jsonb NOT NULL DEFAULT '{{}}',
    warnings jsonb NOT NULL DEFAULT '[]',
    exit_code integer,
    error text,
    program_version text NOT NULL,
    config_hash text NOT NULL,
    params jsonb NOT NULL DEFAULT '{{}}'
);
CREATE INDEX run_segmentation ON {private}.run (segmentation, run_id);
COMMENT ON TABLE {private}.run IS 'One row an execution of the job, from the moment it holds the lock.';

CREATE TABLE {private}.version (
    segmentation text NOT NULL REFERENCES {private}.segmentation,
    version_id integer NOT NULL CHECK (version_id > 0),
    parent_version_id integer,
    run_id bigint NOT NULL REFERENCES {private}.run,
    status text NOT NULL CHECK (status IN ('staged', 'rejected', 'published', 'superseded', 'pruned')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    data_as_of timestamptz NOT NULL,
    n_customers bigint NOT NULL,
    n_unlabelled bigint NOT NULL,
    n_segments integer NOT NULL,
    inertia double precision NOT NULL,
    silhouette double precision,
    silhouette_low double precision,
    silhouette_high double precision,
    silhouette_method text NOT NULL,
    silhouette_n_sampled bigint NOT NULL,
    silhouette_exact boolean NOT NULL,
    squared_silhouette double precision,
    squared_silhouette_low double precision,
    squared_silhouette_high double precision,
    squared_silhouette_method text NOT NULL,
    squared_silhouette_n_sampled bigint NOT NULL,
    squared_silhouette_exact boolean NOT NULL,
    davies_bouldin double precision,
    calinski_harabasz double precision,
    label_churn double precision,
    seed bigint NOT NULL,
    config_hash text NOT NULL,
    scope_hash text NOT NULL DEFAULT '',
    watermark text,
    gated boolean NOT NULL DEFAULT false,
    grid_exponent integer NOT NULL,
    stages jsonb NOT NULL,
    PRIMARY KEY (segmentation, version_id)
);
COMMENT ON TABLE {private}.version IS 'One row a successful fit; never changes but for its status.';

CREATE TABLE {private}.segment (
    segmentation text NOT NULL,
    version_id integer NOT NULL,
    segment_id integer NOT NULL CHECK (segment_id > 0),
    segment_name text NOT NULL,
    color text NOT NULL,
    n_customers bigint NOT NULL,
    n_customers_now bigint NOT NULL,
    share double precision NOT NULL,
    inertia double precision NOT NULL,
    silhouette double precision,
    silhouette_low double precision,
    silhouette_high double precision,
    silhouette_method text NOT NULL,
    silhouette_n_sampled bigint NOT NULL,
    silhouette_exact boolean NOT NULL,
    squared_silhouette double precision,
    squared_silhouette_low double precision,
    squared_silhouette_high double precision,
    squared_silhouette_method text NOT NULL,
    squared_silhouette_n_sampled bigint NOT NULL,
    squared_silhouette_exact boolean NOT NULL,
    rule text,
    rule_precision double precision,
    rule_recall double precision,
    distance_p99 double precision NOT NULL,
    origin text NOT NULL CHECK (origin IN ('kept', 'split', 'merged', 'new')),
    from_segment_ids integer[] NOT NULL,
    PRIMARY KEY (segmentation, version_id, segment_id),
    FOREIGN KEY (segmentation, version_id) REFERENCES {private}.version
);
COMMENT ON TABLE {private}.segment IS 'The segments of each version.';

CREATE TABLE {private}.k_candidate (
    segmentation text NOT NULL REFERENCES {private}.segmentation,
    run_id bigint NOT NULL REFERENCES {private}.run,
    n_clusters integer NOT NULL CHECK (n_clusters > 0),
    inertia double precision NOT NULL,
    silhouette double precision,
    silhouette_low double precision,
    silhouette_high double precision,
    silhouette_method text NOT NULL,
    silhouette_n_sampled bigint NOT NULL,
    silhouette_exact boolean NOT NULL,
    davies_bouldin double precision,
    calinski_harabasz double precision,
    smallest_share double precision,
    stability double precision,
    suggested boolean NOT NULL,
    PRIMARY KEY (run_id, n_clusters)
);
CREATE INDEX k_candidate_segmentation ON {private}.k_candidate (segmentation, run_id);
COMMENT ON TABLE {private}.k_candidate IS 'The numbers of segments that a run tried, with the scores of each.';

CREATE TABLE {private}.gate (
    segmentation text NOT NULL,
    version_id integer NOT NULL,
    gate text NOT NULL,
    value double precision,
    warn double precision,
    refuse double precision,
    result text NOT NULL CHECK (result IN ('passed', 'warned', 'refused', 'skipped')),
    PRIMARY KEY (segmentation, version_id, gate),
    FOREIGN KEY (segmentation, version_id) REFERENCES {private}.version
);
COMMENT ON TABLE {private}.gate IS 'What each gate measured of each version, and what followed from it.';

CREATE TABLE {private}.transition (
    segmentation text NOT NULL,
    from_version_id integer NOT NULL,
    to_version_id integer NOT NULL,
    from_segment_id integer,
    to_segment_id integer,
    n_customers bigint NOT NULL,
    n_features_moved bigint,
    n_model_moved bigint,
    FOREIGN KEY (segmentation, from_version_id) REFERENCES {private}.version,
    FOREIGN KEY (segmentation, to_version_id) REFERENCES {private}.version,
    CHECK (from_segment_id IS NOT NULL OR to_segment_id IS NOT NULL)
);
CREATE INDEX transition_versions ON {private}.transition (segmentation, from_version_id, to_version_id);
COMMENT ON TABLE {private}.transition IS
    'How many customers went from which segment to which, between two versions.';

CREATE TABLE {private}.feature_profile (
    segmentation text NOT NULL,
    version_id integer NOT NULL,
    ordinal integer NOT NULL,
    feature text NOT NULL,
    column_name text NOT NULL,
    position integer,
    family text NOT NULL CHECK (family IN ('number', 'boolean', 'date', 'timestamp', 'text')),
    transform text NOT NULL CHECK (transform IN ('none', 'log1p')),
    scaling text NOT NULL CHECK (scaling IN ('standard', 'robust', 'minmax', 'none')),
    impute text NOT NULL CHECK (impute IN ('median', 'mean', 'zero', 'exclude')),
    impute_value double precision,
    clip_low double precision,
    clip_high double precision,
    center double precision NOT NULL,
    scale double precision NOT NULL,
    weight double precision NOT NULL,
    origin double precision NOT NULL,
    category text,
    n_missing bigint NOT NULL,
    n_clipped bigint NOT NULL,
    minimum double precision,
    maximum double precision,
    population_mean double precision,
    population_std double precision,
    population_median double precision,
    PRIMARY KEY (segmentation, version_id, ordinal),
    UNIQUE (segmentation, version_id, feature),
    FOREIGN KEY (segmentation, version_id) REFERENCES {private}.version
);
COMMENT ON TABLE {private}.feature_profile IS 'The constants of each version: how a source value becomes a coordinate.';

CREATE TABLE {private}.centroid (
    segmentation text NOT NULL,
    version_id integer NOT NULL,
    segment_id integer NOT NULL,
    feature text NOT NULL,
    value double precision NOT NULL,
    scaled_value double precision NOT NULL,
    grid_value bigint NOT NULL,
    segment_mean double precision,
    segment_median double precision,
    difference double precision,
    PRIMARY KEY (segmentation, version_id, segment_id, feature),
    FOREIGN KEY (segmentation, version_id, segment_id) REFERENCES {private}.segment,
    FOREIGN KEY (segmentation, version_id, feature)
        REFERENCES {private}.feature_profile (segmentation, version_id, feature)
);
COMMENT ON TABLE {private}.centroid IS 'The centre of each segment, one row a clustered feature.';

CREATE TABLE {private}.model (
    segmentation text NOT NULL,
    version_id integer NOT NULL,
    features text[] NOT NULL,
    unit double precision NOT NULL,
    above double precision[] NOT NULL,
    low double precision[] NOT NULL,
    high double precision[] NOT NULL,
    imputed double precision[] NOT NULL,
    center double precision[] NOT NULL,
    scale double precision[] NOT NULL,
    weight double precision[] NOT NULL,
    negligible double precision[] NOT NULL,
    origin double precision[] NOT NULL,
    logarithmic boolean[] NOT NULL,
    required boolean[] NOT NULL,
    first_column integer[] NOT NULL,
    last_column integer[] NOT NULL,
    categories text[] NOT NULL,
    category_scores double precision[] NOT NULL,
    category_squares double precision[] NOT NULL,
    factors double precision[] NOT NULL,
    squares double precision[] NOT NULL,
    segment_ids integer[] NOT NULL,
    PRIMARY KEY (segmentation, version_id),
    FOREIGN KEY (segmentation, version_id) REFERENCES {private}.version
);
COMMENT ON TABLE {private}.model IS 'The model of each version as arrays, for the functions that label a customer.';

CREATE TABLE {private}.sample_row (
    segmentation text NOT NULL,
    version_id integer NOT NULL,
    ordinal integer NOT NULL,
    key_hash bigint NOT NULL,
    segment_id integer NOT NULL,
    source_values jsonb NOT NULL,
    scaled_values double precision[] NOT NULL,
    silhouette double precision,
    PRIMARY KEY (segmentation, version_id, ordinal)
);
COMMENT ON TABLE {private}.sample_row IS 'At most 5,000 customers a version, for reports; a hash stands for the key.';

CREATE TABLE {private}.published (
    segmentation text PRIMARY KEY REFERENCES {private}.segmentation,
    version_id integer NOT NULL,
    publication integer NOT NULL,
    published_at timestamptz NOT NULL,
    run_id bigint NOT NULL REFERENCES {private}.run,
    FOREIGN KEY (segmentation, version_id) REFERENCES {private}.version
);
COMMENT ON TABLE {private}.published IS 'The pointer: the one version of each segmentation that analysts see.';

CREATE TABLE {private}.publication (
    segmentation text NOT NULL REFERENCES {private}.segmentation,
    publication integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('run', 'score', 'publish', 'rollback')),
    version_id integer NOT NULL,
    published_at timestamptz NOT NULL,
    run_id bigint NOT NULL REFERENCES {private}.run,
    forced boolean NOT NULL DEFAULT false,
    reason text,
    begins_history boolean NOT NULL DEFAULT false,
    PRIMARY KEY (segmentation, publication),
    FOREIGN KEY (segmentation, version_id) REFERENCES {private}.version
);
COMMENT ON TABLE {private}.publication IS 'Every move of the pointer, counted from 1 a segmentation.';
"""

VIEWS = """
CREATE VIEW {public}.segmentation AS
SELECT
    s.segmentation,
    p.version_id,
    p.published_at,
    greatest(v.data_as_of, (
        SELECT max(r.started_at) FROM {private}.run AS r
        WHERE r.segmentation = s.segmentation AND r.version_id = p.version_id
            AND r.kind = 'score' AND r.status = 'succeeded'
    )) AS data_as_of,
    (
        SELECT max(r.finished_at) FROM {private}.run AS r
        WHERE r.segmentation = s.segmentation AND r.kind IN ('run', 'score') AND r.status = 'succeeded'
    ) AS last_success_at,
    (
        SELECT r.status FROM {private}.run AS r
        WHERE r.segmentation = s.segmentation AND r.kind IN ('run', 'score') ORDER BY r.run_id DESC LIMIT 1
    ) AS last_status,
    s.fit_due OR p.version_id IS NULL AS fit_due
FROM {private}.segmentation AS s
LEFT JOIN {private}.published AS p ON p.segmentation = s.segmentation
LEFT JOIN {private}.version AS v ON v.segmentation = p.segmentation AND v.version_id = p.version_id;
COMMENT ON VIEW {public}.segmentation IS 'segjob: what is published of each segmentation, and how fresh it is.';
COMMENT ON COLUMN {public}.segmentation.segmentation IS 'The name of the segmentation; its view has the same name.';
COMMENT ON COLUMN {public}.segmentation.version_id IS 'The published version; NULL before the first publication.';
COMMENT ON COLUMN {public}.segmentation.published_at IS 'Since when this version is published.';
COMMENT ON COLUMN {public}.segmentation.data_as_of IS
    'The time as of which the customers have their labels: of the snapshot of the fit, or when the last score began.';
COMMENT ON COLUMN {public}.segmentation.last_success_at IS 'When a run or score last succeeded.';
COMMENT ON COLUMN {public}.segmentation.last_status IS 'How the latest run or score stands or ended.';
COMMENT ON COLUMN {public}.segmentation.fit_due IS
    'True when a new fit is due: nothing is published yet, or the customers have drifted from those of the fit.';

CREATE VIEW {public}.version AS
SELECT
    segmentation, version_id, parent_version_id, run_id, status, created_at, published_at, data_as_of,
    n_customers, n_unlabelled, n_segments, inertia,
    silhouette, silhouette_low, silhouette_high, silhouette_method, silhouette_n_sampled,
    davies_bouldin, calinski_harabasz, label_churn, seed, config_hash
FROM {private}.version;
COMMENT ON VIEW {public}.version IS 'segjob: every version of every segmentation, with its scores.';
COMMENT ON COLUMN {public}.version.segmentation IS 'The name of the segmentation.';
COMMENT ON COLUMN {public}.version.version_id IS 'Counted from 1 within the segmentation.';
COMMENT ON COLUMN {public}.version.parent_version_id IS 'The version that was published when this one was fitted.';
COMMENT ON COLUMN {public}.version.run_id IS 'The run that made it.';
COMMENT ON COLUMN {public}.version.status IS 'staged, rejected, published, superseded or pruned.';
COMMENT ON COLUMN {public}.version.created_at IS 'When it was stored.';
COMMENT ON COLUMN {public}.version.published_at IS 'When it was last published; NULL if never.';
COMMENT ON COLUMN {public}.version.data_as_of IS 'The time of the snapshot under which the customers were read.';
COMMENT ON COLUMN {public}.version.n_customers IS 'Customers with a label, as fitted.';
COMMENT ON COLUMN {public}.version.n_unlabelled IS 'Customers of the source that could not be labelled.';
COMMENT ON COLUMN {public}.version.n_segments IS 'How many segments it has.';
COMMENT ON COLUMN {public}.version.inertia IS 'Sum of squared distances to the own centroid, in the clustered space.';
COMMENT ON COLUMN {public}.version.silhouette IS 'Mean silhouette, -1 to 1; NULL with one segment.';
COMMENT ON COLUMN {public}.version.silhouette_low IS
    'Lower end of its 95 % interval; the value itself when exact; NULL when no interval was computed.';
COMMENT ON COLUMN {public}.version.silhouette_high IS
    'Upper end of its 95 % interval; the value itself when exact; NULL when no interval was computed.';
COMMENT ON COLUMN {public}.version.silhouette_method IS 'Which silhouette it is; never compare across methods.';
COMMENT ON COLUMN {public}.version.silhouette_n_sampled IS 'On how many customers it was computed.';
COMMENT ON COLUMN {public}.version.davies_bouldin IS 'Davies-Bouldin index; lower is better; NULL with one segment.';
COMMENT ON COLUMN {public}.version.calinski_harabasz IS
    'Calinski-Harabasz index; higher is better; NULL with one segment.';
COMMENT ON COLUMN {public}.version.label_churn IS
    'Share of shared customers whose segment differs from the parent version; NULL when not measured.';
COMMENT ON COLUMN {public}.version.seed IS 'The seed of the fit.';
COMMENT ON COLUMN {public}.version.config_hash IS 'Equal for equal settings.';

CREATE VIEW {public}.run AS
SELECT
    run_id, segmentation, kind, status, started_at, finished_at, version_id, rows_read, rows_labelled,
    seconds, warnings, exit_code, error, program_version, config_hash, params
FROM {private}.run;
COMMENT ON VIEW {public}.run IS 'segjob: every execution of the job since it held its lock.';
COMMENT ON COLUMN {public}.run.run_id IS 'Counted over all segmentations.';
COMMENT ON COLUMN {public}.run.segmentation IS 'The name of the segmentation.';
COMMENT ON COLUMN {public}.run.kind IS 'run, score, choose_k, publish, rollback, prune or forget.';
COMMENT ON COLUMN {public}.run.status IS 'running, succeeded, rejected, failed, stopped or lost.';
COMMENT ON COLUMN {public}.run.started_at IS 'When it got the lock.';
COMMENT ON COLUMN {public}.run.finished_at IS 'When it ended; NULL while it runs.';
COMMENT ON COLUMN {public}.run.version_id IS 'The version it made or published; NULL if none.';
COMMENT ON COLUMN {public}.run.rows_read IS 'Customers read from the source.';
COMMENT ON COLUMN {public}.run.rows_labelled IS 'Customers that got a label.';
COMMENT ON COLUMN {public}.run.seconds IS 'Seconds by phase.';
COMMENT ON COLUMN {public}.run.warnings IS 'What a person should know, as a list of sentences.';
COMMENT ON COLUMN {public}.run.exit_code IS 'The exit code of the command.';
COMMENT ON COLUMN {public}.run.error IS 'Why it failed.';
COMMENT ON COLUMN {public}.run.program_version IS 'The release of segjob that ran.';
COMMENT ON COLUMN {public}.run.config_hash IS 'Equal for equal settings.';
COMMENT ON COLUMN {public}.run.params IS
    'The parameters bound into the query; of publish and rollback, what was asked for.';

CREATE VIEW {public}.publication AS
SELECT
    p.segmentation, p.publication, p.kind, p.version_id, p.published_at, p.run_id, p.forced, p.reason,
    p.publication >= (
        SELECT max(b.publication) FROM {private}.publication AS b
        WHERE b.segmentation = p.segmentation AND b.begins_history
    ) AS has_history
FROM {private}.publication AS p;
COMMENT ON VIEW {public}.publication IS 'segjob: every change of what analysts see.';
COMMENT ON COLUMN {public}.publication.segmentation IS 'The name of the segmentation.';
COMMENT ON COLUMN {public}.publication.publication IS 'Counted from 1 within the segmentation.';
COMMENT ON COLUMN {public}.publication.kind IS 'run, score, publish or rollback.';
COMMENT ON COLUMN {public}.publication.version_id IS 'The version that was published from then on.';
COMMENT ON COLUMN {public}.publication.published_at IS 'When it was.';
COMMENT ON COLUMN {public}.publication.run_id IS 'The run that did it.';
COMMENT ON COLUMN {public}.publication.forced IS 'True when it was published although a gate had refused it.';
COMMENT ON COLUMN {public}.publication.reason IS 'What was given as the reason.';
COMMENT ON COLUMN {public}.publication.has_history IS
    'True when it is known which segment each customer was in from then on.';

CREATE VIEW {public}.gate AS
SELECT segmentation, version_id, gate, value, warn, refuse, result FROM {private}.gate;
COMMENT ON VIEW {public}.gate IS 'segjob: what each gate measured of each version before anyone saw it.';
COMMENT ON COLUMN {public}.gate.segmentation IS 'The name of the segmentation.';
COMMENT ON COLUMN {public}.gate.version_id IS 'The version.';
COMMENT ON COLUMN {public}.gate.gate IS 'The gate, as the configuration calls it.';
COMMENT ON COLUMN {public}.gate.value IS 'What it measured; NULL when there was nothing to measure.';
COMMENT ON COLUMN {public}.gate.warn IS 'Where it warns; NULL if nowhere.';
COMMENT ON COLUMN {public}.gate.refuse IS 'Where it refuses; NULL if nowhere.';
COMMENT ON COLUMN {public}.gate.result IS 'passed, warned, refused, or skipped where there was nothing to measure.';

CREATE VIEW {public}.transition AS
SELECT
    segmentation, from_version_id, to_version_id, from_segment_id, to_segment_id, n_customers,
    n_features_moved, n_model_moved
FROM {private}.transition;
COMMENT ON VIEW {public}.transition IS
    'segjob: how many customers went from which segment to which, from version to version.';
COMMENT ON COLUMN {public}.transition.segmentation IS 'The name of the segmentation.';
COMMENT ON COLUMN {public}.transition.from_version_id IS 'The version before.';
COMMENT ON COLUMN {public}.transition.to_version_id IS 'The version after.';
COMMENT ON COLUMN {public}.transition.from_segment_id IS
    'Their segment in the version before; NULL for those who had none there.';
COMMENT ON COLUMN {public}.transition.to_segment_id IS
    'Their segment in the version after; NULL for those who have none there.';
COMMENT ON COLUMN {public}.transition.n_customers IS 'How many customers.';
COMMENT ON COLUMN {public}.transition.n_features_moved IS
    'How many of them the model before gives another segment today, for their features changed; NULL if not known.';
COMMENT ON COLUMN {public}.transition.n_model_moved IS
    'How many of them the two models see differently today; NULL if not known.';

CREATE VIEW {public}.k_candidate AS
SELECT
    segmentation, run_id, n_clusters, inertia,
    silhouette, silhouette_low, silhouette_high, silhouette_method, silhouette_n_sampled,
    davies_bouldin, calinski_harabasz, smallest_share, stability, suggested
FROM {private}.k_candidate;
COMMENT ON VIEW {public}.k_candidate IS
    'segjob: the numbers of segments that were tried by choose-k, or by a run that chose.';
COMMENT ON COLUMN {public}.k_candidate.segmentation IS 'The name of the segmentation.';
COMMENT ON COLUMN {public}.k_candidate.run_id IS 'The run that tried them.';
COMMENT ON COLUMN {public}.k_candidate.n_clusters IS 'The number of segments.';
COMMENT ON COLUMN {public}.k_candidate.inertia IS
    'Sum of squared distances of all customers to the own centroid, in the clustered space.';
COMMENT ON COLUMN {public}.k_candidate.silhouette IS 'Mean silhouette, -1 to 1.';
COMMENT ON COLUMN {public}.k_candidate.silhouette_low IS 'Lower end of its 95 % interval; the value itself if exact.';
COMMENT ON COLUMN {public}.k_candidate.silhouette_high IS 'Upper end of its 95 % interval; the value itself if exact.';
COMMENT ON COLUMN {public}.k_candidate.silhouette_method IS 'Which silhouette it is; never compare across methods.';
COMMENT ON COLUMN {public}.k_candidate.silhouette_n_sampled IS 'On how many customers it was computed.';
COMMENT ON COLUMN {public}.k_candidate.davies_bouldin IS 'Davies-Bouldin index; lower is better.';
COMMENT ON COLUMN {public}.k_candidate.calinski_harabasz IS 'Calinski-Harabasz index; higher is better.';
COMMENT ON COLUMN {public}.k_candidate.smallest_share IS 'Share of the customers that is in the smallest segment.';
COMMENT ON COLUMN {public}.k_candidate.stability IS
    'Agreement with the segments of bootstrap samples (adjusted Rand index): 1 is the same, 0 is chance.';
COMMENT ON COLUMN {public}.k_candidate.suggested IS
    'True for the number that the scores speak for; for none of a run when no number is clear.';
"""

DROP = """
DROP VIEW {public}.k_candidate;
DROP VIEW {public}.transition;
DROP VIEW {public}.gate;
DROP VIEW {public}.publication;
DROP VIEW {public}.run;
DROP VIEW {public}.version;
DROP VIEW {public}.segmentation;
DROP TABLE {private}.publication;
DROP TABLE {private}.published;
DROP TABLE {private}.model;
DROP TABLE {private}.sample_row;
DROP TABLE {private}.centroid;
DROP TABLE {private}.feature_profile;
DROP TABLE {private}.transition;
DROP TABLE {private}.gate;
DROP TABLE {private}.k_candidate;
DROP TABLE {private}.segment;
DROP TABLE {private}.version;
DROP TABLE {private}.run;
DROP TABLE {private}.segmentation;
"""


def execute(script: str) -> None:
    """Run the statements of a script one by one, with the configured schemas, quoted."""
    context = op.get_context()
    quote = context.dialect.identifier_preparer.quote
    schemas = {"private": quote(context.opts["private"]), "public": quote(context.opts["public"])}
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(text(statement.strip().format(**schemas).replace(":", "\\:")))


def upgrade() -> None:
    execute(TABLES)
    execute(VIEWS)


def downgrade() -> None:
    execute(DROP)
