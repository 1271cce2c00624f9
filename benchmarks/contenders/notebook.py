"""What a notebook does: pandas, scikit-learn, pandas again."""

from __future__ import annotations

import pandas
from sklearn.cluster import MiniBatchKMeans
from sklearn.preprocessing import StandardScaler
from sqlalchemy import Engine, create_engine, text

from benchmarks.contenders.program import Phases, Wanted, nearest_two, wanted

READ_ROWS = 100_000
WRITE_ROWS = 10_000


def main() -> None:
    asked, phases = wanted(), Phases()
    engine = create_engine(asked.url.replace("postgresql:", "postgresql+psycopg:", 1))
    with phases("read"):
        customers = read(engine, asked)
    with phases("fit"):
        features = customers[asked.feature_names]
        scaled = StandardScaler().fit_transform(features.fillna(features.median()))
        model = MiniBatchKMeans(asked.n_clusters, random_state=0).fit(scaled)
    with phases("label"):
        labels = pandas.DataFrame({"customer_id": customers["customer_id"], "version_id": 1})
        labels = labels.assign(**vars(nearest_two(model.transform(scaled))))
    schema, name = asked.labels.split(".")
    with phases("write"):
        labels.to_sql(name, engine, schema=schema, index=False, chunksize=WRITE_ROWS, method=asked.to_sql_method)
    with phases("key"), engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {asked.labels} ADD PRIMARY KEY (version_id, customer_id)"))
    with phases("analyze"), engine.begin() as connection:
        connection.execute(text(f"ANALYZE {asked.labels}"))
    phases.print()


def read(engine: Engine, asked: Wanted) -> pandas.DataFrame:
    statement = f"SELECT customer_id, {', '.join(asked.feature_names)} FROM {asked.customers}"
    return pandas.concat(pandas.read_sql(statement, engine, chunksize=READ_ROWS), ignore_index=True)


if __name__ == "__main__":
    main()
