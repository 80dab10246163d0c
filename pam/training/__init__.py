"""Training of both networks: recipes, generated or prepared cases, tasks, the loop.

`docs/training.md` tells how to use it. Importing the package loads no torch.
"""
