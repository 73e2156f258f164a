import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.base import clone

from skjointprune._data.prepare import scale_parts, scaling_of
from skjointprune._data.sparse_table import SparseTable
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
    scaling = scaling_of(csc_matrix(X), weight)
    _, parts = scale_parts(X, {"train": np.ones(N, dtype=bool)}, weight, True)
    y, w = torch.arange(N), torch.from_numpy(weight).float()
    sparse = SparseTable(csr_matrix(X), y, w, scaling)
    return sparse, Table(torch.from_numpy(parts["train"].astype(np.float32)), y, w)


def assert_same_rows(sparse, dense):
    for rows in (np.array([3, 1, 8]), slice(2, 9), slice(None)):
        (A, a), (B, b) = sparse[rows], dense[rows]
        assert torch.equal(A, B)
        assert all(torch.equal(*both) for both in zip(a, b, strict=True))


def test_batches_are_those_of_a_dense_table(pair):
    sparse, dense = pair
    assert len(sparse) == N
    assert_same_rows(sparse, dense)
    ((X, (y, _)),) = sparse.batches([np.array([5, 2])])
    assert X.shape == (2, D) and y.tolist() == [5, 2]


def test_columns_go_as_those_of_a_dense_table(pair, monkeypatch):
    monkeypatch.setattr("skjointprune._data.tables.NUMBERS_AT_ONCE", 16 * D)
    sparse, dense = pair
    for kept in map(torch.as_tensor, (range(0, D, 2), range(9), range(8), (1, 5))):
        for rows in pair:
            rows.keep_inputs(kept)
        assert_same_rows(sparse, dense)
        assert sparse.batch_size_to_score == dense.batch_size_to_score


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
    assert torch.equal(X[:, :D], dense.X)
    for place, column in enumerate([3, 0, 7], start=D):
        assert torch.equal(X[:, place].sort().values, dense.X[:, column].sort().values)
        assert not torch.equal(X[:, place], dense.X[:, column])
    together = {tuple(row) for row in X[:, [D + 1, D + 2]].tolist()}
    assert together == {tuple(row) for row in dense.X[:, [0, 7]].tolist()}


def test_shadows_are_those_of_a_dense_table(pair):
    columns = [np.array([3]), np.array([0, 7])]
    shadowed = []
    for rows in pair:
        torch.manual_seed(0)
        shadowed.append(rows.with_shadows(columns))
    assert_same_rows(*shadowed)


def test_a_teacher_speaks_of_each_row(pair):
    sparse, _ = pair
    sparse.learn_from(lambda X: X[:, :1])
    ((X, (_, _, teacher)),) = sparse.batches([np.array([4, 6])], with_teacher=True)
    assert torch.equal(X[:, :1], teacher)


@pytest.mark.parametrize("block", [1, N * 7, 10**9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_is_to_the_last_bit_that_of_dense_rows(X, block, dtype, monkeypatch):
    monkeypatch.setattr("skjointprune._data.prepare.NUMBERS_AT_ONCE", block)
    X, weight = X.astype(dtype), np.linspace(1, 2, N)
    found = scaling_of(csc_matrix(X), weight)
    known = scaling_of(X, weight)
    assert torch.equal(found.mean, known.mean)
    assert torch.equal(found.scale, known.scale)


def test_a_view_loses_columns_on_its_own(pair):
    sparse, _ = pair
    sparse.keep_inputs(torch.arange(2))
    assert sparse._dense is not None
    sparse.behind(InputGates(("channel",), (2,))).keep_inputs(torch.tensor([1]))
    assert sparse[slice(None)][0].shape == (N, 2)


@pytest.mark.parametrize("unit", [1.0, 1e-42, 1e39])
@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_a_fit_on_sparse_rows_is_that_on_dense_rows(quick, X, unit, alpha):
    y = X[:, 0] + X[:, 1] > 0.5
    X = X * unit
    dense = quick(alpha=alpha, max_epochs=3, validation_fraction=0.2).fit(X, y)
    sparse = clone(dense).fit(csr_matrix(X), y)
    np.testing.assert_array_equal(sparse.get_support(), dense.get_support())
    np.testing.assert_array_equal(
        sparse.predict_proba(csr_matrix(X)), dense.predict_proba(X)
    )


@pytest.mark.parametrize("standardize", [True, False])
def test_gaps_of_dense_rows_get_the_means_of_a_sparse_fit(quick, X, standardize):
    clf = quick(standardize=standardize, max_epochs=2, n_features_to_select=3)
    clf.fit(csr_matrix(X), X[:, 0] > 0)
    column = clf.get_support(indices=True)[0]
    missing, filled = X.copy(), X.copy()
    missing[:, column] = np.nan
    filled[:, column] = clf._inputs.columns.means[column]
    np.testing.assert_array_equal(clf.predict_proba(missing), clf.predict_proba(filled))
