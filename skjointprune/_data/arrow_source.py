"""`ArrowSource`: the files of a `pyarrow.dataset.Dataset`."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._utils.optional import import_optional
from .sources import ROWS_OF_A_BLOCK, Block, LevelCodes, Source, Y

TYPES_OF_CATEGORIES = ("dictionary", "string", "large_string")
BYTES_AT_ONCE = 2**26  # of pieces that are read in turn
MOST_PIECES_AT_ONCE = 16


def is_arrow_dataset(X: Any) -> bool:
    """Tell whether X is a dataset of Arrow, which is imported already if so."""
    arrow = sys.modules.get("pyarrow.dataset")
    return arrow is not None and isinstance(X, arrow.Dataset)


class ArrowSource(Source):
    """A dataset of Parquet, Arrow or CSV files, in folders or not.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
    y, weight : str, list of str, or None
        Columns of the dataset. None are no targets: all columns are inputs.
    """

    def __init__(self, dataset: Any, y: Any, weight: Any):
        import_optional("pandas", "A pyarrow Dataset", '"skjointprune[arrow]"')
        self.dataset = dataset
        fields = dataset.schema.names
        self.targets = check_column(y, fields, "y", several=True)
        self.weights = check_column(weight, fields, "sample_weight", several=False)
        taken = {*self.targets, *self.weights}
        self.names: list[str] = [name for name in fields if name not in taken]
        if not self.names:
            raise ValueError(
                f"X must have a column beside those of y. Got the columns {fields}; "
                "add some."
            )
        self.n_columns = len(self.names)
        self.shape_of_y = () if isinstance(y, str) else (len(self.targets),)
        types = [str(dataset.schema.field(name).type) for name in self.names]
        self.categories = tuple(
            i for i, kind in enumerate(types) if kind.startswith(TYPES_OF_CATEGORIES)
        )
        small = {"float", "halffloat", "int8", "uint8", "int16", "uint16", "bool"}
        self.dtype = np.float32 if set(types) <= small else np.float64
        self.pieces = list(_pieces(dataset))
        self.lengths = np.array([piece.n_rows for piece in self.pieces], dtype=int)

    @property
    def pieces_at_once(self) -> int:
        """How many pieces to read in turn; a part of each is in memory."""
        largest = max(piece.n_bytes for piece in self.pieces)
        return min(max(BYTES_AT_ONCE // largest, 1), MOST_PIECES_AT_ONCE)

    def blocks(
        self, piece: int, columns: Sequence[int], codes: LevelCodes
    ) -> Iterator[Block]:
        """Read a piece; no more of a Parquet file than these columns."""
        read = [self.names[i] for i in columns]
        for batch in self.batches(piece, [*read, *self.targets, *self.weights]):
            n = batch.num_rows
            X = np.empty((n, len(columns)), dtype=self._dtype(columns, codes))
            for i, position in enumerate(columns):
                X[:, i] = _column(batch.column(i), position, read[i], codes)
            y = np.empty((n, len(self.targets)))
            for i, name in enumerate(self.targets):
                y[:, i] = _column(batch.column(len(read) + i), Y, name, codes)
            weight = np.ones(n)
            if self.weights:
                last = batch.column(batch.num_columns - 1)
                weight = _numbers(last, self.weights[0], "name another column")
            yield Block(X, y, weight.astype(np.float64, copy=False))

    def _dtype(self, columns: Sequence[int], codes: LevelCodes) -> type:
        return np.float64 if any(i in codes for i in columns) else self.dtype

    def batches(self, piece: int, names: Sequence[str]) -> Iterator[Any]:
        """Yield record batches of a piece, with columns of these names in order."""
        return self.pieces[piece].batches(self.dataset.schema, list(names))

    def frames(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield all rows in order, some at a time, as frames of pandas."""
        for piece in range(len(self.pieces)):
            for batch in self.batches(piece, names):
                yield batch.to_pandas()

    def head(self, n: int) -> Any:
        """Return the first rows, as a frame of pandas.

        The dataset would read ahead for it, which takes as much memory as all else.
        """
        import pyarrow as pa

        found: list[Any] = []
        for piece in range(len(self.pieces)):
            for batch in self.batches(piece, self.names):
                found.append(batch)
                if sum(batch.num_rows for batch in found) >= n:
                    return pa.Table.from_batches(found).slice(0, n).to_pandas()
        return pa.Table.from_batches(found).to_pandas()

    def whole(self) -> tuple[Any, Any, Any]:
        """Return frames of pandas."""
        names = [*self.names, *self.targets, *self.weights]
        table = self.dataset.to_table(columns=names).to_pandas()
        y = table[self.targets] if self.shape_of_y else table[self.targets[0]]
        weight = table[self.weights[0]].to_numpy() if self.weights else None
        return table[self.names], y, weight


