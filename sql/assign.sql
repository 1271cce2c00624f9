-- The model as functions of one segmentation, put together by segjob/postgres/assign.py from the pieces below.
-- Constants, categories and centres are data of the version that is published: publishing never touches a function.
-- {j} is the place of a numeric feature among the numeric ones by name, {x} its variable; {c} and {k} those of a one-hot
-- feature: its category, and the column of the model that it stands for.

-- name: create_assign
-- SECURITY DEFINER, for it reads the private schema in the name of analysts who may not.
CREATE OR REPLACE FUNCTION {function} ({parameters}) RETURNS {result}
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS {body};
REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
COMMENT ON FUNCTION {signature} IS {comment}

-- name: grant_assign
GRANT EXECUTE ON FUNCTION {signature} TO {role}

-- name: drop_assign
DROP FUNCTION {signature}

-- name: assign_body
-- Values to coordinates on the grid, then the nearest centre; ties go to the lowest segment_id, which comes first.
-- What decides is the squared distance less the customer's own square. All products are whole numbers under 2**53.
DECLARE
    {variables}
    score double precision;
    best double precision := 'Infinity';
    nearest integer;
BEGIN
    SELECT {selected}
    INTO {into}
    FROM {private}.published AS p
    JOIN {private}.model AS m ON m.segmentation = p.segmentation AND m.version_id = p.version_id
    WHERE p.segmentation = {name} AND m.features = {features};
    IF segment_ids IS NULL THEN
        RETURN NULL;
    END IF;
    {coordinates}
    FOR i IN 1 .. array_length(segment_ids, 1) LOOP
        score := squares[i]{terms};
        IF score < best THEN
            best := score;
            nearest := i;
        END IF;
    END LOOP;
    RETURN {answer};
END

-- name: impute
-- NULL, NaN, the infinities and what is not above -1 under log1p are missing; NaN stands for "can not be imputed".
-- `low` and `high` clip, and end where the edge of the grid is surely reached, so that nothing overflows.
{x} := CASE WHEN {given} > above[{j}] AND {given} < 'Infinity' THEN LEAST(GREATEST({given}, low[{j}]), high[{j}]) ELSE imputed[{j}] END;

-- name: leave_out
IF {lacking} THEN
        RETURN NULL;
    END IF;

-- name: number_to_grid
-- What is `negligible` changes no coordinate, and to divide it could underflow, which Postgres takes for an error.
{x} := CASE WHEN logarithmic[{j}] AND 1 + {x} <> 1 THEN ln(1 + {x}) * ({x} / (1 + {x} - 1)) ELSE {x} END - center[{j}];
    {x} := CASE WHEN abs({x}) > negligible[{j}] THEN {x} / scale[{j}] * weight[{j}] ELSE 0 END - origin[{j}];
    {x} := CASE WHEN abs({x}) > unit / 4 THEN LEAST(GREATEST(round({x} / unit), -1048576), 1048576) ELSE 0 END;

-- name: category_to_column
-- A feature's categories lie side by side, `other` last; what is not found, or found behind them, is `other`.
{k} := LEAST(array_position(categories, {c}, first_column[{j}]), last_column[{j}]);

-- name: number_from_json
number := CASE WHEN jsonb_typeof($1 -> {key}) = 'number' THEN ($1 -> {key})::numeric END;
    {x} := {expression};

-- name: boolean_from_json
{x} := CASE $1 -> {key} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END;

-- name: day_from_json
-- Days since 1970-01-01 of any year, by a year of the same 400 in which the calendar repeats; no such day is missing.
parts := regexp_match($1 ->> {key}, {pattern});
    {x} := NULL;
    IF parts IS NOT NULL THEN
        year := CASE WHEN parts[11] IS NULL THEN parts[1]::integer ELSE 1 - parts[1]::integer END;
        month_start := make_date(2000 + year - 400 * floor(year / 400.0)::integer, parts[2]::integer, 1);
        IF date_part('month', month_start + parts[3]::integer - 1) = parts[2]::integer THEN
            day := month_start + parts[3]::integer - DATE '1970-01-02' + 146097 * (floor(year / 400.0)::bigint - 5);
            {x} := day;
            {time}
        END IF;
    END IF;

-- name: time_from_json
-- As date_part does it: whole microseconds, then float8.
IF parts[4] IS NOT NULL THEN
                {x} := (
                    1000000 * (
                        86400 * day + 3600 * parts[4]::integer + 60 * parts[5]::integer + parts[6]::numeric
                        - coalesce((parts[7] || '1')::integer * (
                            3600 * parts[8]::integer + 60 * coalesce(parts[9], '0')::integer
                            + coalesce(parts[10], '0')::integer
                        ), 0)
                    )
                )::double precision / 1000000 / 86400;
            END IF;

-- name: category_from_json
{c} := CASE WHEN jsonb_typeof($1 -> {key}) = {json_type} THEN {text} END;

-- name: base_types
-- What each type is below its domains, by its place; one that this database does not have is left out.
WITH RECURSIVE base AS (
    SELECT f.place, pg_catalog.to_regtype(f.name)::oid AS type
    FROM unnest(CAST(:types AS text[])) WITH ORDINALITY AS f (name, place)
    UNION ALL
    SELECT b.place, t.typbasetype
    FROM base AS b
    JOIN pg_catalog.pg_type AS t ON t.oid = b.type
    WHERE t.typtype = 'd'
)
SELECT b.place, pg_catalog.format_type(t.oid, NULL) AS name
FROM base AS b
JOIN pg_catalog.pg_type AS t ON t.oid = b.type
WHERE t.typtype <> 'd'

-- name: functions_called
-- The functions of a name: all, or those whose parameters are features and would change with them.
SELECT p.oid::pg_catalog.regprocedure::text AS signature
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = :schema AND p.proname = :name
    AND (:whole OR pg_catalog.pg_get_function_identity_arguments(p.oid) <> 'jsonb')

-- name: dependents_of_functions
-- What of others a DROP of these functions would have to take along: views, rules, triggers, defaults and the like.
SELECT DISTINCT coalesce(
    (
        SELECT pg_catalog.format('%I.%I', n.nspname, v.relname)
        FROM pg_catalog.pg_rewrite AS w
        JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class
        JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
        WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
    ),
    pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
) AS dependent
FROM pg_catalog.pg_depend AS d
WHERE
    d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND d.deptype = 'n'
    AND d.refobjid = ANY (
        SELECT p.oid
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = :schema AND p.proname = :name
            AND (:whole OR pg_catalog.pg_get_function_identity_arguments(p.oid) <> 'jsonb')
    )
ORDER BY 1
