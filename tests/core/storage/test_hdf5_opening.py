"""HDF5 files that reach beyond themselves, claim more than they hold, or are damaged."""

from __future__ import annotations

import os
import zlib

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.hdf5 import check_sparse, open_hdf5, read_anndata


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["secret"] = np.arange(5.0)
    return path


def _external_link(file, other):
    file.create_group("a/b")["x"] = h5py.ExternalLink(str(other), "/secret")


def _external_link_to_a_pipe(file, other):
    os.mkfifo(other.with_name("fifo"))
    file["x"] = h5py.ExternalLink(str(other.with_name("fifo")), "/secret")


def _external_link_to_itself(file, other):
    file["x"] = h5py.ExternalLink(file.filename, "/")


def _external_link_to_nowhere(file, other):
    file["x"] = h5py.ExternalLink("absent.h5", "/")


def _external_link_behind_a_soft_one(file, other):
    file["x"] = h5py.SoftLink("/a/y")
    file.create_group("a")["y"] = h5py.ExternalLink(str(other), "/secret")


def _external_storage(file, other):
    file.create_dataset("a/x", (4,), "u1", external=[(str(other), 0, 4)])


def _external_storage_of_a_pipe(file, other):
    os.mkfifo(other.with_name("fifo"))
    file.create_dataset("x", (4,), "u1", external=[(str(other.with_name("fifo")), 0, 4)])


def _virtual(file, other):
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(str(other), "secret", (5,))
    file.create_virtual_dataset("obs/x", layout)


