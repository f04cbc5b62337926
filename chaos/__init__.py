"""`make chaos`: many buyers, many mishaps, drawn from a seed; and what must still hold.

`plan` draws what will happen, `shoppers` and `mishaps` make it happen in a running
stack, `evidence` counts afterwards, each thing where it really is, and `audit` holds
the evidence against the promises.
"""
