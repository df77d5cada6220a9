"""Tree ensembles: read from an estimator's own arrays, run by several engines."""
