"""A payment processor for one machine that speaks Stripe's API.

The official Stripe SDK talks to it by base address. It keeps its own storage (one
SQLite file), has its own clock, logs every request, and can be told to misbehave.

A request's way through the modules:

    server -> api (auth, idempotency, faults) -> routes -> intents, refunds, ...
                                                   |-> storage, events
    server -> control (/sandbox/*), pages (/, /bank/*, /requests)
              control -> outside (payments that no shop asked for)
    events -> webhooks (signed delivery);  timers -> intents, refunds (later results)
"""
