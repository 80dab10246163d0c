"""Checks of the input tables of the analyses; each raises a `UserError` that names the table."""

from collections.abc import Iterable, Sequence
from math import inf, isfinite

import numpy as np
import pandas as pd

from benchmark.errors import UserError, unknown_name
from benchmark.storage.tables import records


def require_columns(table: pd.DataFrame, columns: Iterable[str], origin: str) -> None:
    """Raise a `UserError` that names the first of ``columns`` that ``table`` lacks."""
    for name in columns:
        if name not in table:
            raise UserError(
                f"{origin} lacks the column {name!r}. "
                + unknown_name("column", name, map(str, table.columns)).partition(". ")[2]
            )


def require_filled(table: pd.DataFrame, columns: Iterable[str], origin: str) -> None:
    """Raise a `UserError` if a row of ``table`` has an empty field in one of ``columns``."""
    for name in columns:
        empty = (table[name].isna() | (table[name] == "")).to_numpy()
        if empty.any():
            raise UserError(
                f"{origin}: the column {name!r} is empty in row {np.argmax(empty) + 1}. "
                f"Rows without it: {empty.sum()}."
            )


def require_one(
    table: pd.DataFrame, key: Sequence[str], columns: Iterable[str], origin: str
) -> None:
    """Raise a `UserError` if rows with the same ``key`` differ in one of ``columns``."""
    for name in columns:
        pairs = table[[*key, name]].drop_duplicates()
        twice = pairs[pairs.duplicated(list(key), keep=False)]
        if len(twice):
            row = records(twice.head(1))[0]
            same = twice[(twice[list(key)] == [row[k] for k in key]).all(axis=1)]
            values = ", ".join(sorted(map(str, same[name])))
            raise UserError(
                f"{origin}: {' '.join(f'{k} {row[k]}' for k in key)} has more than one {name} "
                f"({values}). Each {key[-1]} has one: give the parts names of their own."
            )


def require_unique(table: pd.DataFrame, key: Sequence[str], origin: str) -> None:
    """Raise a `UserError` if two rows of ``table`` have the same ``key``."""
    twice = table.duplicated(list(key))
    if twice.any():
        row = records(table[twice].head(1)[list(key)])[0]
        named = ", ".join(f"{k} {v}" for k, v in row.items() if not pd.isna(v) and v != "")
        raise UserError(
            f"{origin} has {int(twice.sum())} rows whose key occurs before, such as: {named}. "
            f"Rows must be unique by {', '.join(key)}. Likely two tables were joined, "
            "or the column that tells them apart is missing."
        )


def require_method(table: pd.DataFrame, name: str, where: str) -> None:
    """Raise a `UserError` if ``table`` has no row of the method ``name``."""
    if name not in set(table["method"]):
        raise UserError(f"{where}: " + unknown_name("method", name, table["method"].unique()))


def numbers(table: pd.DataFrame, name: str, origin: str) -> "pd.Series[float]":
    """Return the column ``name`` as numbers; "NA", "NaN" and "nan" are missing, as from R or numpy.

    Raise a `UserError` if it contains anything else that is not a number.
    """
    given = table[name].where(~table[name].isin(["NA", "NaN", "nan"]))
    found = pd.to_numeric(given, errors="coerce").astype(float)
    if unread := [*np.flatnonzero(given.notna() & found.isna())]:
        raise UserError(
            f"{origin}: the column {name!r} is not numeric: it is {given.iloc[unread[0]]!r} in row "
            f"{unread[0] + 1}."
        )
    return found


def require_range(table: pd.DataFrame, name: str, limits: tuple[float, float], origin: str) -> None:
    """Raise a `UserError` if a number in the column ``name`` is infinite or beyond ``limits``.

    ``limits`` allow for rounding, and are ignored where they are infinite.
    """
    values = table[name].to_numpy(dtype=np.float64)
    infinite, outside = np.isinf(values), ~np.isnan(values)
    outside &= (values < limits[0] - 1e-6) | (values > limits[1] + 1e-6)
    if not (infinite | outside).any():
        return
    row = int(np.argmax(infinite | outside))
    if infinite[row]:
        advice = "Leave the field empty, or write a number that stands for it."
    elif isfinite(limits[1]):
        advice = f"It lies between {limits[0]:g} and {limits[1]:g}."
    else:
        advice = f"It is at least {limits[0]:g}."
    raise UserError(f"{origin}: the column {name!r} is {values[row]:g} in row {row + 1}. {advice}")


def measured(table: pd.DataFrame, columns: Iterable[str], origin: str) -> pd.DataFrame:
    """Return ``table`` with ``columns`` as numbers, which must be finite and not negative."""
    columns = list(columns)
    table = table.assign(**{name: numbers(table, name, origin) for name in columns})
    for name in columns:
        require_range(table, name, (0.0, inf), origin)
    return table