def _virtual_without_end(file, other):
    layout = h5py.VirtualLayout((5,), "f8", maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = h5py.VirtualSource(str(other), "secret", (5,), maxshape=(None,))[
        : h5py.h5s.UNLIMITED
    ]
    file.create_virtual_dataset("x", layout)


def _virtual_of_itself(file, other):
    file["y"] = np.arange(5.0)
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(".", "y", (5,))
    file.create_virtual_dataset("x", layout)


def _hard_circle(file, other):
    below = file.create_group("a/b")
    below["c"] = file["a"]


def _soft_circle(file, other):
    file.create_group("a/b")["c"] = h5py.SoftLink("/a")


def _circle_over_two_links(file, other):
    file.create_group("a")["x"] = h5py.SoftLink("/b")
    file.create_group("b")["x"] = h5py.SoftLink("/a")


def _the_root_below_itself(file, other):
    file["x"] = h5py.SoftLink("/")


def _doubling(file, other):
    file["g0/x"] = 1
    for i in range(40):
        group = file.create_group(f"g{i + 1}")
        group["l"] = group["r"] = file[f"g{i}"]


def _soft_link_to_itself(file, other):
    file["again"] = h5py.SoftLink("/again")


def _names_that_were_never_written(file, other):
    file.create_dataset("names", (10**8,), h5py.string_dtype(), chunks=(1 << 16,))


def _deep(file, other):
    file.create_group("/".join("a" * 100))


def _claims(file, other):
    file.create_dataset("x", (1 << 40,), "f8", chunks=(1 << 16,), compression="gzip")


REFUSED = {
    name.removeprefix("_"): make for name, make in list(globals().items()) if name.startswith("_") and callable(make)
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_reaches_elsewhere_is_refused(tmp_path, other, name):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        REFUSED[name](file, other)
    with pytest.raises(BadInputError, match=r"x\.h5") as caught:
        open_hdf5(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("name", ["external_link", "external_storage", "hard_circle"])
def test_both_generations_of_the_format_are_looked_through(tmp_path, other, libver, name):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver, track_order=True) as file:
        REFUSED[name](file, other)
    with pytest.raises(BadInputError):
        open_hdf5(path)


def test_links_inside_the_file_are_followed(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a/x"] = np.arange(3)
        file["soft"], file["hard"], file["dangling"] = h5py.SoftLink("/a/x"), file["a/x"], h5py.SoftLink("/absent")
        file["nothing"] = h5py.Empty("f8")
        file["one"] = 3.0
        file["type"] = np.dtype("f8")
    with open_hdf5(path) as file:
        assert file["soft"][1] == 1 and file["hard"][2] == 2


def test_large_data_sets_that_are_there_are_read(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("zeros", data=np.zeros(1 << 22), compression="gzip")
    with open_hdf5(path) as file:
        assert file["zeros"].shape == (1 << 22,)


def _sparse(file, nnz, rows, columns, indices):
    x = file.create_group("X")
    x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (rows, columns)})
    packed = {"chunks": (min(nnz, 1 << 16),), "compression": "gzip", "compression_opts": 9}
    x.create_dataset("data", (nnz,), "f4", fillvalue=1, **packed)
    if indices is None:
        x.create_dataset("indices", (nnz,), "i4", **packed)
    else:
        x.create_dataset("indices", data=indices, **packed)
    x["indptr"] = np.linspace(0, nnz, rows + 1).astype(np.int64)


@pytest.mark.parametrize(("rows", "columns"), [(1000, 100), (10**6, 10**6)])
def test_a_packed_sparse_matrix_is_refused_before_it_is_unpacked(tmp_path, rows, columns):
    """More values than the shape has places, or all of them in the first column."""
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        _sparse(file, 1 << 31, rows, columns, None)
    with pytest.raises(BadInputError, match="X"):
        open_hdf5(tmp_path / "x.h5ad")


def test_repeated_values_that_are_stored_are_refused_where_they_are_many(tmp_path):
    block = gzip_block(np.zeros(1 << 24, np.uint8))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("x", (80 << 24,), "u1", chunks=(1 << 24,), compression="gzip")
        for i in range(80):
            made.id.write_direct_chunk((i << 24,), block)
    with pytest.raises(BadInputError, match="stores nearly nothing") as caught:
        open_hdf5(tmp_path / "x.h5")
    assert "h5repack" in caught.value.hint


def gzip_block(values):
    return zlib.compress(values.tobytes(), 9)


def test_a_sparse_matrix_whose_values_are_all_one_is_read(tmp_path):
    """Its values pack a thousandfold, its places do not."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        indices = np.sort(rng.integers(0, 30_000, (500, 200), dtype=np.int32)).ravel()
        _sparse(file, indices.size, 500, 30_000, indices)
    with open_hdf5(tmp_path / "x.h5ad") as file:
        assert file["X/data"][-1] == 1


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_sparse_arrays_of_unequal_lengths_are_refused_before_they_are_read(tmp_path, part):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        _sparse(file, 100, 10, 50, np.arange(100, dtype=np.int32) % 10)
        short = file[f"X/{part}"][:-1]
        del file[f"X/{part}"]
        file[f"X/{part}"] = short
    with pytest.raises(BadInputError, match="do not fit together"):
        open_hdf5(tmp_path / "x.h5ad")


def test_special_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/zero"):
        with pytest.raises(BadInputError):
            open_hdf5(path)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "absent"):
        with pytest.raises(MissingResourceError):
            open_hdf5(tmp_path / name)


def test_no_hdf5_is_refused_in_one_line(tmp_path):
    for content in (b"", b"text", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(5000)):
        (tmp_path / "x.h5").write_bytes(content)
        with pytest.raises(BadInputError, match=r"x\.h5") as caught:
            open_hdf5(tmp_path / "x.h5")
        assert "\n" not in caught.value.message


@pytest.fixture
def table(tmp_path):
    x = sparse.random(20, 8, 0.3, format="csr", random_state=0, dtype=np.float32)
    adata = anndata.AnnData(x, uns={"note": {"a": 1}})
    adata.layers["counts"] = x.tocsc()
    path = tmp_path / "x.h5ad"
    adata.write_h5ad(path)
    return path


def test_an_anndata_is_read_whole(table):
    found = read_anndata(table)
    assert np.array_equal(found.X.toarray(), anndata.read_h5ad(table).X.toarray())


@pytest.mark.parametrize("place", ["X/indices", "X/indptr", "layers/counts/indices"])
@pytest.mark.parametrize("value", [10**6, -1])
def test_sparse_arrays_that_do_not_fit_are_refused(table, place, value):
    with h5py.File(table, "r+") as file:
        file[place][1] = value
    with pytest.raises(BadInputError, match=r"x\.h5ad"):
        read_anndata(table)


def test_no_anndata_is_refused_in_one_line(tmp_path, other):
    try:
        assert read_anndata(other).n_obs == 0
    except BadInputError as error:
        assert "other.h5" in error.message and "\n" not in error.message


def test_sound_matrices_and_arrays_pass():
    check_sparse(sparse.identity(3, format="csr"), "x")
    check_sparse(np.zeros(3), "x")


def test_counts_that_no_one_counted_are_refused(tmp_path):
    from focus_cli.core.storage.sample import check_counts

    xy = np.arange(4.0).reshape(2, 2)
    adata = anndata.AnnData(sparse.csr_matrix(np.array([[1, 3e38], [0, 2]], np.float32)))
    adata.obsm["spatial"] = adata.obsm["spatial_um"] = xy
    with pytest.raises(BadInputError, match="not a valid count"):
        check_counts(adata, tmp_path / "counts.h5ad", "")


_IMPOSSIBLE = (2**64 - 1, 2**64 - 16, 2**64 - 8, 2**63, 1 << 40, 4096)


@pytest.mark.parametrize(("length", "free"), [(0, True), *((n, free) for n in _IMPOSSIBLE for free in (True, False))])
def test_a_heap_object_of_an_impossible_size_is_refused(tmp_path, length, free):
    """HDF5 adds the size without a check and never returns from a sum that overflows."""
    file = tmp_path / "heap.h5"
    with h5py.File(file, "w") as h5:
        h5.attrs["text"] = "of any length"
    content = bytearray(file.read_bytes())
    at = content.index(b"GCOL") + 16
    content[at + 8 : at + 16] = length.to_bytes(8, "little")
    if free:
        content[at : at + 2] = bytes(2)
    file.write_bytes(bytes(content))
    with pytest.raises(BadInputError, match="damaged"):
        open_hdf5(file)


def test_lengths_of_another_width_are_refused(tmp_path):
    made = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    made.set_sizes(8, 4)
    h5py.h5f.create(bytes(tmp_path / "short.h5"), fcpl=made).close()
    with pytest.raises(BadInputError, match="lengths"):
        open_hdf5(tmp_path / "short.h5")
