"""Numbers stated in the paper (``numbers.csv``), and the same quantities measured by a study.

``numbers.csv`` holds facts of Chen et al., npj Digital Medicine 8:753 (2025), doi
10.1038/s41746-025-02087-y. ``relation`` says how a number is stated: ``=``, a bound, a ``P`` value
or a ``count``. ``stated`` keeps the paper's digits, trailing zeros included, since they show how
the number was rounded. ``quantity`` is an expression of `reports.paper.quantities`.
"""
