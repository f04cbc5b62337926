"""The embedded stack: everything Holdfast needs, as one process tree on one machine.

``places`` knows the data folder, ``postgres`` and ``temporal`` get and start the two
servers (``temporal_choice``: Temporal's dev server, or one on PostgreSQL),
``supervisor`` keeps every process alive, ``control`` and ``driver`` let tests,
benchmarks and the demo steer a running stack. The product is started as processes
only; nothing here imports it.
"""