def check_column(given: Any, fields: list[str], what: str, several: bool) -> list[str]:
    """Return the names of columns; none where None is given.

    Raises
    ------
    ValueError
        If the dataset has no such column.
    """
    if given is None:
        return []
    names = list(given) if several and isinstance(given, list | tuple) else [given]
    wrong = [n for n in names if not isinstance(n, str) or n not in fields]
    if wrong or not names:
        named = wrong and isinstance(wrong[0], str)
        shown = repr(wrong[0]) if named else f"a {type(given).__name__}"
        raise ValueError(
            f"With a pyarrow Dataset, `{what}` must be the name of a column. Got "
            f"{shown}; choose from {fields}."
        )
    if len({*names}) < len(names):
        raise ValueError(
            f"`{what}` must name each column once. Got {names}; leave one out."
        )
    return names


class _RowGroup:
    """A row group of a Parquet file.

    It is read by the thread that asks for it, without Arrow's own threads.
    """

    def __init__(self, fragment: Any, group: Any):
        self.fragment, self.number = fragment, group.id
        self.n_rows, self.n_bytes = group.num_rows, max(group.total_byte_size, 1)

    def batches(self, schema: Any, names: list[str]) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import dataset, parquet

        of_folder = dataset.get_partition_keys(self.fragment.partition_expression)
        in_file = set(self.fragment.metadata.schema.to_arrow_schema().names)
        read = [name for name in names if name in in_file and name not in of_folder]
        with self.fragment.open() as stream:
            file = parquet.ParquetFile(stream, metadata=self.fragment.metadata)
            for batch in file.iter_batches(
                ROWS_OF_A_BLOCK,
                row_groups=[self.number],
                # without a column it would not be known how many rows there are
                columns=read or [next(iter(in_file))],
                use_threads=False,
            ):
                columns = [
                    batch.column(name)
                    if name in read
                    else pa.repeat(
                        pa.scalar(of_folder.get(name), _plain(schema.field(name).type)),
                        batch.num_rows,
                    )
                    for name in names
                ]
                yield pa.RecordBatch.from_arrays(columns, names)


class _File:
    """A file that can be read from its start only."""

    n_bytes = 2**23  # what is read ahead of it

    def __init__(self, fragment: Any):
        self.fragment, self.n_rows = fragment, fragment.count_rows()

    def batches(self, schema: Any, names: list[str]) -> Iterator[Any]:
        yield from self.fragment.to_batches(
            schema,
            columns=names,
            batch_size=ROWS_OF_A_BLOCK,
            batch_readahead=2,
            use_threads=False,
        )


def _pieces(dataset: Any) -> Iterator[Any]:
    try:
        fragments = list(dataset.get_fragments())
    except ValueError as error:
        raise ValueError(
            "X must be a Dataset of files. Got one that is filtered, whose files "
            "cannot be asked for; write what is left to files, by "
            "pyarrow.dataset.write_dataset."
        ) from error
    for fragment in fragments:
        if hasattr(fragment, "row_groups"):
            for group in fragment.row_groups:
                yield _RowGroup(fragment, group)
        else:
            yield _File(fragment)


def _plain(kind: Any) -> Any:
    """Return the type of the values of a type, which may be a dictionary."""
    return getattr(kind, "value_type", kind)


def _column(column: Any, position: int, name: str, codes: LevelCodes) -> np.ndarray:
    """Return numbers, or codes of levels; NaN where a value is missing."""
    if position not in codes:
        if position == Y:
            return _numbers(column, name, "use a JointPruneClassifier")
        return _numbers(column, name, "name it in `categorical_features`")
    if not str(column.type).startswith("dictionary"):
        column = column.dictionary_encode()
    indices = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes.encode(position, column.dictionary.to_pylist(), indices)


def _numbers(column: Any, name: str, remedy: str) -> np.ndarray:
    kind = str(column.type)
    if kind.startswith("dictionary"):
        column = column.dictionary_decode()
        kind = str(column.type)
    if kind == "bool":
        column = column.cast("int8")
    elif kind == "null" or kind.startswith("decimal"):
        column = column.cast("float64")
    elif not kind.startswith(("int", "uint", "float", "double", "halffloat")):
        raise ValueError(
            f"The column {name!r} holds no numbers. Got {kind}; make numbers of it, or "
            f"{remedy}."
        )
    return column.to_numpy(zero_copy_only=False)
