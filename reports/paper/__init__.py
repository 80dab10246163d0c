"""What the paper states (``numbers.csv``), and the same numbers as a study measured them.

``numbers.csv``: facts of Chen et al., npj Digital Medicine 8:753 (2025), doi
10.1038/s41746-025-02087-y. ``relation`` is how the number is stated: ``=``, a bound, a ``P`` value,
or a ``count``. ``stated`` has the digits of the paper, zeros at its end too: they tell how it is
rounded. ``quantity`` names what it is of, in the words of `reports.paper.quantities`.
"""
