"""Objects in a file that several processes map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from polars.testing import assert_frame_equal

from recmem.batch.shared_object import read_shared, write_shared


def there_and_back(value: object, folder: Path) -> object:
    with (folder / "shared").open("w+b") as file:
        write_shared(value, file)
        return read_shared(file)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int64, torch.bool])
def test_tensors_come_back_as_they_were(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = (torch.arange(12).reshape(3, 4) % 2).to(dtype)
    found = there_and_back({"whole": tensor, "turned": tensor.T, "empty": tensor[:0], "one": tensor[0, 0]}, tmp_path)
    assert isinstance(found, dict)
    assert found["whole"].equal(tensor)
    assert found["turned"].equal(tensor.T)
    assert found["empty"].shape == (0, 4)
    assert found["one"].item() == tensor[0, 0].item()
    assert found["whole"].dtype == dtype


def test_views_of_one_tensor_share_its_memory_there_too(tmp_path: Path) -> None:
    table = torch.zeros(1000, 8)
    with (tmp_path / "shared").open("w+b") as file:
        write_shared([table, table[:, :4], table[5:]], file)
        assert file.tell() < 2 * table.nbytes
        whole, columns, rows = read_shared(file)
    whole[5, 0] = 1
    assert (columns[5, 0].item(), rows[0, 0].item()) == (1, 1)


def test_tensors_that_begin_in_the_same_array_keep_their_lengths(tmp_path: Path) -> None:
    array = np.arange(10.0)
    found = there_and_back([torch.from_numpy(array[:4]), torch.from_numpy(array)], tmp_path)
    assert isinstance(found, list)
    assert [tensor.tolist() for tensor in found] == [array[:4].tolist(), array.tolist()]


FRAME = pl.DataFrame(
    {
        "text": ["a", None, "a text of more than twelve characters"],
        "kind": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
        "rank": pl.Series(["low", "low", "high"], dtype=pl.Enum(["low", "high"])),
        "time": pl.Series([1, 2, None]).cast(pl.Datetime("us", "UTC")),
        "items": [["a"], [], None],
    }
)


@pytest.mark.parametrize("frame", [FRAME, FRAME.clear(), FRAME[1:], pl.DataFrame(), pl.DataFrame(height=3)])
def test_frames_come_back_as_they_were(tmp_path: Path, frame: pl.DataFrame) -> None:
    found = there_and_back(frame, tmp_path)
    assert isinstance(found, pl.DataFrame)
    assert_frame_equal(found, frame)
    assert found.height == frame.height


def test_a_column_keeps_its_name_and_its_order(tmp_path: Path) -> None:
    column = pl.Series("id", ["b", "a", "c"]).sort()
    found = there_and_back(column, tmp_path)
    assert isinstance(found, pl.Series)
    assert found.equals(column, check_names=True)
    assert found.flags["SORTED_ASC"]


def test_arrays_and_sparse_matrices_come_back_and_can_be_written_to_without_changing_the_file(tmp_path: Path) -> None:
    matrix = sp.csr_matrix(np.eye(3, dtype=np.float32))
    with (tmp_path / "shared").open("w+b") as file:
        write_shared({"array": np.arange(5), "matrix": matrix, "name": "n"}, file)
        first, second = read_shared(file), read_shared(file)
    first["array"][0] = 7
    assert second["array"].tolist() == [0, 1, 2, 3, 4]
    assert (second["matrix"] != matrix).nnz == 0
    assert second["name"] == "n"


def test_arrays_begin_where_compiled_code_reads_fast(tmp_path: Path) -> None:
    found = there_and_back([np.arange(3, dtype=np.int8), np.arange(3.0)], tmp_path)
    assert isinstance(found, list)
    assert [array.ctypes.data % 64 for array in found] == [0, 0]
