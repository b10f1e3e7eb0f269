"""Why a forecast is what it is, and what a model is good for.

Start with `contributions` (exact, additive), then `explanation` and `sentences`; `model_card` describes a version.
"""
