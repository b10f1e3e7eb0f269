"""daypart: hourly, store-level demand forecasts, with what it takes to run them.

`daypart.features` is what is known before a model, `daypart.forecasting` what a model makes of it, `daypart.flows`
everything that touches the world. Start with `daypart.flows.jobs`. The three are links to the folders of the same name.
"""
