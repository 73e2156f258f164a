import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from skjointprune._data.prepare import scale_parts
from skjointprune._data.sparse_table import (
    SparseTable,
    batch_size_of,
    scaling_of_sparse,
)
from skjointprune._data.tables import Table
from skjointprune._pruning.gates import InputGates

N, D = 40, 30


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return rng.normal(2, 1, (N, D)) * (rng.random((N, D)) < 0.1)


@pytest.fixture
def pair(X):
    """The same rows, standardised: stored sparse, and dense."""
    weight = np.linspace(1, 2, N)
    scaling = scaling_of_sparse(csr_matrix(X), weight)
    _, parts = scale_parts(X, {"train": np.ones(N, dtype=bool)}, weight, True)
    y, w = torch.arange(N), torch.from_numpy(weight).float()
    sparse = SparseTable(csr_matrix(X.astype(np.float32)), y, w, scaling)
    return sparse, Table(torch.from_numpy(parts["train"].astype(np.float32)), y, w)


def assert_same_rows(sparse, dense):
    for rows in (np.array([3, 1, 8]), slice(2, 9), slice(None)):
        (A, a), (B, b) = sparse[rows], dense[rows]
        torch.testing.assert_close(A, B, rtol=1e-5, atol=1e-5)
        assert all(torch.equal(*both) for both in zip(a, b, strict=True))


def test_batches_are_those_of_a_dense_table(pair):
    sparse, dense = pair
    assert len(sparse) == N
    assert_same_rows(sparse, dense)
    ((X, (y, _)),) = sparse.batches([np.array([5, 2])])
    assert X.shape == (2, D) and y.tolist() == [5, 2]


def test_columns_go_as_those_of_a_dense_table(pair):
    sparse, dense = pair
    for kept in (torch.arange(0, D, 2), torch.arange(9), torch.tensor([1, 5])):
        for rows in pair:
            rows.keep_inputs(kept)
        assert_same_rows(sparse, dense)


def test_memory_never_grows(pair):
    sparse, _ = pair
    before = sparse.X.data.nbytes + sparse.X.indices.nbytes + sparse.X.indptr.nbytes
    assert before < N * D * 4
    sparse.keep_inputs(torch.arange(2))
    assert sparse._dense is not None  # now that it is small
    assert sparse._dense.X.numel() * 4 <= before
    assert len(sparse) == N


def test_shadows_hold_the_numbers_of_their_columns_in_another_order(pair):
    sparse, dense = pair
    columns = [np.array([3]), np.array([0, 7])]
    X, _ = sparse.with_shadows(columns)[slice(None)]
    assert X.shape == (N, D + 3)
    torch.testing.assert_close(X[:, :D], dense.X, rtol=1e-5, atol=1e-5)
    for place, column in enumerate([3, 0, 7], start=D):
        torch.testing.assert_close(
            X[:, place].sort().values, dense.X[:, column].sort().values
        )
    together = X[:, [D + 1, D + 2]].tolist()
    rows = {tuple(np.round(row, 4)) for row in dense.X[:, [0, 7]].tolist()}
    assert {tuple(np.round(row, 4)) for row in together} == rows


def test_a_teacher_speaks_of_each_row(pair):
    sparse, _ = pair
    sparse.learn_from(lambda X: X[:, :1])
    ((X, (_, _, teacher)),) = sparse.batches([np.array([4, 6])], with_teacher=True)
    assert torch.equal(X[:, :1], teacher)


def test_wide_rows_are_scored_few_at_a_time():
    assert batch_size_of(10) == Table.batch_size_to_score
    assert batch_size_of(20_000) * 20_000 <= 2**21
    assert batch_size_of(10**9) == 16


def test_a_view_loses_columns_on_its_own(pair):
    sparse, _ = pair
    sparse.keep_inputs(torch.arange(2))
    assert sparse._dense is not None
    sparse.behind(InputGates(("channel",), (2,))).keep_inputs(torch.tensor([1]))
    assert sparse[slice(None)][0].shape == (N, 2)


@pytest.mark.parametrize("standardize", [True, False])
def test_gaps_of_dense_rows_get_the_means_of_a_sparse_fit(quick, X, standardize):
    clf = quick(standardize=standardize, max_epochs=2, n_features_to_select=3)
    clf.fit(csr_matrix(X), X[:, 0] > 0)
    column = clf.get_support(indices=True)[0]
    missing, filled = X.copy(), X.copy()
    missing[:, column] = np.nan
    filled[:, column] = clf._inputs.columns.means[column]
    np.testing.assert_array_equal(clf.predict_proba(missing), clf.predict_proba(filled))
