"""What is known before a model: polars frames in, one matrix out. No files, no network, no clock, no model library.

Start with `matrix`, the one builder. Packages: `tables` (what comes in), `pos` and `mapping_guess` (exports of tills),
`signals` (covariates), `history` (demand as known at an origin), `cold_start`, `quality`, `simulator`.
"""
