"""Features and a label that the config declares: `[features]` and `kind` under `[label]`.

`checking` compares them with the data's columns, without TensorFlow. `preprocessing` makes of them
what a `preprocessing_fn` would be. A kind of feature is a table of options in
`mfx.config.features` and a row in `kinds`.
"""
