"""Pictures of everything that a customer can be shown; see `gallery/__main__.py`.

For people who look; the product imports nothing of it.
"""
