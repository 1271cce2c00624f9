"""The mathematics: pure numpy and torch, no database, no clock, no environment, no global random state.

The flow, from the raw chunks of a snapshot to what a version stores. `specs` are the configured features, `families`
how their columns are read; a `Population` comes from the engine. Only the steps marked * import torch, so that
reading can begin while torch still loads; this module imports nothing.

1. While reading, for every `chunk: Chunk`::

       included, excluded_feature = features.split_excluded(specs, chunk)   # (n,) bool; a name an excluded row
       kept = features.select_rows(chunk, included)
       survey = survey.merge(survey_chunk(specs, kept))                     # survey.survey_chunk, Survey.merge
       survey = survey.settle()                                             # once, at the end; the first pass below
                                                                            #    needs all but the sample

2. The constants of the features, in one or two passes over the raw population::

       source = plan.first_pass(specs, survey, population)                  # -> SourcePass: moments, counts
       planned = plan.plan_features(specs, families, survey, source, population)  # -> FeaturePlan: columns, unit,
                                                                                  #    grid_exponent, warnings
3. The prepared population, and the sample beside it::

       matrix = planned.prepare(chunk)                                       # (n, d) float32 whole numbers
       sample = survey.sample.rows                                          # -> SampleRows, in the order of the hashes
       sample_matrix = planned.prepare(sample)                               # (s, d) float32

4. * The centres::

       fitted = kmeans.fit(sample_matrix, prepared, n_clusters, seed=seed, unit=planned.unit, device="auto")
       # -> Fit: centers (k, d) int64 largest first, inertia, counts, tally, stages, n_minibatches, n_full_passes,
       #    warnings

   With a version before, `parent = warm.warm_centers(model, planned)` (None where they do not fit together) goes to
   `fit(..., parent=parent)`; the result then says `warm_start`, and `parents` which centre came from which.

5. * Labels with frozen centres, and the segments summed up, for every chunk and its matrix::

       label_pass = labels.LabelPass(planned, fitted.tally, segment_ids=(1, ..., k), device="auto")
       labels, summary, squared = label_pass(chunk, matrix)                 # -> records.Labels, SegmentSummary,
       summary = summary.merge(...)                                         #    counts, total_inertia, ...
       squared = squared.merge(...)                                         #    SquaredTotals: the silhouettes with
                                                                            #    squared distances, spreads (k,)

6. * Scores; the inertia of the version is `summary.total_inertia * planned.unit ** 2`::

       scored = silhouette.silhouette(sample_matrix, fitted.centers, summary.counts, device="auto")
       # -> Silhouette: overall Score, segments (a Score each), rows, values, index (s,) of the sample
       scores.davies_bouldin(summary, fitted.centers, squared.spreads)
       scores.calinski_harabasz(summary, fitted.centers)

7. What the segments are like::

       medians = profile.segment_medians(planned.columns, sample, scored.index, k)
       profile.centroids(planned.columns, planned.unit, fitted.centers, segment_ids, summary, medians)
       profile.sample_rows(planned.columns, planned.unit, sample, sample_matrix, segment_ids, scored)

A stored `Model` labels other customers through `features.grid_matrix(model.columns, model.grid_exponent, numbers,
categories, clamp=True)` and * `labels.label(model.centers, matrix, model.unit, model.segment_ids, device)`;
`features.specs_of(model.columns)` with `split_excluded` tells who can not be labelled.
"""
