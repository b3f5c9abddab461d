"""Side by side with others: what the gateway costs, against proxies that do less.

``python -m benchmarks relay|memory|unary|storm|churn|slow`` runs one scenario on the gateway and
its peers, on the same stub core and the same load generator, and writes
``benchmarks/results/<scenario>.json``; ``python -m benchmarks check`` checks whether those results
still belong to the code beside them. See ``docs/benchmarks.md``.
"""
