"""Transforms and landmarks that a user wrote down: read, fitted, refused."""

import numpy as np
import pytest

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms.alignment import fit_landmarks, read_landmarks, read_transform

TRUTH = Affine.of([[0.0, -0.5, 900.0], [0.5, 0.0, 40.0]])  # the positions' pixels → pixels of the H&E
POSITIONS = np.array([[100.0, 100], [1900, 150], [1800, 1700], [200, 1600], [1000, 900], [400, 1200], [1500, 600]])
MPP = 0.5


def written(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


class TestTransform:
    def test_xenium_explorer_maps_the_image_onto_the_positions(self, tmp_path):
        inverse = np.array(TRUTH.inverse().matrix)
        path = written(tmp_path, "\n".join(",".join(repr(v) for v in row) for row in inverse.tolist()) + "\n")
        np.testing.assert_allclose(read_transform(path)(POSITIONS), TRUTH(POSITIONS), atol=1e-9)
        np.testing.assert_allclose(read_transform(path, "positions").matrix, inverse)

    @pytest.mark.parametrize("separator", [",", ";", "\t", "  ", ", "])
    def test_separators_and_two_rows(self, tmp_path, separator):
        path = written(tmp_path, "\n".join(separator.join(map(str, row)) for row in TRUTH.matrix[:2]))
        assert read_transform(path, "positions") == TRUTH

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "\ufeff" + text,
            lambda text: text.replace("\n", "\r\n") + "\r\n\r\n",
            lambda text: "# from the image\n" + text,
            lambda text: text.replace("\n", ",\n") + ",,,\n",
            lambda text: '"' + text.replace(",", '","').replace("\n", '"\n"') + '"',
        ],
        ids=["mark", "CRLF", "comment", "commas at the end", "quotes"],
    )
    def test_forms_of_spreadsheet_programs(self, tmp_path, change):
        path = tmp_path / "t.csv"
        path.write_text(change("\n".join(",".join(map(str, row)) for row in TRUTH.matrix)), newline="")
        assert read_transform(path, "positions") == TRUTH

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a,b,c\n1,0,0\n0,1,0\n0,0,1",
            "1,0\n0,1",
            "1,0,0\n0,1",
            "1,0,nan\n0,1,0",
            "1,2,0\n2,4,0",
            "1,0,0\n0,1,0\n0,0,2",
            "1,0,0\n0,1,0\n0,0,1\n0,0,1",
            "\x00\x01",
        ],
    )
    def test_what_is_no_transform(self, tmp_path, text):
        with pytest.raises(BadInputError, match=r"t\.csv is not a transform") as refusal:
            read_transform(written(tmp_path, text))
        assert "2 × 3" in refusal.value.hint

    def test_files_that_cannot_be_read(self, tmp_path):
        with pytest.raises(MissingResourceError, match="no such file"):
            read_transform(tmp_path / "none.csv")
        with pytest.raises(BadInputError, match="is a folder"):
            read_transform(tmp_path)
        (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x81")
        with pytest.raises(BadInputError, match="not UTF-8 text"):
            read_transform(tmp_path / "b.csv")
        with pytest.raises(BadInputError, match="too large"):
            read_transform(written(tmp_path, "1" * (1 << 21)))
        with pytest.raises(UsageError, match="align-from"):
            read_transform(written(tmp_path, "1,0,0\n0,1,0"), "sideways")


def table(positions, image, header="x_image,y_image,x,y"):
    rows = np.column_stack([image, positions])
    return header + "\n" + "\n".join(",".join(repr(v) for v in row) for row in rows.tolist()) + "\n"


def fitted(tmp_path, text, tolerance=100.0):
    path = written(tmp_path, text, "l.csv")
    return fit_landmarks(read_landmarks(path, MPP), MPP, tolerance, path.name)


class TestLandmarks:
    @pytest.mark.parametrize("mirrored", [False, True])
    @pytest.mark.parametrize("n", [3, 4, 7])
    def test_a_similarity_is_found_exactly(self, tmp_path, n, mirrored):
        truth = TRUTH @ Affine.of([[-1, 0, 2000], [0, 1, 0]]) if mirrored else TRUTH
        fit = fitted(tmp_path, table(POSITIONS[:n], truth(POSITIONS[:n])))
        np.testing.assert_allclose(fit.transform.matrix, truth.matrix, atol=1e-6)
        assert fit.kind == "similarity" and fit.residual_um < 1e-6

    def test_positions_in_um_and_other_separators(self, tmp_path):
        text = table(POSITIONS * MPP, TRUTH(POSITIONS), "X_image,y_image,x_um,y_um").replace(",", ";")
        np.testing.assert_allclose(fitted(tmp_path, "\ufeff" + text).transform.matrix, TRUTH.matrix, atol=1e-6)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "sep=,\n" + text,
            lambda text: "# clicked by hand\n" + text,
            lambda text: "#" + text,
            lambda text: text.replace("\n", ",,\n"),
            lambda text: text.replace("\n", "\r\n") + ",,,\r\n",
            lambda text: text.replace(",", "\t").replace("x_image", '"x_image"'),
        ],
        ids=["sep", "comment", "header in a comment", "empty columns", "CRLF and an empty row", "tabs and quotes"],
    )
    def test_forms_of_spreadsheet_programs(self, tmp_path, change):
        (tmp_path / "l.csv").write_text(change(table(POSITIONS, TRUTH(POSITIONS))), newline="")
        found = read_landmarks(tmp_path / "l.csv", MPP)
        np.testing.assert_allclose(found.positions, POSITIONS)
        np.testing.assert_allclose(found.image, TRUTH(POSITIONS))

    def test_a_stretch_is_found_from_six_on(self, tmp_path):
        truth = TRUTH @ Affine.of([[1.08, 0, 0], [0, 1, 0]])
        fit = fitted(tmp_path, table(POSITIONS, truth(POSITIONS)))
        assert fit.kind == "affine" and fit.transform.anisotropy == pytest.approx(1.08)

    def test_hand_set_landmarks_pass_with_their_residual(self, tmp_path):
        noise = np.random.default_rng(0).normal(0, 15, POSITIONS.shape)  # image px, each 1 µm wide
        fit = fitted(tmp_path, table(POSITIONS, TRUTH(POSITIONS) + noise))
        assert fit.kind == "similarity" and 5 < fit.residual_um < fit.left_out_um < 60
        assert np.linalg.norm(fit.transform(POSITIONS) - TRUTH(POSITIONS), axis=1).max() < 25

    @pytest.mark.parametrize("wrong", range(5))
    def test_one_wrong_landmark_is_refused_and_named(self, tmp_path, wrong):
        image = TRUTH(POSITIONS[:5])
        image[wrong] += (250.0, -120.0)
        with pytest.raises(BadInputError, match=f"line {wrong + 2} does not fit"):
            fitted(tmp_path, table(POSITIONS[:5], image))

    def test_exchanged_axes_of_one_side_are_a_mirror_and_pass(self, tmp_path):
        fit = fitted(tmp_path, table(POSITIONS[:, ::-1], TRUTH(POSITIONS)))
        np.testing.assert_allclose(fit.transform(POSITIONS[:, ::-1]), TRUTH(POSITIONS), atol=1e-6)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (table(POSITIONS[:2], TRUTH(POSITIONS[:2])), "2 landmarks are too few"),
            ("x_image,y_image,x,y\n", "0 landmarks are too few"),
            ("", "'x_image' is missing"),
            ("x_image,y_image,x\n1,2,3\n", "'x_um' is missing|'y' is missing"),
            ("x_image,y_image,x,y\n1,2,3,4\n1,2,a,4\n", "line 3 does not hold four numbers"),
            ("x_image,y_image,x,y\n1,2,3\n", "line 2 does not hold four numbers"),
            ("x_image,y_image,x,y\n1,2,3,4\n5,6,inf,8\n9,9,9,9\n", "not finite"),
            (table(np.ones((4, 2)), TRUTH(POSITIONS[:4])), "on one line in the positions"),
        ],
    )
    def test_what_is_refused(self, tmp_path, text, words):
        with pytest.raises(BadInputError, match=words):
            fitted(tmp_path, text)

    def test_landmarks_on_a_line_are_refused(self, tmp_path):
        line = np.column_stack([np.linspace(0, 2000, 5), np.linspace(0, 1000, 5)])
        with pytest.raises(BadInputError, match="one line"):
            fitted(tmp_path, table(line, TRUTH(line)))
