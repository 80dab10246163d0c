"""Training of both networks: recipes, generated or prepared cases, tasks, the loop.

See `docs/training.md` for its use. Importing the package loads no torch.
"""
