"""What people configure: settings, recipes, policies, portfolio, governance.

Start with `settings`; `toml_files` reads every TOML file, `home_access` checks that a home can be used.
"""
